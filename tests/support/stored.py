"""One cell of a store and one answer in it, and stores that are filled by hand."""

from dataclasses import replace

from neuromas_env.bench.store import Answer, Cell, Store
from neuromas_env.tasks import Example
from neuromas_env.topology import Topology

CELL = Cell("direct", "t", "test", None, {"model": "m", "chunk": 64}, {"calls": 1}, 4)
ANSWER = Answer(0, "a", "x", 1.0, 1.0, "ok", None, None, 1, 0, 5, 2, 0.1, None, "[]")
FACTS = {
    "topology": Topology.parse("1").to_json(), "labels": {"node_0": "solver"}, "calls": 1,
    "trainable": 0, "questions": 6, "asked": 6, "majority": 0.25, "blind": None, "prices": None,
    "versions": {},
}  # fmt: skip
SAID = '[{"node": "node_0", "text": "<b>hi & bye</b></script>", "tokens": 2, "prompt_tokens": 4}]'


def answers(scores, **changes):
    base = Answer(
        0, "q0", "x", 0.0, 0.0, "wrong", None, None, 2, 0, 4, 2, 0.5, None, SAID
    )  # fmt: skip
    return [
        replace(
            base, row=i, row_id=f"q{i}", strict=0.0, extracted=float(score),
            reason="ok" if score else "wrong", **changes,
        )
        for i, score in enumerate(scores)
    ]  # fmt: skip


def cell(method, seed=None, task="t", facts=None, **settings):
    return Cell(method, task, "test", seed, {"model": "m"} | settings, FACTS | (facts or {}), 6)


def fill(folder, *parts):
    with Store(folder, write=True) as store:
        store.add_questions("t", "test", [Example(f"q{i}", f"Why {i}?", "x") for i in range(6)])
        store.add_questions("u", "test", [Example(f"q{i}", f"How {i}?", "x") for i in range(6)])
        for part, rows in parts:
            store.add(store.cell(part), rows)
    return Store(folder)
