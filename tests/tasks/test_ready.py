"""What training and benchmarks refuse before a model is asked, and scores checked at the border."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.bench_runs import rows, run
from support.engines import tiny_folder
from support.tiny_runs import tiny_config

from neuromas_env import neuromas_v0
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.training.api import train
from neuromas_env.baselines.adapted import adapt
from neuromas_env.bench.report import write_report
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import (
    SPLITS,
    TASKS,
    Example,
    Score,
    Task,
    list_tasks,
    make_task,
    register_task,
)
from neuromas_env.tasks.answers import extract_number, grade
from neuromas_env.tasks.qa import QuestionAnswer
from neuromas_env.tasks.ready import check_ready, shared_rows
from neuromas_env.testing import check_task


def plus(n):
    return Example(f"n{n}", f"What is {n} + 1?", str(n + 1))


class Plus(Task):
    """Add one; `rows` gives the numbers of each split."""

    name = "plus"
    answer_format = "Answer with the number only."
    max_new_tokens = 4
    rows = dict(zip(SPLITS, (range(20), range(20, 30), range(30, 60)), strict=True))

    def examples(self, split):
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return [replace(plus(n), id=f"{split}/{n}") for n in self.rows[split]]

    def score(self, example, reply):
        return grade(reply, example.target, extract_number(reply))

    def majority(self, split):
        return 0.1


class Leaky(Plus):
    rows = Plus.rows | {"test": range(17, 40)}


class Made(Sequence):
    """Rows made on access: a hundred thousand sums of few numbers."""

    def __init__(self, split, kinds):
        self.split, self.kinds = split, kinds

    def __len__(self):
        return 100_000 if self.split == "train" else 512

    def __getitem__(self, index):
        return replace(plus(index * 7919 % self.kinds), id=f"{self.split}/{index}")


class MadeLeaky(Plus):
    def examples(self, split):
        super().examples(split)
        return Made(split, 5000)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    registered = {"plus": Plus, "leaky": Leaky, "made": MadeLeaky, "part": Part, "bad": Bad}
    monkeypatch.setattr(TASKS, "registered", {})
    for name, make in registered.items():
        register_task(name, make)


LEAK = (
    r"task 'leaky': 3 of the questions of its test split are in its train split too, the first as "
    "'train/17' and 'test/17'"
)


def test_shared_questions_are_refused_wherever_a_task_is_used(tmp_path):
    with pytest.raises(InputError, match=LEAK):
        run(tmp_path / "bench", tasks=("leaky",))
    with pytest.raises(InputError, match=LEAK):
        train(tiny_config(tiny_folder("llama"), tmp_path / "run", task="leaky"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=LEAK):
        adapt("gptswarm", make_task("leaky"), MockEngine(["1"] * 100), 1, tmp_path / "adapted")
    with pytest.raises(InputError, match="its question is in train and in test"):
        check_task(Leaky())
    run(tmp_path / "bench", tasks=("plus",))
    assert len(rows(tmp_path / "bench")) == 10


def test_rows_made_on_access_are_sampled():
    with pytest.raises(InputError, match="'plus': .*split are in its train split too"):
        check_ready(MadeLeaky())


class Same(Leaky):
    disjoint = False


def test_a_task_with_nothing_to_generalise_may_share_its_questions(tmp_path):
    check_ready(Same())
    check_task(Same())
    run(tmp_path, tasks=("signal",), methods=("direct",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text,
        lambda text: f" {text}\n",
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace(" ", "\n"),
    ],
    ids=["same", "outer space", "double space", "lines"],
)
@given(pool=st.sets(st.integers(0, 50), min_size=1), taken=st.sets(st.integers(0, 50), min_size=1))
def test_shared_rows_are_found_whatever_their_white_space(dress, pool, taken):
    all_rows = [("train", plus(n)) for n in pool]
    all_rows += [("test", replace(plus(n), question=dress(plus(n).question))) for n in taken]
    pairs = list(shared_rows(all_rows))
    assert {second.id for _, (_, second) in pairs} == {f"n{n}" for n in pool & taken}
    assert all(first.id == second.id for (_, first), (_, second) in pairs)


def test_copied_files_are_refused_and_one_table_is_divided(tmp_path):
    lines = "\n".join(json.dumps({"question": f"{n}+1?", "answer": n + 1}) for n in range(40))
    for name in ("train", "test", "all"):
        (tmp_path / f"{name}.jsonl").write_text(lines)
    source = tmp_path / "{table}.jsonl"
    copied = QuestionAnswer("mine", source, "number", tables={"train": "train", "test": "test"})
    with pytest.raises(InputError, match="'mine': 40 of the questions of its test split"):
        check_ready(copied)
    check_ready(QuestionAnswer("mine", tmp_path / "all.jsonl", "number"))


@pytest.mark.slow
@pytest.mark.whole
def test_no_task_of_this_project_shares_questions_without_saying_so():
    for name in list_tasks(needs_data=False):
        check_ready(make_task(name))


def test_a_lone_surrogate_is_said_before_anything_is_stored(tmp_path):
    class Torn(Plus):
        def examples(self, split):
            return [replace(e, question=e.question + "\ud800") for e in super().examples(split)]

    register_task("torn", Torn)
    with pytest.raises(InputError, match="task 'torn': example 'train/0' .* lone surrogate"):
        run(tmp_path, tasks=("torn",))


# --- scores ---------------------------------------------------------------------------


class Part(Plus):
    """Pays 0.8 for a reply that is one too small."""

    def score(self, example, reply):
        score = super().score(example, reply)
        near = score.answer is not None and f"{int(score.answer) + 1}" == example.target
        return replace(score, extracted=0.8, reason="ok") if near else score


class Bad(Plus):
    """Scores as it is told."""

    def __init__(self, strict=1.0, extracted=1.0):
        self.given = strict, extracted

    def score(self, example, reply):
        return Score(*self.given, "ok", reply)


WRONG = {
    "not a number": float("nan"), "above": 2.0, "below": -1, "infinite": float("inf"),
    "text": "1.0", "none": None, "complex": 1j, "slightly above": 1 + 1e-9,
}  # fmt: skip
wrong = pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
SAID = r"task 'bad': score of example '\w+/\d+': (strict|extracted) must be "


def bad(**scores):
    register_task("bad", lambda: Bad(**scores))


class Counted(Plus):
    """Its name does not say its parameter."""

    def __init__(self, more: int = 0):
        self.more = more

    def examples(self, split):
        return [replace(e, question=f"{e.question}{'!' * self.more}")
                for e in super().examples(split)]  # fmt: skip


def test_two_parameters_are_two_tasks_of_a_benchmark(tmp_path):
    register_task("counted", Counted)
    run(tmp_path, tasks=("counted", "counted:more=2", "counted:more=0"), limit=3)
    found = rows(tmp_path, "SELECT task, question FROM results ORDER BY task, row")
    assert [row["task"] for row in found] == ["counted"] * 3 + ["counted:more=2"] * 3
    assert [row["question"].count("!") for row in found] == [0] * 3 + [2] * 3


@wrong
@pytest.mark.parametrize("field", ["strict", "extracted"])
def test_what_is_no_score_is_said_in_one_line_wherever_it_is_used(value, field, tmp_path):
    bad(**{field: value})
    with pytest.raises(InputError, match=SAID) as caught:
        run(tmp_path / "bench", tasks=("bad",))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bench").exists()
    for make in (neuromas_v0.env, neuromas_v0.raw_env):
        env = make("bad", "1")
        env.reset(seed=0)
        with pytest.raises(InputError, match=SAID):
            env.step("1")
    env = neuromas_v0.parallel_env("bad", "1")
    env.reset(seed=0)
    with pytest.raises(InputError, match=SAID):
        env.step({"node_0": "1"})


def test_training_refuses_it_before_a_step(tmp_path):
    bad(extracted=float("nan"))
    with pytest.raises(InputError, match=SAID):
        train(tiny_config(tiny_folder("llama"), tmp_path / "run", task="bad"))
    assert not (tmp_path / "run").exists()


def test_what_is_no_score_at_all_and_what_raises_is_said(tmp_path):
    class Nothing(Plus):
        def score(self, example, reply):
            return None

    class Raising(Plus):
        def score(self, example, reply):
            return 1 / 0

    register_task("nothing", Nothing)
    with pytest.raises(
        InputError, match="score of example 'train/0': it must be a Score, not None"
    ):
        run(tmp_path, tasks=("nothing",))
    register_task("raising", Raising)
    with pytest.raises(InputError, match=r"'raising': scoring must never raise, got ZeroDivision"):
        run(tmp_path, tasks=("raising",))


@pytest.mark.parametrize("one", [1, True, np.float32(1), np.float64(1), np.int64(1), np.bool_(1)])
def test_numbers_of_other_kinds_become_floats(one):
    bad(strict=one, extracted=one)
    env = neuromas_v0.raw_env("bad", "1")
    env.reset(seed=0)
    env.step("1")
    score = env.episode.score
    assert (type(score.strict), type(score.extracted)) == (float, float)
    assert env.rewards == {"node_0": 1.0}


@pytest.mark.slow
def test_partial_credit_is_paid_stored_averaged_and_drawn(tmp_path):
    env = neuromas_v0.raw_env("part", "1", split="test", reward="extracted")
    env.reset(options={"id": "test/30"})
    env.step("30")
    assert env.rewards == {"node_0": 0.8}
    run(tmp_path, "say=31", tasks=("part",), limit=4)
    found = rows(tmp_path, "SELECT row, extracted, reason FROM results ORDER BY row")
    assert [row["extracted"] for row in found] == [1.0, 0.8, 0.0, 0.0]
    assert [row["reason"] for row in found] == ["ok", "ok", "wrong", "wrong"]
    write_report(Console(file=io.StringIO()), tmp_path)
    assert "45.0" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    # Neither right nor wrong: a mark and a colour of its own, and the share.
    assert '"extracted": 0.8' in page and 'partly: "\\u25d0"' in page and ".partly {" in page
