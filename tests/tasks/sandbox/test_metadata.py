"""What a program or a row can learn about the machine, as docs/sandbox.md has it."""

import os

import pytest
from support.sandboxes import open_sandbox

from neuromas_env.tasks.sandbox import Program, tiers

ASKING = """
import ctypes, os, platform, time, uuid

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(512)
NUMBERS = {"x86_64": (99, 63, 228, 204), "aarch64": (179, 160, 113, 123)}
sysinfo, uname, clock, affinity = NUMBERS.get(os.uname().machine, (99, 63, 228, 204))

def told(*asked):
    found = []
    for name, ask in asked:
        try:
            if ask():
                found.append(name)
        except OSError:
            pass
    return found

def machine(parent, path):
    return told(
        ("a signal of nothing", lambda: os.kill(parent, 0) is None),
        ("the session of a process", lambda: os.getsid(parent)),
        ("the group of a process", lambda: os.getpgid(parent)),
        ("the priority of a process", lambda: os.getpriority(os.PRIO_PROCESS, parent) is not None),
        ("the processors of a process", lambda: os.sched_getaffinity(parent)),
        ("the time of a process", lambda: time.clock_gettime(~parent << 3 | 2)),
        ("the time of a process, by number",
         lambda: libc.syscall(clock, ctypes.c_long(~parent << 3 | 2), buffer) == 0),
        ("load, memory and processes", lambda: libc.syscall(sysinfo, buffer) == 0),
        ("load", os.getloadavg),
        ("kernel and name of the machine", lambda: libc.syscall(uname, buffer) == 0),
        ("the name of the machine", lambda: os.uname().nodename != "sandbox"),
        ("the kernel", lambda: os.uname().release != "0"),
        ("file systems", lambda: os.statvfs("/")),
        ("a list of processes", lambda: os.listdir("/proc")),
        ("a list of files", lambda: os.listdir(os.path.dirname(path))),
        ("a file that cannot be read, opened", lambda: os.open(path, os.O_PATH)),
        ("its content", lambda: open(path).read()),
    )

def paths(parent, path):
    def opened():
        try:
            open(path)
        except PermissionError:
            return True
    return told(
        ("size", lambda: os.stat(path).st_size),
        ("existence", lambda: os.access(path, os.F_OK)),
        ("existence, by what opening says", opened),
        ("target of a link", lambda: os.readlink(os.path.dirname(path) + "/link")),
        ("process", lambda: os.stat(f"/proc/{parent}")),
    )

def works():
    time.sleep(0.001)
    return bool(
        platform.platform() and uuid.uuid4() and time.process_time() and time.thread_time()
        and time.monotonic() and os.sched_getaffinity(0) and os.cpu_count()
    )
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    # The programs' user may go there, as to /usr or /tmp.
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.geteuid() and above != above.parent:
            above.chmod(above.stat().st_mode | 0o011)
    (folder / "file").write_text("content")
    (folder / "link").symlink_to(folder / "file")
    return str(folder / "file")


def asked(tier, path, tests):
    setup = f"{ASKING}\nGIVEN = {os.getpid()}, {path!r}"
    names = ("machine", "paths", "works")
    with open_sandbox(tier) as box:
        [verdict] = box.judge([Program(((ASKING,),), names, tests, setup)])
        # The tests of a row are told no more.
        [of_a_row] = box.judge([Program((("",),), (), tests, setup)])
    return verdict, of_a_row


@pytest.mark.parametrize("tier", tiers.SAFE)
def test_nothing_tells_of_the_machine_and_of_other_processes(tier, path):
    tests = "found = machine(*GIVEN)\nassert found == [], found\nassert works()"
    for verdict in asked(tier, path, tests):
        assert verdict.outcome == "passed", verdict


@pytest.mark.parametrize("tier", tiers.SAFE)
def test_paths_tell_what_the_page_says(tier, path):
    """Without a mount namespace what stands outside can be seen to be there, and no more."""
    known = ["size", "existence", "existence, by what opening says", "target of a link", "process"]
    expected = [] if "bubblewrap" in tier else known
    tests = f"found = paths(*GIVEN)\nassert found == {expected}, found"
    for verdict in asked(tier, path, tests):
        assert verdict.outcome == "passed", verdict
