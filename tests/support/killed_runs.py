"""Runs that are killed by the operating system, at any line that has to do with their files.

    python tests/support/killed_runs.py FOLDER KILLS

trains once to the end into FOLDER/straight, counting lines of the modules that write a run's
files, and then KILLS times into FOLDER/killed_N, each killed at another line and gone on with;
every eighth is killed again in going on. It prints what each needed. Each life is a fork of this
process, which has trained before, so that a kill costs no import.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import torch
from support.tiny_runs import tiny_config

from neuromas_env.agents.training import api, checkpoint, folder, log
from neuromas_env.errors import InputError
from neuromas_env.files import __file__ as files

WRITERS = {files, *(module.__file__ for module in (api, checkpoint, folder, log))}


def config(out, **options):
    chosen = {
        "engine": "support.toy_engine:ToyEngine", "schedule": "1:1, 1-1:1", "report_to": "none",
        "checkpoint_every": 1, "eval_questions": 0,
    }  # fmt: skip
    return tiny_config(Path("none"), out, **chosen | options)


def life(work, at=None, count=None):
    """Do some work in a process that is killed at a line, None for none; return how it ended.

    Args:
        work: The work.
        at: Number of the line.
        count: Where to write how many lines there were.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0

    def line(frame, event, value):
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    if at or count:
        sys.settrace(lambda frame, *_: line if frame.f_code.co_filename in WRITERS else None)
    code = 1
    try:
        work()
        code = 0
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        code = 2
    finally:
        sys.settrace(None)
        if count:
            count.write_text(str(seen))
        sys.stderr.flush()
        os._exit(code)


def survive(out, at, again):
    """Kill a run at a line and go on with it until it ends; return what that needed."""
    needed = Counter({"killed": -life(lambda: api.train(config(out)), at) == signal.SIGKILL})
    if again:
        needed["killed"] += -life(lambda: api.resume(out), again) == signal.SIGKILL
    code = life(lambda: api.resume(out))
    needed["resumed" if code == 0 else "refused"] += 1
    if code == 2:  # killed before it was a run: the same command again
        needed["begun"] += life(lambda: api.train(config(out))) == 0
    return dict(needed)


def main(root, kills):
    torch.set_num_threads(1)
    api.train(config(root / "warm"))
    count = root / "lines"
    assert life(lambda: api.train(config(root / "straight")), count=count) == 0
    lines = int(count.read_text())
    found = []
    for kill in range(kills):
        at = 1 + kill * lines // kills
        again = 1 + (kill * 37) % (lines // 2) if kill % 8 == 0 else None
        found.append(survive(root / f"killed_{kill}", at, again))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
