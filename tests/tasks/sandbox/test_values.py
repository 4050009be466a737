"""What crosses the border between judge and program, and that nothing else does."""

from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.tasks.sandbox import Program, Sandbox
from neuromas_env.tasks.sandbox.protocol import BadMessageError, frame, receive
from neuromas_env.tasks.sandbox.values import pack, unpack

VALUES = [
    None, True, 0, -7, 2**63 - 1, 2**63, -(2**63) - 1, 7**5000, 1.5, -0.0, 1e308, float("inf"),
    "", "ä\0\n\ud800\U0001f600", b"\0\xff", bytearray(b"x"), 1 + 2j, (), (1,), [1, [2, (3,)]],
    {1, "a"}, frozenset({(1, 2)}), {}, {"a": 1, (2, 3): [4], None: {5: 6}}, range(3, 30, 7),
    deque([1, 2]), Decimal("1.10"), Decimal("NaN"), Fraction(1, 3), int, str, [list, None],
]  # fmt: skip
PLAIN = [
    (Counter("aab"), {"a": 2, "b": 1}),
    (OrderedDict(a=1), {"a": 1}),
    (defaultdict(list, a=[1]), {"a": [1]}),
    (namedtuple("Point", "x y")(1, 2), (1, 2)),
    (type("Text", (str,), {})("x"), "x"),
    (type("Whole", (int,), {})(5), 5),
    (type("Real", (float,), {})(0.5), 0.5),
]


def refuse(*given):
    raise AssertionError(f"not plain: {given}")


def there_and_back(value):
    wire = receive(partial(take, bytearray(frame(pack(value, refuse)))))
    return unpack(wire, refuse)


def take(stream, size):
    data = bytes(stream[:size])
    del stream[:size]
    return data


def same(one, other):
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))  # a set's repr has no order
def test_plain_values_cross_the_border_unchanged(value):
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(("value", "plain"), PLAIN)
def test_subclasses_cross_the_border_as_what_they_are_plainly(value, plain):
    assert same(there_and_back(value), plain)


def test_views_and_iterators_keep_what_tests_can_see_of_them():
    table = {"a": 1, "b": 2}
    assert there_and_back(table.keys()) == {"a", "b"}
    assert there_and_back(table.items()) == {("a", 1), ("b", 2)}
    assert list(there_and_back(table.values())) == [1, 2]
    for iterator in (iter([1, 2]), map(int, "12"), (int(x) for x in "12"), reversed("21")):
        assert there_and_back(iterator) != [1, 2]
    assert tuple(there_and_back(map(int, "12"))) == (1, 2)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(plain)
def test_any_plain_value_crosses_the_border_unchanged(value):
    assert same(there_and_back(value), value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text() | st.sampled_from(["int", "set", "dict", "range", "type", "ref", "decimal"]),
            inner,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(anything)
def test_forged_values_are_refused_or_plain(data):
    try:
        value = unpack(data, lambda number: f"object {number}")
    except BadMessageError:
        return
    assert type(value).__module__ in ("builtins", "decimal", "fractions", "collections")


@given(st.binary())
def test_forged_messages_are_refused_or_json(data):
    try:
        receive(partial(take, bytearray(data)), limit=1000)
    except BadMessageError:
        pass


def test_messages_have_a_limit():
    assert receive(partial(take, bytearray(frame("x" * 90, 100))), 100) == "x" * 90
    with pytest.raises(BadMessageError, match="102 bytes; at most 100"):
        frame("x" * 100, 100)
    with pytest.raises(BadMessageError, match="at most 100"):
        receive(partial(take, bytearray(frame("x" * 100))), 100)


def test_values_of_every_kind_reach_the_program_and_come_back():
    values = [v for v in VALUES if repr(v) not in ("NaN", "Decimal('NaN')")]
    setup = "from collections import deque\nfrom decimal import Decimal\n"
    setup += "from fractions import Fraction\ninf = float('inf')\n"
    written = [v.__name__ if isinstance(v, type) else hex(v) if is_long(v) else repr(v)
               for v in values if not isinstance(v, list)]  # fmt: skip
    tests = "\n".join(f"assert f({w}) == {w}, {w[:9]!r}" for w in written)
    program = Program((("def f(x): return x",),), ("f",), tests, setup)
    with Sandbox(workers=1) as box:
        [verdict] = box.judge([program])
    assert verdict.outcome == "passed", verdict


def is_long(value):
    return isinstance(value, int) and abs(value) > 1 << 64


LOADED = [10**9, 1, -1, True, False, 0.0, 1e300, "0", [0], {"int": "0"}, {}, 10**400]
# What `pack` never makes, some of which would take minutes to build.
VALUE = [
    {"fraction": ["1e999999999"]}, {"fraction": [1, "1e999999999"]}, {"fraction": [1, 0]},
    {"fraction": [1.5, 2]}, {"fraction": [True, 2]}, {"fraction": [1]}, {"fraction": 1},
    {"decimal": ["1e999999999"]}, {"decimal": ["-1e-999999999"]}, {"decimal": [7]},
    {"decimal": ["7", "7"]}, {"decimal": ["seven"]}, {"decimal": ["9" * 150_000]},
    {"int": 7}, {"int": "seven"}, {"int": ["7"]}, {"int": True}, {"int": None},
    {"range": [10**18]}, {"range": [0, 10**18, 1]}, {"range": [0, 7.0, 1]}, {"range": "07"},
    {"range": [0, 1, 0]}, {"bytes": 10**9}, {"bytes": [256]}, {"bytes": ["a"]}, {"bytes": [True]},
    {"bytearray": 10**9}, {"complex": ["1e9"]}, {"complex": [1, 2]}, {"complex": [True, 0.0]},
    {"dict": ["ab"]}, {"dict": [[1, 2]]}, {"dict": [{"tuple": [1]}]}, {"dict": 7},
    {"items": ["ab"]}, {"keys": [[1]]}, {"set": [[1]]}, {"set": 7}, {"tuple": None},
    {"type": ["print"]}, {"type": ["__loader__"]}, {"type": [["int"]]}, {"type": []},
    {"ref": True}, {"ref": -1.5}, {"ref": "0"}, {"ref": [0]}, {"ref": None}, {"evil": []},
    {"int": "7", "ref": 0}, {},
]  # fmt: skip
MESSAGES = [
    *({"loaded": number} for number in LOADED), 7, None, [], "loaded", {}, {"value": 7},
    {"loaded": 0, "value": 7}, {"error": 7}, {"error": None}, {"error": ["x"]},
]  # fmt: skip
FORGED = "import json, os\nfor fd in range(3, 64):\n    try: os.write(fd, bytes.fromhex({!r}))\n"
FORGED += "    except OSError: pass\ndef f(x): return x"


def forged(*messages):
    """Return a program that sends messages of its own before it is asked."""
    source = FORGED.format(b"".join(map(frame, messages)).hex())
    return Program(((source,),), ("f",), "assert f(1) != 5", wall_seconds=5)


def test_a_forged_message_fails_its_own_program_alone():
    hostile = [forged(message) for message in MESSAGES]
    hostile += [forged({"loaded": 0}, {"value": value}) for value in VALUE]
    hostile += [forged({"loaded": 0}, message) for message in MESSAGES if message != {"value": 7}]
    honest = Program((("def f(x): return x",),), ("f",), "assert f(1) == 1")
    with Sandbox(workers=1) as box:
        [worker] = box._workers
        *verdicts, last = box.judge([*hostile, honest])
        assert box._workers == [worker]
    assert last.outcome == "passed"
    for program, verdict in zip(hostile, verdicts, strict=True):
        assert verdict.outcome == "failed", (
            bytes.fromhex(program.readings[0][0].split("'")[1]),
            verdict,
        )
        assert verdict.detail.startswith("the program: ") and verdict.reading is None


@pytest.mark.slow
@given(anything)
def test_forged_values_are_those_of_pack(data):
    """What is accepted survives another crossing."""
    try:
        value = unpack(data, lambda number: None)
        again = there_and_back(value)
    except (BadMessageError, AssertionError):
        return
    assert type(again) is type(value)
