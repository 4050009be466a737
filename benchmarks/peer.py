"""A joint step beside CoMLRL's, on the workload of `workload.py`, and memory per node.

The peer is installed from the package index into an environment of its own, which sees the
torch, transformers and PEFT of this one, so that both sides run the same. Both take their
steps in turn:

    python benchmarks/peer.py [--quick] [--env FOLDER] [--threads 2]
"""

import argparse
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import workload

from neuromas_env.agents.engines.devices import precision
from neuromas_env.agents.engines.models import resolve_model
from neuromas_env.downloads import cache_dir

PEER = "comlrl==1.4.3"
TARGETS = {3: (6.0, 8.0), 7: (7.0, 9.0)}
MEMORY_TARGET = 0.03
MIB = 1 << 20


def install(folder):
    """Make the peer's environment, once, and return its Python."""
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    # Each time: the environment whose torch it saw when it was made may be gone.
    (packages / "ours.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    if not ready.exists():
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
        ready.touch()
    return python


class Side:
    """A process that takes a step when asked."""

    def __init__(self, *command):
        self.errors = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill up
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        raise SystemExit(self.errors.read())

    def ask(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def compare(python, nodes, threads, repeats):
    """Let both sides take a first step and then, in turn, those that count.

    Memory is asked for after the last one: what is freed for it would have to be fetched anew in
    the next step.
    """
    here = Path(__file__).parent
    options = {
        "folder": str(resolve_model(workload.MODEL, quiet=True)),
        "nodes": nodes,
        "threads": threads,
        "dtype": precision("auto"),
        "rank": workload.RANK,
        "targets": workload.TARGETS,
        "prompt": workload.PROMPT,
        "rollouts": workload.ROLLOUTS,
        "new": workload.NEW,
        "rate": workload.RATE,
    }
    sides = {
        "ours": Side(sys.executable, here / "workload.py", nodes, threads),
        "theirs": Side(python, here / "peer_side.py", json.dumps(options)),
    }
    for side in sides.values():
        side.answer()  # is ready; both sides load at the same time
    found = {name: [] for name in sides}
    for side in sides.values():
        side.ask("step")
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(side.ask("step"))
    held = {name: side.ask("memory") for name, side in sides.items()}
    for side in sides.values():
        side.end()
    return {
        name: {key: statistics.median(step[key] for step in steps) for key in steps[0]} | held[name]
        for name, steps in found.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one step each, 3 nodes for speed")
    parser.add_argument("--env", type=Path, default=cache_dir() / "benchmarks" / PEER)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    python = install(chosen.env)
    missed, held = False, {}
    for nodes in (1, 3) if chosen.quick else (1, 3, 7):
        both = compare(python, nodes, chosen.threads, 1 if chosen.quick else 3)
        held[nodes] = {name: side["resident"] for name, side in both.items()}
        seconds = {name: side["rollout"] + side["training"] for name, side in both.items()}
        for name, side in both.items():
            print(
                f"{nodes} nodes, {name}: {seconds[name]:.2f} s a step (rollout "
                f"{side['rollout']:.2f}, training {side['training']:.2f}), "
                f"{side['resident'] / MIB:.0f} MiB"
            )
        if nodes in TARGETS:
            target, stretch = TARGETS[nodes]
            ratio = seconds["theirs"] / seconds["ours"]
            missed |= ratio < target
            print(f"{nodes} nodes: ratio: {ratio:.2f} (target: {target}, stretch: {stretch})")
    first, last = min(held), max(held)
    extra = {name: (held[last][name] - held[first][name]) / (last - first) for name in held[first]}
    share = extra["ours"] / extra["theirs"]
    print(
        f"memory per extra node: ours {extra['ours'] / MIB:.1f} MiB, theirs "
        f"{extra['theirs'] / MIB:.0f} MiB, share: {share:.3f} (target: at most {MEMORY_TARGET})"
    )
    return missed or share > MEMORY_TARGET


if __name__ == "__main__":
    raise SystemExit(main())
