"""Scores replies by the real harnesses and by our readers of their rules; both must agree.

Replies are those of the fixtures, answers in many dresses, and random rows of pieces that the
rules look at. Needs lm-eval, inspect-ai and inspect-evals, and no network.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import lm_eval
from inspect_ai.model import ChatMessageUser, ModelOutput
from inspect_ai.scorer import Target, match
from inspect_ai.solver import TaskState, multiple_choice
from inspect_evals.bbh.bbh import DatasetType, bbh_scorer
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import exact_match_hf_evaluate
from lm_eval.filters import build_filter_ensemble
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.tasks._yaml_loader import load_yaml

from neuromas_env.tasks.readers import Form, get_reader, grade_reply

FIXTURES = Path(__file__).parents[1] / "fixtures"
CONFIGS = Path(lm_eval.__file__).parent / "tasks"
FOUR = {"A": "Mars", "B": "Venus", "C": "Jupiter", "D": "Saturn"}
COLOURS = {"A": "red", "B": "green", "C": "blue", "D": "yellow"}
LONG = {"A": "red", "B": "green (a colour)", "C": "blue", "D": "blue-green"} | {
    letter: f"shade {letter}" for letter in "EFGHIJ"
}
DRESSES = (
    "{}", "{}.", "({})", "**{}**", "*{}*", "`{}`", '"{}"', "${}$", r"\boxed{{}}", r"\(\text{{}}\)",
    "The answer is {}.", "the answer is {}", "Answer: {}", "ANSWER: {}", "ANSWER: {}.",
    "answer : {},", "ANSWER: ({})", "ANSWER: **{}**", "ANSWER: ${}$", "**ANSWER: {}**",
    "ANSWER:\n{}", "ANSWER: \n{}", "Answer: ({}) because.",
    "The final answer: {}\nThank you.", "#### {}", "Step 1.\n#### {}", "= {}",
    "It is {}, as 3 x 6 = {}", "{} is right.",
    
    "So it must be {}!", '{"answer": "{}"}', "<think>No.</think>{}", "<answer>{}</answer>",
    "I choose {}, not {other}.",
    "{other} is wrong. ANSWER: {}", "ANSWER: {other}\nANSWER: {}", "Not {other} but {}",
    "ANSWER: {}\n\nExplanation: not {other}.", "{}\n{other}", "{} or {other}",
    "The answer is {other}... wait, actually {}.", "Q: what? {}", "It is {}.</s> Q: {other}",
    "- {}\n- {other}", "ANSWER: {},{other}", "ANSWER: {} or {other}", "ANSWER:{}ANSWER:{other}",
)  # fmt: skip
PIECES = (
    "ANSWER", "answer", ":", ":", " ", " ", "\n", "\t", ",", ".", "(", ")", "$", "**", "A", "B",
    "C", "(C)", "(D)", "blue", "Yes", "no", "plausible", "not", "#", "18", "-18", "1,8", "1.8",
    "e3", "--", "−", "'", "é", "_", "€", "\\", "</s>", "Q:", "[", "]", '"', "apple", "banana",
    "cherry", "!", "?",
)  # fmt: skip


class LmEval:
    """A task of lm-eval, read from its file: what a filter of it finds, and its metric."""

    def __init__(self, config: str, name: str) -> None:
        task = load_yaml(CONFIGS / config)
        [steps] = [f["filter"] for f in task["filter_list"] if f["name"] == name]
        parts = [(s["function"], {k: v for k, v in s.items() if k != "function"}) for s in steps]
        self.name, self.pipeline = name, build_filter_ensemble(name, parts)
        [metric] = task["metric_list"]
        self.options = {k: v for k, v in metric.items() if k.startswith(("ignore", "regexes"))}
        self.until = task["generation_kwargs"]["until"]

    def find(self, replies: Sequence[str], doc: dict) -> list[str]:
        """Return the answer that is found in each reply; all at once, since filters are slow."""
        instances = [Instance("generate_until", doc, ("", {}), 0) for _ in replies]
        for instance, reply in zip(instances, replies, strict=True):
            instance.resps = [postprocess_generated_text(reply, self.until, None)]
        self.pipeline.apply(instances)
        return [instance.filtered_resps[self.name] for instance in instances]

    def equal(self, found: str, gold: str) -> bool:
        """Compare with the gold answer."""
        return exact_match_hf_evaluate([found], [gold], **self.options)["exact_match"] == 1


FLEXIBLE = "flexible-extract"
BBH = "bbh/cot_zeroshot"
LM_EVAL = {
    "choice": LmEval("mmlu/flan_cot_zeroshot/mmlu_astronomy.yaml", FLEXIBLE),
    "number": LmEval("gsm8k/gsm8k.yaml", FLEXIBLE),
    ("Yes", "No"): LmEval(f"{BBH}/navigate.yaml", FLEXIBLE),
    ("yes", "no"): LmEval(f"{BBH}/sports_understanding.yaml", FLEXIBLE),
    ("True", "False"): LmEval(f"{BBH}/boolean_expressions.yaml", FLEXIBLE),
    ("valid", "invalid"): LmEval(f"{BBH}/formal_fallacies.yaml", FLEXIBLE),
    "list": LmEval(f"{BBH}/word_sorting.yaml", FLEXIBLE),
    "brackets": LmEval(f"{BBH}/dyck_languages.yaml", FLEXIBLE),
    "text": LmEval("triviaqa/default.yaml", "remove_whitespace"),
}


TYPES = {
    "choice": DatasetType.MULTIPLE_CHOICE,
    "word": DatasetType.BINARY_CHOICE,
    "brackets": DatasetType.DYCK,
}
MATCH, BBH_SCORER, SOLVER = match(numeric=True), bbh_scorer(), multiple_choice()
LOOP = asyncio.new_event_loop()


def inspect_score(kind: str, reply: str, gold: str, options: dict[str, str]) -> bool:
    """Score a reply as inspect_evals does: numbers by GSM8K's scorer, the rest by BBH's."""
    state = TaskState(
        "none/none", 0, 0, "", [ChatMessageUser(content="?")],
        choices=list(options.values()), output=ModelOutput.from_content("none", reply),
        metadata={"dataset_type": TYPES.get(kind, DatasetType.EXACT_MATCH)},
    )  # fmt: skip

    async def generate(state: TaskState, **_: object) -> TaskState:
        return state

    async def score() -> bool:
        if kind == "choice":
            await SOLVER(state, generate)
        scorer = MATCH if kind == "number" else BBH_SCORER
        target = f"ANSWER: {gold}" if kind == "brackets" else gold
        return (await scorer(state, Target(target))).value == "C"

    return LOOP.run_until_complete(score())


@dataclass(frozen=True)
class Question:
    """A question of one kind, with the answers that a reply is compared with in turn."""

    kind: str
    golds: tuple[str, ...]
    words: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)

    def ours(self, reader: str, reply: str, gold: str) -> bool:
        kind = "text" if self.kind in ("list", "brackets") else self.kind
        form, options = Form(kind, self.words), tuple(self.options.items())
        return grade_reply(get_reader(reader), form, reply, gold, options).extracted == 1

    def theirs(self, reader: str, replies: Sequence[str]) -> dict[tuple[str, str], bool]:
        """Return for each reply and gold answer whether the harness calls the reply right."""
        if reader == "inspect":
            return {
                (reply, gold): inspect_score(self.kind, reply, gold, self.options)
                for reply in replies for gold in self.golds
            }  # fmt: skip
        task = LM_EVAL.get(self.words or self.kind)
        if task is None:
            return {}
        doc = {"choices": list(self.options.values()), "input": f"List: {' '.join(self.golds)}"}
        form = "({})" if self.options else "{}"
        return {
            (reply, gold): task.equal(found, form.format(gold))
            for reply, found in zip(replies, task.find(replies, doc), strict=True)
            for gold in self.golds
        }


PAIRS = [("Yes", "No"), ("yes", "no"), ("True", "False"), ("valid", "invalid")]
NUMBERS = ("18", "-18", "1800", "1.8", "-35", "293", "1000000", "9500", "460")
QUESTIONS = [
    *(Question("choice", tuple(options), options=options) for options in (FOUR, COLOURS, LONG)),
    Question("number", NUMBERS),
    *(Question("word", pair, pair) for pair in PAIRS),
    Question("list", ("apple banana cherry",)),
    Question("brackets", ("] ) }", "]")),
    Question("text", ("Paris",)),
]


def generated(rng: random.Random) -> Iterator[tuple[Question, str]]:
    """Yield answers in all dresses, and random rows of pieces."""
    for question in QUESTIONS:
        for gold in question.golds[:4]:
            other = question.golds[question.golds.index(gold) - 1]
            for dress in DRESSES:
                yield question, dress.replace("{}", gold).replace("{other}", other)
        for _ in range(400):
            yield question, "".join(rng.choices([*PIECES, *question.golds], k=rng.randint(1, 14)))


def stored() -> Iterator[tuple[Question, str]]:
    """Yield the replies of the fixtures."""
    number, word = Question("number", NUMBERS), Question("word", PAIRS[0], PAIRS[0])
    for file in ("replies.jsonl", "graded.jsonl"):
        for line in (FIXTURES / file).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            kind, _, rest = row.get("reader", row.get("form")).partition(":")
            options = {"choice": COLOURS, "choice10": LONG, "letter": FOUR}.get(kind)
            if options is not None:
                yield Question("choice", tuple(options), options=options), row["reply"]
            elif kind in ("list", "text"):
                yield Question(kind, (row.get("gold", rest),)), row["reply"]
            elif kind == "words":
                yield Question("word", tuple(rest.split("|")), tuple(rest.split("|"))), row["reply"]
            else:
                yield {"number": number, "word": word, "bool": word}[kind], row["reply"]


def main() -> None:
    """Compare, print how many comparisons there were, and fail at the first difference."""
    for reader, package in (("lm_eval", "lm-eval"), ("inspect", "inspect-evals")):
        ours = get_reader(reader).version.split()[-1]
        assert ours == version(package), f"{package} {version(package)}, our rules are of {ours}"
    replies: dict[str, tuple[Question, list[str]]] = {}
    for question, reply in (*stored(), *generated(random.Random(0))):
        replies.setdefault(repr(question), (question, []))[1].append(reply)
    counts: Counter[tuple[str, str]] = Counter()
    right: Counter[str] = Counter()
    for question, texts in replies.values():
        for reader in ("lm_eval", "inspect"):
            for (reply, gold), theirs in question.theirs(reader, texts).items():
                ours = question.ours(reader, reply, gold)
                assert ours == theirs, (
                    f"{reader}, {question.kind}, gold {gold!r}: {reply!r} is "
                    f"{'right' if theirs else 'wrong'} there, {'right' if ours else 'wrong'} here"
                )
                counts[reader, question.kind] += 1
                right[reader] += ours
    for (reader, kind), count in sorted(counts.items()):
        print(f"{reader:8} {kind:8} {count:6} comparisons agree")
    print(f"{counts.total()} comparisons agree; called right: {dict(right)}")


if __name__ == "__main__":
    main()
