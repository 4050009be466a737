"""Uses the bare package as a new user does; see installed.sh.

What works without an extra works, and what needs one says so in one line, before anything is
fetched or written, in about the time that `neuromas --help` takes.
"""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

from typer.main import get_command

from neuromas_env.cli.app import app

WORKS = (
    "--help",
    "--version",
    "list tasks",
    "list baselines",
    "list algorithms",
    "data list",
    "schema train",
    "experiment --list",
    "eval --policy gold --task hierarchy/max --limit 20",
)
NEEDS = {
    "train": "llm",
    "train --task mmlu": "llm",
    "eval": "llm",
    "eval --task mmlu": "llm",
    "eval --baseline debate": "llm",
    "eval --policy gold --task humaneval": "code",
    "adapt gptswarm --out adapted": "llm",
    "push run ORG/NAME": "llm",
    "bench --methods direct --tasks hierarchy/max --out bench": "bench,llm",
    "bench --methods direct --tasks hierarchy/max --engine mock --out bench": "bench",
    "report bench": "bench",
    "compare bench other": "bench",
    "experiment parameters": "bench",
    "experiment marl": "bench",
    "bench-marl --quick": "bench",
}
"""Command lines, and the extra that each is to name."""
OTHERS = {"check", "show", "verify"}
"""Commands that need no extra, but a file or results."""
FACTOR = 2.0
"""Processor time allowed, as a multiple of that of `neuromas --help`."""


def run(line: str) -> tuple[int, str, str, float]:
    """Return exit code, standard output and error, and seconds of processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(["neuromas", *shlex.split(line)], capture_output=True, text=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{wall:5.2f} s, {spent:5.2f} s of processor time: neuromas {line}", flush=True)
    return done.returncode, done.stdout, done.stderr, spent


def main() -> None:
    """Check all command lines."""
    unlisted = set(get_command(app).commands) - OTHERS  # type: ignore[attr-defined]
    unlisted -= {line.split()[0] for line in (*WORKS, *NEEDS)}
    assert not unlisted, f"commands without a line here: {sorted(unlisted)}"
    for line in WORKS:
        code, out, err, _ = run(line)
        assert code == 0 and out and not err, f"neuromas {line}: exit {code}\n{err}"
    usual = min(run("--help")[-1] for _ in range(3))
    for line, extra in NEEDS.items():
        code, out, err, spent = run(line)
        assert code == 2 and not out, f"neuromas {line}: exit {code}\n{out}{err}"
        assert len(err.splitlines()) == 1, f"neuromas {line}: not one line\n{err}"
        assert f"pip install 'neuromas-env[{extra}]'" in err, f"neuromas {line}: {err}"
        spent = spent if spent <= FACTOR * usual else run(line)[-1]  # a busy machine
        assert spent <= FACTOR * usual, f"neuromas {line}: {spent:.2f} s, --help: {usual:.2f} s"
    left = sorted(path.name for path in Path.cwd().iterdir())
    assert not left, f"files were written: {left}"


if __name__ == "__main__":
    sys.exit(main())
