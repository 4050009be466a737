"""The procedural trees: values checked by an evaluator of their text, splits, parameters."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, make_task

KINDS = ["max", "bool", "modsum", "nav"]


def evaluate(kind: str, text: str, modulus: int) -> str:
    """Read the text of a tree without any knowledge of how it was made."""
    if kind == "max":
        return str(max(map(int, re.findall("[0-9]+", text))))
    if kind == "nav":
        moves = re.findall("(left|right) ([0-9]+)", text)
        return str(sum(int(steps) if way == "right" else -int(steps) for way, steps in moves))
    value = eval(text, {"__builtins__": {}})
    return str(value % modulus if kind == "modsum" else value)


@st.composite
def tasks(draw):
    kind = draw(st.sampled_from(KINDS))
    branching = draw(st.integers(2, 3))
    depth = draw(st.integers(1, 3))
    lowest = branching ** (depth - 1)
    leaves = draw(st.sampled_from([n for n in range(2 * lowest, 65, lowest) if n >= 6]))
    parts = draw(st.sampled_from([0, *(branching**n for n in range(1, depth))]))
    extra = {"modulus": draw(st.integers(5, 100))} if kind == "modsum" else {}
    return make_task(
        f"hierarchy/{kind}",
        depth=depth,
        branching=branching,
        leaves=leaves,
        parts=parts,
        seed=draw(st.integers(0, 9)),
        **extra,
    )


@given(tasks(), st.sampled_from(SPLITS), st.integers(0, 511))
@settings(max_examples=60, deadline=None)
def test_target_is_what_the_text_says(task, split, index):
    example = task.examples(split)[index]
    head, *lines = example.question.split("\n")
    body = lines[0]
    if task.parts:
        assert (example.query, list(example.parts)) == (head, lines)
        assert len(example.parts) == task.parts
        body = "\n".join(lines)
    if task.variant == "bool" and task.parts:
        values = {f"X{i}": eval(line.split(" = ")[1]) for i, line in enumerate(lines, 1)}
        assert example.extra["values"] == tuple(map(str, values.values()))
        assert [line.split(" = ")[0] for line in lines] == list(values)
        assert example.target == str(eval(head.removeprefix("True or False? "), values))
        return
    joined = {"max": " ", "modsum": " + ", "nav": ", ", "bool": ""}[task.variant]
    bodies = [f"({line})" for line in lines] if task.variant == "modsum" else lines
    assert example.target == evaluate(task.variant, joined.join(bodies), task.modulus)
    for line, value in zip(body.split("\n"), example.extra["values"], strict=True):
        assert value == evaluate(task.variant, line, task.modulus)
    numbers = re.findall("[0-9]+", body)
    if task.variant == "max":
        assert len(set(numbers)) == len(numbers) == task.leaves


@given(tasks(), st.sampled_from(SPLITS), st.integers(0, 511))
@settings(max_examples=40, deadline=None)
def test_an_item_depends_on_its_place_alone(task, split, index):
    same = make_task(task.name)
    assert same.name == task.name
    assert same.examples(split)[index] == task.examples(split)[index]
    assert same.examples(split)[index : index + 1][0].id == f"{split}/{index}"


def test_tree_shape_is_exact():
    example = make_task("hierarchy/bool:depth=3,branching=3,leaves=18,parts=9").examples("test")[0]
    assert len(re.findall("X[0-9]", example.query)) == 9
    assert example.query.count("(") == 3
    assert all(len(re.findall("True|False", part)) == 2 for part in example.parts)


@pytest.mark.parametrize("name", ["max:leaves=2,depth=1,parts=0", "nav:leaves=4", "bool:leaves=6"])
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


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("max:leaves=7", "take 4, 6 or another multiple of 2"),
        ("max:leaves=x", "leaves must be an integer from 2 to 64, not 'x'"),
        ("max:depth=7", "depth must be an integer from 1 to 6"),
        ("max:depth=6,branching=8", "take a smaller depth or branching"),
        ("max:parts=4", "must be 0 or 2, not 4"),
        ("max:depth=1", "must be 0, not 2"),
        ("max:modulus=3", "only hierarchy/modsum has a modulus"),
        ("max:seed=-1", "seed must be an integer from 0"),
        ("bool:leaves=4", "take more leaves"),
        ("maxx", "Did you mean 'hierarchy/max'"),
        ("max:leafs=4", "Did you mean 'leaves'"),
    ],
)
def test_bad_parameters_say_what_would_be_right(params, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_task(f"hierarchy/{params}")
