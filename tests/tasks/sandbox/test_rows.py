"""Rows whose tests attack are contained, and fail their own question alone."""

import os
import textwrap
import time

import pytest
from support.attacks import PRELUDE, REACHING, SECRET
from support.rows import ROWS
from support.sandboxes import HONEST, WRONG, alive, open_sandbox

from neuromas_env.tasks.sandbox import Program, Sandbox, tiers

pytestmark = pytest.mark.slow
SOURCE = (("def f(x): return x",),)


@pytest.fixture(scope="module")
def box():
    os.environ["NEUROMAS_TEST_SECRET"] = SECRET
    try:
        with Sandbox(workers=1) as made:
            yield made
    finally:
        del os.environ["NEUROMAS_TEST_SECRET"]


@pytest.fixture(scope="module")
def writable(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writable")
    folder.chmod(0o777)
    return folder


def judged(box, program):
    """Return the verdict on a program after which others are judged rightly by its worker."""
    [worker] = box._workers
    verdict, *others = box.judge([program, WRONG, HONEST, WRONG])
    assert [other.outcome for other in others] == ["failed", "passed", "failed"]
    assert box._workers == [worker] and alive(worker.process.pid)
    return verdict


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_row_fails_alone(box, writable, name):
    tests, outcomes = ROWS[name]
    tests = tests.replace("WRITABLE", str(writable)).replace("PARENT", str(os.getpid()))
    started = time.monotonic()
    verdict = judged(box, Program(SOURCE, ("f",), tests, seconds=1, wall_seconds=2))
    assert verdict.outcome in outcomes, verdict
    assert len(verdict.detail.encode()) < 1000
    assert time.monotonic() - started < 60
    assert not os.listdir(writable)


@pytest.mark.parametrize("tier", tiers.SAFE)
def test_a_row_reaches_no_more_than_a_program(writable, tier):
    """The attacks of programs, as tests of a row; their own source is all that they find."""
    secret = writable.parent / "secret.txt"
    secret.write_text(SECRET)
    secret.chmod(0o666)
    facts = {
        "victim": str(writable), "secret": str(secret), "port": 9, "pid": os.getpid(),
        "packages": os.path.dirname(os.path.dirname(pytest.__file__)),
    }  # fmt: skip
    attacks = {name: body for name, body in REACHING.items() if name != "the tests' source"}
    with open_sandbox(tier) as box:
        facts["judge"] = box._workers[0].process.pid
        programs = [
            Program(
                SOURCE, ("f",), "found = attack(FACTS)\nassert found, found",
                f"{PRELUDE}\ndef attack(facts):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
                f"FACTS = {facts!r}", seconds=1,
            )
            for body in attacks.values()
        ]  # fmt: skip
        verdicts = box.judge([one for program in programs for one in (program, HONEST, WRONG)])
    found = dict(zip(attacks, verdicts[::3], strict=True))
    assert {v.outcome for v in found.values()} <= {"failed", "error"}, found
    assert {v.outcome for v in verdicts[1::3]} == {"passed"}
    assert {v.outcome for v in verdicts[2::3]} == {"failed"}
    assert secret.read_text() == SECRET and not os.listdir(writable)
