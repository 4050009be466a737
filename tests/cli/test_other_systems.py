"""The command where what only Linux and macOS have is missing, as on Windows."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = "fcntl", "grp", "pty", "pwd", "resource", "termios"
FUNCTIONS = {
    "os": ("fork", "killpg", "register_at_fork", "sched_getaffinity"),
    "signal": ("SIGALRM", "SIGKILL", "SIGXCPU", "pthread_sigmask", "setitimer"),
}
LINES = (
    ["--help"],
    ["list", "tasks"],
    ["eval", "--policy", "gold", "--task", "hierarchy/max", "--limit", "4"],
    ["eval", "--policy", "gold", "--task", "humaneval"],
)
SCRIPT = f"""
import importlib, sys
sys.modules |= dict.fromkeys({MODULES})  # to import one fails
for module, names in {FUNCTIONS}.items():
    for name in names:
        delattr(importlib.import_module(module), name)
import neuromas_env
from neuromas_env.cli.app import main
for line in {LINES}:
    if "humaneval" in line:
        sys.platform = "win32"  # before that, Python's own library would ask Windows
    try:
        main(line)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print(f"\\nexit {{code}}", flush=True)
    print("---", file=sys.stderr, flush=True)
"""


@pytest.mark.slow
def test_the_command_starts_and_says_that_programs_run_on_linux_alone():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    texts = done.stdout.split("exit ")
    assert [text[0] for text in texts[1:]] == ["0", "0", "0", "2"], done.stderr
    assert "train" in texts[0] and "hierarchy/max" in texts[1] and "4/4 right" in texts[2]
    said = done.stderr.split("---\n")[3]
    assert said.startswith("error: ") and "needs Linux" in said and len(said.splitlines()) == 1
