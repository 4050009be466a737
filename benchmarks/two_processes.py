"""A training step in two processes with one thread each, beside one process with one thread.

Both train the default model by the command, the two started by `torchrun`, with the
questions and episodes of its defaults (`--quick`: half the questions):

    python benchmarks/two_processes.py [--quick]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from neuromas_env.files import read_lines

TARGET = 1.75
OPTIONS = """--task hierarchy/max --topology 2-1 --rollouts 4
--entropy-coef 1e-6 --eval-questions 0 --checkpoint-every 1000 --transcripts 0""".split()


def seconds(processes, steps, questions, out):
    """Median seconds of rollout and of training in a step, the first left out."""
    launcher = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "-m",
    ]
    command = [sys.executable, *(launcher if processes > 1 else ["-m"]), "neuromas_env", "train"]
    command += [*OPTIONS, "--steps", str(steps), "--questions", str(questions), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    rows = read_lines(out / "metrics.jsonl")
    found = [(row["rollout_seconds"], row["train_seconds"]) for row in rows if "event" not in row]
    return [statistics.median(part) for part in zip(*found[1:], strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller steps")
    chosen = parser.parse_args()
    steps, questions = (2, 8) if chosen.quick else (4, 16)
    with tempfile.TemporaryDirectory() as folder:
        one, two = (seconds(n, steps, questions, Path(folder) / str(n)) for n in (1, 2))
    for name, parts in (("one process", one), ("two processes", two)):
        rollout, training = parts
        print(f"{name}: {sum(parts):.2f} s a step (rollout {rollout:.2f}, training {training:.2f})")
    ratio = sum(one) / sum(two)
    print(f"ratio: {ratio:.2f} (target: at least {TARGET})")
    return ratio < TARGET


if __name__ == "__main__":
    raise SystemExit(main())
