"""Which limit struck, what a program sees of us, and what it returns."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from support.sandboxes import HONEST, WRONG, descendants

from neuromas_env.tasks.sandbox import Program, Sandbox


@pytest.fixture(scope="module")
def box():
    with Sandbox(workers=1) as made:
        yield made


def program(source, tests, *names, **options):
    return Program(((source,),), names or ("f",), tests, **options)


IGNORING = """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
"""
LIMITS = [
    ("def f(x):\n    while True: pass", "timeout", "cpu", "out of processor time"),
    (f"{IGNORING}def f(x):\n    while True: pass", "timeout", "cpu", "out of processor time"),
    ("while True: pass", "timeout", "cpu", "out of processor time"),
    ("def f(x): return 9 ** 9 ** 9 % 10", "timeout", "cpu", "out of processor time"),
    ("import time\ndef f(x): time.sleep(1000)", "timeout", "wall", "out of time"),
    ("import time\ntime.sleep(1000)", "timeout", "wall", "out of time"),
    ("def f(x): return len(bytearray(8 << 30))", "failed", "memory", "MemoryError"),
    ("def f(x): return 'x' * 10**6", "failed", "message", "a message of 1000013 bytes; at most"),
    ("import itertools\ndef f(x): return itertools.count()", "failed", "message", "an iterator of"),
    ("import os\ndef f(x): os._exit(3)", "failed", "", "it ended with exit status 3"),
    ("import os\nos._exit(0)", "failed", "", "it ended with exit status 0"),
    ("import ctypes\ndef f(x): ctypes.string_at(0)", "failed", "", "it ended with SIGSEGV"),
    ("import os\ndef f(x): os.closerange(3, 64)", "failed", "", "it ended with exit status 0"),
    ("import time\ndef f(x):\n    time.sleep(0.01)\n    return 1", "passed", "", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "outcome", "limit", "detail"), LIMITS)
def test_a_verdict_names_the_limit_that_struck(box, source, outcome, limit, detail):
    wall = 2 if limit == "wall" else 8  # a busy machine gives a second of its time late
    [verdict] = box.judge([program(source, "assert f(1)", seconds=1, wall_seconds=wall)])
    assert (verdict.outcome, verdict.limit) == (outcome, limit), verdict
    assert detail in verdict.detail


@pytest.mark.slow
def test_limits_of_time_are_those_of_the_program(box):
    loop = "import time\ndef f(x):\n    while time.process_time() < 1.5: pass\n    return 1"
    short, long = (program(loop, "assert f(1)", seconds=s, wall_seconds=60) for s in (1, 3))
    assert [v.limit or v.outcome for v in box.judge([short, long])] == ["cpu", "passed"]


def test_a_program_that_the_system_kills_is_told_from_one_that_ends_itself(box):
    """As where the memory of a container is less than what a program may have."""
    [worker] = box._workers
    before = set(descendants(worker.process.pid))

    judged = threading.Event()

    def kill():
        while not judged.wait(0.01):  # the first one seen may be on its way to another program
            if new := set(descendants(worker.process.pid)) - before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(max(new), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    [verdict] = box.judge([program("import time\ndef f(x): time.sleep(60)", "f(1)")])
    judged.set()
    thread.join()
    assert (verdict.outcome, verdict.limit) == ("failed", "memory"), verdict
    assert "killed by the system" in verdict.detail and box._workers == [worker]


STATE = """
import decimal, gc, sys, warnings
def f():
    return [
        __debug__, sys.flags.optimize, sys.getrecursionlimit(), sys.get_int_max_str_digits(),
        decimal.getcontext().prec, gc.isenabled(), sys.gettrace() is None,
        [str(given) for given in warnings.filters], vars(sys.modules["__main__"]).get("main"),
        sorted({name.partition(".")[0] for name in sys.modules if name != __name__}
               - sys.stdlib_module_names),
        sorted(name for name in globals() if not name.startswith("_")),
        __name__ == "__main__", sys.argv[1:],
    ]
"""


def test_a_program_sees_a_plain_interpreter(box):
    runner = "import json, sys\nnames = {}\nexec(sys.stdin.read(), names)\n"
    runner += "print(json.dumps(names['f']()))"
    ran = subprocess.run(
        [sys.executable, "-S", "-E", "-c", runner], input=STATE, capture_output=True, check=True,
        text=True,
    )  # fmt: skip
    plain = json.loads(ran.stdout)
    for free in (False, True):
        [verdict] = box.judge([program(STATE, f"found = f()\nassert found == {plain}, found",
                                       free=free)])  # fmt: skip
        assert verdict.outcome == "passed", verdict


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="annotations are evaluated when asked for")
@pytest.mark.parametrize("annotated", ["x: Foo", "x: List[int]", "x, y: 'Foo' = Foo"])
def test_annotations_are_evaluated_as_in_any_program(box, annotated):
    source = f"def f({annotated}): return x"
    verdicts = box.judge([program(source, "f(1)"), program(source, "f(1)", free=True)])
    assert [v.outcome for v in verdicts] == ["failed"] * 2
    assert "NameError" in verdicts[0].detail
    postponed = "from __future__ import annotations\n" + source.replace(" = Foo", " = 1")
    verdicts = box.judge([program(postponed, "f(1)", free=free) for free in (False, True)])
    assert [v.outcome for v in verdicts] == ["passed"] * 2
    # The tests are no part of our own module either.
    [verdict] = box.judge([program("def f(x): return x", "def test(x: Foo): pass")])
    assert verdict.detail == "the tests: NameError: name 'Foo' is not defined"


def test_programs_that_return_the_same_can_be_told(box):
    calls = ("f(1)", "[f(n) for n in range(3)]")
    sources = {
        "plain": "def f(x): return {'a': [x, (x, 0.3)], 1: {x}}",
        "in another order": "def f(x): return {1: {x}, 'a': [x, (x, 0.1 + 0.2)]}",
        "of another type": "from collections import OrderedDict\n"
        "def f(x): return OrderedDict({1: {x}, 'a': [float(x), (x, 0.3)]})",
        "a list": "def f(x): return {'a': [x, [x, 0.3]], 1: {x}}",
        "another number": "def f(x): return {'a': [x, (x, 0.3001)], 1: {x}}",
        "a failure": "def f(x): return {'a': [x, (x, 0.3)], 1: {x}} if x < 2 else 1 / 0",
        "an object": "class A: pass\ndef f(x): return A()",
    }
    verdicts = box.judge([program(source, "", calls=calls) for source in sources.values()])
    found = dict(zip(sources, (v.returned for v in verdicts), strict=True))
    assert len(found["plain"]) == 64
    assert found["plain"] == found["in another order"] == found["of another type"]
    assert len({found[name] for name in ("plain", "a list", "another number")}) == 3
    assert found["a failure"] == found["an object"] == ""


def test_what_cannot_be_sent_to_a_worker_is_an_error_of_its_program(box):
    long = program("def f(x): return x", f"# {'x' * (17 << 20)}")
    verdicts = box.judge([HONEST, long, WRONG, HONEST])
    assert [v.outcome for v in verdicts] == ["passed", "error", "failed", "passed"]
    assert "it cannot be sent to a worker: a message of" in verdicts[1].detail
