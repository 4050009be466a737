"""What scoring code costs: milliseconds a program, programs a second, seconds for HumanEval.

Four figures, on HumanEval's own solutions and tests: the median time of one program at a
time; programs per second with two workers; and the seconds that a scoring pass over all
164 rows takes, start of the sandbox included, with right replies and with prose around
them (two programs a reply). Rows come from `--data`, NEUROMAS_DATA or the package index:

    python benchmarks/sandbox_speed.py [--data DIR] [--quick]
"""

import argparse
import os
import statistics
import sys
import time

from neuromas_env.tasks import make_task, sandbox
from neuromas_env.tasks.code import as_it_is
from neuromas_env.tasks.sandbox import Sandbox

TARGETS = {"ms": 5.0, "programs": 250.0, "pass": 5.0}


def median_ms(programs):
    with Sandbox(workers=1) as box:
        box.judge(programs[:20])
        times = []
        for program in programs:
            started = time.perf_counter()
            [verdict] = box.judge([program])
            times.append(time.perf_counter() - started)
            assert verdict.outcome == "passed", verdict
    return 1000 * statistics.median(times)


def programs_per_second(programs, repeats):
    with Sandbox(workers=2) as box:
        box.judge(programs)
        started = time.perf_counter()
        for _ in range(repeats):
            assert all(verdict.outcome == "passed" for verdict in box.judge(programs))
        return repeats * len(programs) / (time.perf_counter() - started)


def pass_seconds(task, replies):
    """Score every row once with a sandbox that has yet to start; return seconds and scores."""
    sandbox.shared().close()
    started = time.perf_counter()
    scores = task.score_many(task.examples("test"), replies)
    return time.perf_counter() - started, scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with benchmark rows")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    given = parser.parse_args()
    task = make_task("humaneval", data=given.data)
    examples = task.examples("test")
    right = [task.gold(example) for example in examples]
    programs = [as_it_is(*pair) for pair in zip(examples, right, strict=True)]

    timed = programs if given.quick else 3 * programs
    median = median_ms(timed)
    speed = programs_per_second(programs, 2 if given.quick else 10)
    bare, scores = pass_seconds(task, right)
    prose, free = pass_seconds(task, [f"Sure!\n```python\n{reply}```\nDone." for reply in right])

    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, Python {sys.version.split()[0]}, sandbox {task.tier}")
    print(f"one program: {median:.1f} ms (median of {len(timed)})")
    print(f"two workers: {speed:.0f} programs/s")
    print(f"HumanEval, right replies: {bare:.1f} s, {sum(s.strict for s in scores):.0f}/164 pass")
    print(f"HumanEval, in prose: {prose:.1f} s, {sum(s.extracted for s in free):.0f}/164 pass")
    met = (
        median <= TARGETS["ms"]
        and speed >= TARGETS["programs"]
        and max(bare, prose) < TARGETS["pass"]
        and all(score.strict for score in scores)
        and all(score.extracted for score in free)
    )
    print(f"targets {'met' if met else 'MISSED'}: {TARGETS}")
    return met


if __name__ == "__main__":
    raise SystemExit(not main())
