"""All benchmarks in turn, and one table: what, measured, target, ok or missed.

    python benchmarks/run.py --quick     (smaller work, fewer repeats)
    python benchmarks/run.py --full

A script is a file of this folder. What it prints for a figure is found by a pattern; one that
prints no figure where one is expected counts as missed, one that ends by an error as failed. One
that needs what is not installed is left out, and the table says so. Exits with 1 if a target is
missed, with 2 if a script has failed.

Figures go to docs/results/speed.json after every script, so that a killed run keeps its own. A
script's figures replace its former ones of the same size on the same kind of machine: processor,
cores and instruction set, which ATEN_CPU_CAPABILITY can lower. `python docs/make_results.py speed`
puts them into the page.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from neuromas_env.bench.machine import commit, machine
from neuromas_env.files import write

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "results" / "speed.json"
NUMBER = r"([\d.,]+%?)"


@dataclass(frozen=True)
class Row:
    """A figure that a script prints.

    Attributes:
        script: Name of the script, with its arguments.
        what: What the figure says.
        pattern: Finds the figure in the script's output.
        target: What it must reach, None where there is no target.
        at_most: Whether the target is an upper bound.
        full: Whether the figure is printed only by a full run.
    """

    script: str
    what: str
    pattern: str
    target: float | None
    at_most: bool = False
    full: bool = False


ROWS = (
    Row("env_speed", "environment steps/s, over a bare text environment", "ratio: N", 0.7),
    Row("env_speed", "turns/s of three rounds without memory, over one", "over one: N", 0.9),
    Row("attention", "attention while decoding, over the fused kernel", "decode: .*ratio N", None),
    Row("attention", "attention in training, over the fused kernel", "train: .*ratio N", None),
    Row("attention", "the same for long prompts, left to that kernel", "prompt: .*ratio N", None),
    Row("decode_step", "decoding step, faster than transformers' model", "model: N", None),
    Row("decode_step", "decoding step, over its products alone", "over products: N", 2.0, True),
    Row("rollout_speed", "rollout tokens/s, over generate with adapters", "worst ratio: N", 0.9),
    Row("joint_step", "trained token with 7 nodes, over 1 node", "ratio: N", 1.25, at_most=True),
    Row("joint_step", "memory of a node, off what is computed", "off by N", 0.10, at_most=True),
    Row("joint_step", "share of bookkeeping in a step", "share: N", 0.02, at_most=True),
    Row("prefix_sharing", "training with shared prefixes, over without", "ratio: N", 2.5),
    Row("peer", "joint step with 3 nodes, faster than CoMLRL", "3 nodes: ratio: N", 6.0),
    Row("peer", "joint step with 7 nodes, faster than CoMLRL", "7 nodes: ratio: N", 7.0, full=True),
    Row("peer", "memory of a node, over CoMLRL's of an agent", "share: N", 0.03, at_most=True),
    Row(
        "floor",
        "joint step with 3 nodes, over the floor",
        "3 nodes: step over floor: N",
        1.25,
        at_most=True,
    ),
    Row(
        "floor",
        "joint step with 7 nodes, over the floor",
        "7 nodes: step over floor: N",
        1.25,
        True,
        True,
    ),
    Row("floor", "rollout with 3 adapters, over bare generate", "3 nodes: .*over generate: N", 2.5),
    Row("two_processes", "two processes, faster than one", "ratio: N", 1.75),
    Row("roofline", "share of the roofline, 3 nodes, CPU", "3 nodes: step reaches: N .*cpu", 0.6),
    Row("roofline", "share of the roofline, 3 nodes, GPU", "3 nodes: step reaches: N .*cuda", None),
    Row("cost_model", "cost model's error, seconds", "error in seconds: N", 0.2, at_most=True),
    Row("cost_model", "cost model's error, memory", "error in memory: N", 0.2, at_most=True),
    Row("vllm_speed", "vLLM through our policies, over bare vLLM", "ratio: N", 0.9),
)
# Scripts that print several figures of their own and say by their exit code whether all are met.
WHOLE = {
    "theory": "what the theory says, by counting",
    "bench_speed": "the benchmark runner's own time, and the store",
    "task_speed": "loading, scoring and generating questions",
    "discrete_speed": "networks of small discrete policies",
    "sb3_speed": "Stable-Baselines3's PPO solves XOR",
    "sandbox_speed": "scoring code in the sandbox",
}
NEEDS = {"vllm_speed": "vllm", "sb3_speed": "stable_baselines3"}
LONGEST = 1800  # seconds for one script
FAULT = "Traceback"  # in what a script prints that ends by an error


def run(script, quick):
    """Run a script; return its exit code and what it printed."""
    command = [sys.executable, str(HERE / f"{script}.py")]
    text = (HERE / f"{script}.py").read_text(encoding="utf-8")
    command += ["--quick"] if quick and "--quick" in text else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, cwd=HERE)
    except subprocess.TimeoutExpired:
        return 1, f"{FAULT}: no end after {LONGEST} s"
    return done.returncode, done.stdout + done.stderr


def figures(script, output, quick):
    """Rows of the table for what a script printed: what, measured, target, verdict."""
    for row in ROWS:
        if row.script != script or (row.full and quick):
            continue
        found = re.findall(row.pattern.replace("N", NUMBER), output)
        if not found:
            if row.target is not None:
                yield row.what, "-", goal(row), "MISSED"
            continue
        text = found[-1].replace(",", "")
        value = float(text.rstrip("%.")) / (100 if text.endswith("%") else 1)
        met = row.target is None or (value <= row.target if row.at_most else value >= row.target)
        verdict = "" if row.target is None else "ok" if met else "MISSED"
        yield row.what, f"{value:.3g}", goal(row), verdict


def goal(row):
    return "" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"


def measure(script, quick):
    """Run a script; return its rows of the table: what, measured, target, verdict."""
    if script in NEEDS and importlib.util.find_spec(NEEDS[script]) is None:
        return [(f"{script}: needs {NEEDS[script]}", "-", "", "left out")]
    started = time.perf_counter()
    print(f"\n== {script}", flush=True)
    code, output = run(script, quick)
    print(output.rstrip(), f"\n({time.perf_counter() - started:.0f} s)", flush=True)
    if code and FAULT in output:
        return [(f"{script}: an error", "-", "", "FAILED")]
    if script in WHOLE:
        return [(f"{script}: {WHOLE[script]}", "", "its own", "MISSED" if code else "ok")]
    rows = list(figures(script, output, quick))
    if code and not any(row[3] == "MISSED" for row in rows):
        rows.append((f"{script}: a target of its own", "-", "", "MISSED"))
    return rows


def setting(size):
    """What figures hold for: machine, instruction set, size of the work, versions."""
    import torch

    lowered = " (emulated)" if "ATEN_CPU_CAPABILITY" in os.environ else ""
    return {
        "machine": machine(),
        "instructions": torch.backends.cpu.get_cpu_capability() + lowered,
        "size": size,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")}
        | {"python": platform.python_version()},
    }


def keep(path, run):
    """Put a run's scripts into the file of results, in place of those measured alike before."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kind = ("machine", "instructions", "size")
    others = [one for one in stored if any(one[key] != run[key] for key in kind)]
    same = [one for one in stored if one not in others and one["versions"] == run["versions"]]
    scripts = {name: found for one in [*same, run] for name, found in one["scripts"].items()}
    write(path, json.dumps([*others, {**run, "scripts": scripts}], indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--quick", action="store_true", help="smaller work, fewer repeats")
    size.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="SCRIPT", help="these alone")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of results")
    chosen = parser.parse_args()
    names = dict.fromkeys([*(row.script for row in ROWS), *WHOLE])
    names = [name for name in names if (HERE / f"{name}.py").exists()]
    if unknown := set(chosen.only or ()) - set(names):
        raise SystemExit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names)}")
    run = setting("quick" if chosen.quick else "full") | {"scripts": {}}
    of = {"commit": commit(), "date": datetime.now(UTC).date().isoformat()}
    for name in chosen.only or names:
        started = time.perf_counter()
        rows = [
            dict(zip(("what", "measured", "target", "verdict"), row, strict=True))
            for row in measure(name, chosen.quick)
        ]
        seconds = round(time.perf_counter() - started)
        run["scripts"][name] = of | {"seconds": seconds, "rows": rows}
        keep(chosen.out, run)
    print(f"\n{run['machine']}, {run['instructions']}, {run['size']}")
    rows = [row for script in run["scripts"].values() for row in script["rows"]]
    head = {"what": "what", "measured": "measured", "target": "target", "verdict": ""}
    for row in (head, *rows):
        line = f"{row['what']:58}{row['measured']:>10}{row['target']:>9}  {row['verdict']}"
        print(line.rstrip())
    print(f"{sum(script['seconds'] for script in run['scripts'].values()) / 60:.1f} minutes")
    verdicts = {row["verdict"] for row in rows}
    return 2 if "FAILED" in verdicts else int("MISSED" in verdicts)


if __name__ == "__main__":
    raise SystemExit(main())
