"""The procedural trees: values checked by an evaluator of their text, splits, parameters."""

import hashlib
import inspect
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, list_tasks, make_task
from neuromas_env.tasks.hierarchy import LEVELS
from neuromas_env.tasks.trees import KINDS

NUMBERS = ["max", "minimax", "median", "select"]
ORDERED = ["minimax", "median", "select", "arith", "bool", "swap"]
RESIDUES = ["modsum", "arith"]


def compute(kind: str, query: str, text: str, modulus: int) -> str:
    """Read an expression without any knowledge of how it was made."""
    if kind == "max":
        return str(max(map(int, re.findall("[0-9]+", text))))
    if kind == "nav":
        moves = re.findall("(left|right) ([0-9]+)", text)
        return str(sum(int(steps) if way == "right" else -int(steps) for way, steps in moves))
    if kind == "swap":
        ball = int(re.search("cup ([0-9]) hides", query)[1])
        for pair in re.findall("swap ([0-9]) and ([0-9])", text):
            first, second = map(int, pair)
            ball = {first: second, second: first}.get(ball, ball)
        return str(ball)
    value = eval(text, {"median": lambda *values: sorted(values)[(len(values) - 1) // 2],
                        "max": max, "min": min})  # fmt: skip
    if kind == "select":
        path = re.findall("item ([0-9]+) of", query)
        # The query names all levels; a part is reached by the last of them in the nesting.
        while isinstance(value, list):
            value = value[int(path[depth_of(value) - 1]) - 1]
    if kind == "parity":
        return "odd" if value % 2 else "even"
    return str(value % modulus if kind in RESIDUES else value)


def depth_of(value: object) -> int:
    return 1 + depth_of(value[0]) if isinstance(value, list) else 0


def evaluate(task, query: str, lines: list[str]) -> str:
    """Put the parts of a question together again and compute the whole."""
    lines = [line.removeprefix("Numbers: ") for line in lines]
    if task.parts and task.variant in ORDERED:
        named = dict(line.split(" = ") for line in lines)
        assert list(named) == [f"X{i}" for i in range(1, len(lines) + 1)]
        outer = re.sub("^.*[?.] ", "", query)
        whole = re.sub("X[0-9]+", lambda name: bracketed(task.variant, named[name[0]]), outer)
    elif task.variant in ("modsum", "parity"):
        whole = " + ".join(f"({line})" for line in lines)
    else:
        whole = ", ".join(lines)
    return compute(task.variant, query, whole, task.modulus)


def bracketed(kind: str, text: str) -> str:
    return f"({text})" if kind in ("arith", "bool") else text


@st.composite
def tasks(draw):
    kind = draw(st.sampled_from(list(KINDS)))
    branching = draw(st.integers(2, 3))
    depth = draw(st.integers(1, 3))
    lowest = branching ** (depth - 1)
    leaves = draw(st.sampled_from([n for n in range(2 * lowest, 65, lowest) if n >= 6]))
    parts = draw(st.sampled_from([0, *(branching**n for n in range(1, depth))]))
    extra = {"modulus": draw(st.integers(5, 100))} if kind in RESIDUES else {}
    return make_task(
        f"hierarchy/{kind}",
        depth=depth,
        branching=branching,
        leaves=leaves,
        parts=parts,
        seed=draw(st.integers(0, 9)),
        **extra,
    )


@pytest.mark.slow
@given(tasks(), st.sampled_from(SPLITS), st.integers(0, 511))
@settings(max_examples=150, deadline=None)
def test_target_is_what_the_text_says(task, split, index):
    example = task.examples(split)[index]
    head, *lines = example.question.split("\n")
    assert example.target == evaluate(task, head, lines)
    if task.parts:
        assert (example.query, list(example.parts)) == (head, lines)
        assert len(example.parts) == len(example.extra["values"]) == task.parts
    numbers = re.findall("[0-9]+", " ".join(line.partition(" = ")[2] or line for line in lines))
    if task.variant in NUMBERS:
        assert len(set(numbers)) == len(numbers) == task.leaves
        assert example.target in numbers
    if task.variant in ("modsum", "arith", "parity", "nav"):
        assert len(numbers) == task.leaves
    assert task.answer_format == {
        "bool": "Answer True or False only.", "parity": "Answer odd or even only."
    }.get(task.variant, "Answer with the number only.")  # fmt: skip


@given(tasks(), st.integers(0, 511))
@settings(max_examples=60, deadline=None)
def test_one_short_value_of_each_part_is_enough(task, index):
    example = task.examples("test")[index]
    for line, value in zip(example.parts, example.extra["values"], strict=bool(task.parts)):
        text = line.removeprefix("Numbers: ").rpartition(" = ")[2]
        if task.variant != "swap":
            assert value == compute(task.variant, example.query, text, task.modulus)
            continue
        ends = value.split()
        for start in "12345":
            query = f"cup {start} hides"
            assert ends[int(start) - 1] == compute("swap", query, text, task.modulus)


@given(tasks(), st.sampled_from(SPLITS), st.integers(0, 511))
@settings(max_examples=40, deadline=None)
def test_an_item_depends_on_its_place_alone(task, split, index):
    same = make_task(task.name)
    assert same.name == task.name
    assert same.examples(split)[index] == task.examples(split)[index]
    assert same.examples(split)[index : index + 1][0].id == f"{split}/{index}"


PINNED = {
    ("train", 0): ("37, 30, 23, 91", "15, 83, 77, 65", "91"),
    ("test", 7): ("88, 11, 73, 52", "81, 38, 83, 89", "89"),
    ("validation", 511): ("66, 50, 20, 13", "73, 55, 98, 32", "98"),
}


@pytest.mark.parametrize(("place", "texts"), PINNED.items())
def test_questions_that_published_numbers_stand_on_stay_as_they_are(place, texts):
    example = make_task("hierarchy/max").examples(place[0])[place[1]]
    first, second, target = texts
    question = f"What is the largest number?\nNumbers: {first}\nNumbers: {second}"
    assert (example.question, example.target) == (question, target)


PRINTS = {
    "max:parts=0": "e3b514d737efe628",
    "bool:depth=3,leaves=16,parts=4": "e8746ee887724e13",
    "modsum:depth=3,leaves=16,parts=2,modulus=7": "ffd28d1d37a16ee6",
    "nav:seed=3": "ab12b148c5d9babe",
}


@pytest.mark.parametrize(("name", "print_"), PRINTS.items())
def test_other_questions_stay_as_they_are(name, print_):
    examples = make_task(f"hierarchy/{name}").examples("test")[:100]
    text = "\n\n".join(f"{e.question}\n{e.target}" for e in examples)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == print_


def test_tree_shape_is_exact():
    example = make_task("hierarchy/bool:depth=3,branching=3,leaves=18,parts=9").examples("test")[0]
    assert len(re.findall("X[0-9]", example.query)) == 9
    assert example.query.count("(") == 3
    assert all(len(re.findall("True|False", part)) == 2 for part in example.parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "max:leaves=2,depth=1,parts=0",
        "nav:leaves=4",
        "bool:leaves=6",
        "swap:leaves=4",
        "parity:leaves=4",
    ],
)
def test_splits_share_no_question_for_any_seed(name):
    # Few different questions, so that a leak between splits would show.
    seen = {split: set() for split in SPLITS}
    for seed in (0, 1):
        task = make_task(f"hierarchy/{name}", seed=seed)
        for split in SPLITS:
            seen[split] |= {example.question for example in task.examples(split)[:512]}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]
    assert min(map(len, seen.values())) > 100


def test_seed_gives_other_questions():
    first = make_task("hierarchy/max").examples("test")[:50]
    second = make_task("hierarchy/max:seed=1").examples("test")[:50]
    assert not {e.question for e in first} & {e.question for e in second}


def test_split_sizes_and_unknown_split():
    task = make_task("hierarchy/max")
    assert [len(task.examples(split)) for split in SPLITS] == [100_000, 512, 512]
    assert task.examples("train")[-1].id == "train/99999"
    with pytest.raises(IndexError):
        task.examples("test")[512]
    with pytest.raises(InputError, match="Did you mean 'validation'"):
        task.examples("validaton")


@pytest.mark.slow
def test_baselines():
    for split in ("train", "test"):
        largest = make_task("hierarchy/max")
        # The best constant is 99, which is among 8 of 90 numbers in 8 / 90 of the questions.
        assert largest.majority(split) == pytest.approx(8 / 90, abs=0.03)
        assert largest.blind_accuracy(split) == largest.majority(split)
        assert make_task("hierarchy/modsum").majority(split) == pytest.approx(0.1, abs=0.04)
        truth = make_task("hierarchy/bool:depth=3,leaves=16,parts=4")
        assert 0.5 <= truth.majority(split) <= truth.blind_accuracy(split) < 0.6
    assert make_task("hierarchy/max:parts=0").blind_accuracy("test") == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_and_its_baselines_are_known(kind):
    assert f"hierarchy/{kind}" in list_tasks()
    task = make_task(f"hierarchy/{kind}")
    majority = task.majority("test")
    # Neither guessing nor a constant answer solves it, nor does the query alone.
    assert 0 < task.chance() <= 0.5 and 0 < majority <= task.blind_accuracy("test") < 0.6
    if kind in ("modsum", "parity", "bool", "swap"):  # all answers are as likely
        assert majority == pytest.approx(task.chance(), abs=0.05)


def test_a_guess_among_the_possible_answers():
    chances = {
        "max:leaves=16": 1 / 16, "select": 1 / 8, "modsum:modulus=7": 1 / 7, "arith": 1 / 10,
        "parity": 1 / 2, "bool": 1 / 2, "swap": 1 / 5, "nav:leaves=4": 1 / 73,
    }  # fmt: skip
    for name, chance in chances.items():
        assert make_task(f"hierarchy/{name}").chance() == chance


@pytest.mark.parametrize("kind", KINDS)
def test_levels_get_harder_and_are_names_for_parameters(kind):
    tasks = [make_task(f"hierarchy/{kind}:level={n}") for n in range(1, len(LEVELS) + 1)]
    assert tasks[1].name == f"hierarchy/{kind}"
    for task, wanted, before in zip(tasks, LEVELS, (tasks[0], *tasks[:-1]), strict=True):
        assert make_task(task.name).name == task.name
        assert {key: getattr(task, key) for key in wanted} == wanted
        assert task.leaves >= before.leaves
        assert task.depth >= before.depth
        assert task.examples("test")[0].parts
    whole = make_task(f"hierarchy/{kind}:level=4,parts=0,seed=2")
    assert (whole.leaves, whole.parts, whole.seed) == (16, 0, 2)


def test_parameters_are_documented():
    hierarchy = type(make_task("hierarchy/max"))
    for name in inspect.signature(hierarchy).parameters:
        assert f"    {name}: " in inspect.getdoc(hierarchy)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("max:leaves=7", "take 4, 6 or another multiple of 2"),
        ("max:leaves=x", "leaves must be an integer from 2 to 64, not 'x'"),
        ("max:depth=7", "depth must be an integer from 1 to 6"),
        ("max:depth=6,branching=8", "take a smaller depth or branching"),
        ("max:parts=4", "must be 0 or 2, not 4"),
        ("max:depth=1", "must be 0, not 2"),
        ("max:modulus=3", "only hierarchy/modsum and arith have a modulus"),
        ("max:level=8", "level must be an integer from 0 to 7, not 8"),
        ("max:level=4,leaves=32", "level=4 means leaves=16, not 32"),
        ("max:level=3,parts=6", "level=3 means parts=3, not 6; give either a level"),
        ("parity:leaves=2,depth=1,parts=0", "take more leaves"),
        ("max:seed=-1", "seed must be an integer from 0"),
        ("bool:leaves=4", "take more leaves"),
        ("maxx", "Did you mean 'hierarchy/max'"),
        ("max:leafs=4", "Did you mean 'leaves'"),
    ],
)
def test_bad_parameters_say_what_would_be_right(params, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_task(f"hierarchy/{params}")


def test_every_kind_is_listed_by_what_it_asks():
    abouts = {name: about for name, about in list_tasks().items() if name.startswith("hierarchy/")}
    assert len(set(abouts.values())) == len(abouts) == 10
    assert abouts["hierarchy/parity"] == "tree of operations: whether a sum is even or odd"
