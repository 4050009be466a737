"""Programs that try to break out or to forge a pass, in every sandbox that works here.

An attack reports what it reached, and its tests pass only if it reached something, so no
attack may pass. After each one an honest and a wrong program are judged in the same sandbox.
"""

import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from support.attacks import COMPARED, ENDLESS, FORGING, PRELUDE, REACHING, SECRET
from support.sandboxes import HONEST, WRONG, alive, descendants, open_sandbox

from neuromas_env.tasks.sandbox import Program, Sandbox, tiers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=tiers.SAFE)
def box(request):
    os.environ["NEUROMAS_TEST_SECRET"] = SECRET
    try:
        with open_sandbox(request.param) as sandbox:
            yield sandbox
    finally:
        del os.environ["NEUROMAS_TEST_SECRET"]


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    victim = tmp_path_factory.mktemp("victim")
    victim.chmod(0o777)
    secret = victim / "secret.txt"
    secret.write_text(SECRET)
    secret.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(victim / "socket"))
        local.listen()
        yield {
            "victim": str(victim),
            "secret": str(secret),
            "port": server.getsockname()[1],
            "pid": os.getpid(),
            "packages": os.path.dirname(os.path.dirname(pytest.__file__)),
        }


def attack(box, source, tests, frees=(False,), **options):
    """Judge an attack, and then an honest and a wrong program by the same worker."""
    [worker] = box._workers
    options = {"seconds": 1} | options
    attacks = [Program(((source,),), ("attack",), tests, free=f, **options) for f in frees]
    *verdicts, honest, wrong = box.judge([*attacks, HONEST, WRONG])
    assert (honest.outcome, wrong.outcome) == ("passed", "failed")
    assert box._workers == [worker]
    return verdicts


@pytest.mark.parametrize("name", REACHING)
def test_a_program_reaches_nothing(box, facts, name):
    before = sorted(os.listdir(facts["victim"]))
    told = facts | {"judge": box._workers[0].process.pid}
    body = textwrap.indent(textwrap.dedent(REACHING[name]), "    ")
    source = f"{PRELUDE}\ndef attack(facts):\n{body}\n"
    tests = "found = attack(FACTS)\nassert found, found  # SENTINEL OF THE TESTS\n"
    [verdict] = attack(box, source, tests, setup=f"FACTS = {told!r}")
    assert verdict.outcome == "failed", verdict
    assert sorted(os.listdir(facts["victim"])) == before
    with open(facts["secret"]) as file:
        assert file.read() == SECRET
    assert not os.path.exists("/tmp/planted")


@pytest.mark.parametrize("name", FORGING)
def test_a_program_cannot_forge_a_pass(box, name):
    source, tests = FORGING[name]
    for verdict in attack(box, source, tests, frees=(False, True), wall_seconds=5):
        assert verdict.outcome in ("failed", "unreadable", "timeout"), verdict


@pytest.mark.parametrize("name", ["loop that ignores signals", "sleep"])
def test_a_program_without_end_is_ended(box, name):
    [verdict] = attack(box, ENDLESS[name], COMPARED, wall_seconds=1 if name == "sleep" else 20)
    assert verdict.outcome == "timeout", verdict


@pytest.mark.parametrize("name", sorted(ENDLESS.keys() - {"loop that ignores signals", "sleep"}))
def test_more_programs_without_end_are_ended(name):
    """The limit of processor time is the same in all tiers, and each of these uses it up."""
    with Sandbox(workers=1) as sandbox:
        [verdict] = attack(sandbox, ENDLESS[name], COMPARED, wall_seconds=20)
    assert verdict.outcome == "timeout", verdict


def test_nothing_outlives_its_sandbox():
    with Sandbox(workers=1) as sandbox:
        family = descendants(sandbox._workers[0].process.pid)
    assert len(family) > 1
    wait_until(lambda: not any(map(alive, family)))


def test_a_sandbox_ends_with_the_process_that_uses_it():
    script = """
import sys
from neuromas_env.tasks.sandbox import Sandbox
box = Sandbox(workers=1)
print(box._workers[0].process.pid, flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        family = descendants(int(user.stdout.readline()))
        user.kill()
    assert len(family) > 1
    wait_until(lambda: not any(map(alive, family)))


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
