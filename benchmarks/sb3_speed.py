"""Stable-Baselines3 PPO on XOR by the turn view: does it solve it, and in how many seconds?

Runs `examples/marl/sb3_turns.py` on `xor-easy-v0` for seeds 0 to 2, with one thread. Seconds
are those that the script prints: environments, training and the greedy score, no imports.
Beside them stand the whole process's seconds on a processor, imports included: where they are
far fewer, the machine was busy.

    python benchmarks/sb3_speed.py
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "examples" / "marl" / "sb3_turns.py"
SEEDS, LEAST_RETURN, MOST_SECONDS = range(3), 0.95, 30


def train(seed):
    """Run the script; return what it printed, and its seconds on a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--level", "xor-easy-v0", "--seed", str(seed)],
        stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.splitlines()[-1]), processor


def main():
    solved = 0
    for seed in SEEDS:
        found, processor = train(seed)
        ok = found["return"] > LEAST_RETURN and found["seconds"] <= MOST_SECONDS
        solved += ok
        print(
            f"seed {seed}: return {found['return']}, {found['seconds']} s (processor: "
            f"{processor:.1f} s), {found['steps']:,} turns: {'ok' if ok else 'MISSED'}",
            flush=True,
        )
    print(
        f"solved: {solved} of {len(SEEDS)} (target: all, return over {LEAST_RETURN} "
        f"within {MOST_SECONDS} s)"
    )
    return solved == len(SEEDS)


if __name__ == "__main__":
    raise SystemExit(not main())
