"""Anything in any place of the protocol, in both directions: refused where it arrives, or right."""

import contextlib
import json
from dataclasses import asdict
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timing import seconds

from neuromas_env.tasks.sandbox import Verdict, candidate, judge
from neuromas_env.tasks.sandbox.protocol import (
    QUESTION,
    READY,
    REPORT,
    BadMessageError,
    ClosedError,
    checked,
    fits,
    frame,
    receive,
    said,
)
from neuromas_env.tasks.sandbox.values import unpack
from neuromas_env.tasks.sandbox.verdicts import verdict_on

TAGS = (
    "int decimal type ref tuple set frozenset dict bytes bytearray complex range deque fraction "
    "keys items values iterator"
).split()
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["1e999999999", "0x" + "f" * 5000, "NaN", "-0", "int", "9" * 4000]),
    st.sampled_from([10**400, -(10**400), 1 << 63, 1e308]),
)  # fmt: skip
KEYS = st.sampled_from(TAGS) | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def nested(depth):
    """Lists in lists, made without the recursion of a parser."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


DEEP = st.integers(1, 900).map(nested)


def stream(*messages):
    """Return a function that reads messages, and then the end."""
    return stream_of(bytearray(b"".join(map(frame, messages))))


def stream_of(data):
    def read(size):
        part = bytes(data[:size])
        del data[:size]
        return part

    return read


def changed(shape_of):
    """A message of a shape, in which one place holds anything."""
    return st.builds(
        lambda key, value: shape_of | {key: value}, st.sampled_from([*shape_of, "more"]), ANYTHING
    )


RIGHT_SAID = {"outcome": "passed", "detail": "", "reading": 0, "returned": "", "failure": None,
              "limit": "", "gone": False}  # fmt: skip
RIGHT_REPORT = {"limit": "", "whose": "program", "program": None, "tests": 0}
RIGHT_QUESTION = {"kind": "call", "object": 0, "given": [1], "named": {}}


@pytest.mark.slow
@settings(max_examples=100)
@given(ANYTHING | DEEP | changed({"loaded": 0}), ANYTHING | changed({"value": 1}))
def test_what_a_candidate_says_fails_its_own_program_or_is_right(first, second):
    """Candidate to judge."""
    program = {"readings": [["x"]], "free": False, "names": ["f"], "calls": (),
               "setup": "", "tests": "f(1)"}  # fmt: skip
    read = stream(READY, first, second)
    found, unchanged = judge.judge(program, read, len, lambda: None)
    assert fits(json.loads(json.dumps(found)), said(1))
    assert found["outcome"] in ("passed", "failed")
    if not (fits(first, {"loaded": range(1)}) and fits(second, {"value": object})):
        assert found["outcome"] == "failed" and found["failure"] is not None and unchanged


@pytest.mark.slow
@settings(max_examples=100)
@given(ANYTHING | DEEP | changed(RIGHT_QUESTION))
def test_what_a_judge_asks_is_answered(question):
    """Judge to candidate."""
    wire = bytearray()
    request = {"readings": [["def f(*given, **named): return given, named"]], "free": False,
               "names": ["f"], "tested": False}  # fmt: skip
    with pytest.raises(ClosedError):
        candidate.serve(request, stream(question), lambda data: wire.extend(data) or len(data))
    answers = partial(receive, stream_of(wire))
    assert answers() == READY
    assert answers() == {"loaded": 0}
    [key] = answers()
    assert key == "value" or key == "error"
    assert key == "error" or fits(question, QUESTION)


@pytest.mark.slow
@settings(max_examples=150)
@given(ANYTHING | changed(RIGHT_SAID), ANYTHING | changed(RIGHT_REPORT))
def test_what_reaches_the_parent_is_a_verdict_or_refused(told, report):
    """Judge and fork server to parent."""
    try:
        report = checked(report, REPORT, "a report")
    except BadMessageError:
        report = RIGHT_REPORT
    verdict = verdict_on(told if fits(told, said(1)) else None, report)
    assert isinstance(verdict, Verdict)
    assert verdict.outcome in ("passed", "failed", "timeout", "unreadable", "error")
    assert verdict.reading in (None, 0) and len(verdict.detail) < 300
    json.dumps(asdict(verdict)).encode()
    if verdict.outcome == "passed":
        assert told["outcome"] == "passed" and told["failure"] is None


HUGE = [
    {"fraction": ["1e999999999"]}, {"fraction": [{"int": "0x" + "f" * 10**5}, 0]},
    {"fraction": [1, {"decimal": "1E+99999"}]}, {"decimal": "1e999999999"},
    {"decimal": "9" * 200_000}, {"decimal": ["1e999999999"]}, {"complex": ["1e9", 1]},
    {"int": "0x" + "z" * 10**5}, {"int": "1" * 10**5}, {"range": [0, 10**30, 1]},
    {"range": [0, {"int": hex(1 << 100_000)}, 1]}, {"bytes": [10**400]}, {"set": 10**9},
    {"x" * 10**5: []}, {"tuple": {"x" * 10**5: 1}}, {"type": "x" * 10**5}, {"type": "type"},
    {"ref": 10**400}, {"ref": -1}, {"iterator": "x" * 10**5}, nested(900),
]  # fmt: skip


@pytest.mark.parametrize("value", HUGE, ids=range(len(HUGE)))
def test_what_would_take_long_to_make_is_not_made(value):
    def make():
        with contextlib.suppress(BadMessageError):
            unpack(value, lambda number: None)

    assert seconds(make, bound=1) < 1


@pytest.mark.parametrize(
    ("shape", "right", "wrong"),
    [
        (int, [0, -5], [True, 1.0, "1", None]),
        (range(3), [0, 2], [3, -1, True, 1.0]),
        ((None, "a", bool), [None, "a", True], ["b", 0]),
        ([int], [[], [1, 2]], [[True], "", (1,), None]),
        ([int, str], [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
        ({"a": int}, [{"a": 1}], [{}, {"a": "1"}, {"a": 1, "b": 2}, [("a", 1)]]),
        (object, [None, {}, 1], []),
    ],
)
def test_shapes(shape, right, wrong):
    assert all(fits(value, shape) for value in right)
    assert not any(fits(value, shape) for value in wrong)
