"""Bad command lines: a table of words, and bad values for every option of every command."""

from __future__ import annotations

import shlex
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import NoneType

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig

HUGE = "9223372036854775808"
LONG = "1" * 400
WORDS = {
    int: ("", "1.5", "-1", HUGE),
    float: ("", "nan", "-1", "1e999"),
    str: ("", "[/x]", "\udcff", LONG),
}
"""Bad values by the type of an option, some of which another option of its type may take."""

# `{...}` are folders that the tests make. A model that is not there ends what nothing else ends.
BASE = {
    "train": "train --task signal:symbols=3 --model ./nowhere",
    "eval": "eval --task signal:symbols=3 --model ./nowhere --limit 1",
    "bench": "bench --out {new} --methods direct --tasks signal:symbols=3 --model ./nowhere",
    "adapt": "adapt gptswarm --task signal:symbols=3 --out {new} --iterations 1 --model ./nowhere",
}
OWN = {
    "eval": {"limit": int, "split": str, "run": str, "baseline": str, "policy": str, "config": str},
    "train": {"config": str, "resume": str},
    "bench": {"config": str, "workers": int},
    "adapt": {"iterations": int},
}
ADAPTS = "task data skip_bad_rows model dtype device seed chunk_rows".split()
EVALS = "task data topology connect model dtype device seed max_new_tokens chunk_rows engine"

CONFIGS: dict[str, list[str | bytes]] = {
    "train": [
        "steps: [1",
        "",
        "null",
        "- a",
        "3",
        "text",
        "steps: 1\nsteps: 2",
        "seed: 1\nseed: 1",
        'steps: 1\n"steps": 2',
        "max-new-tokens: 1\nmax_new_tokens: 2",
        "schedule: 1:10",
        "schedule: 2-1:10\ntopology: 1:10",
        "topology: 1:1",
        "topology: 2001-12-14",
        "task: 1:30",
        "steps: .nan",
        "learning_rate: .nan",
        "learning_rate: .inf",
        "learning_rate: -.inf",
        "learning_rate: 1e999",
        "temperature: yes",
        "steps: true",
        "steps: !!python/object/apply:os.system [id]",
        "steps: !!binary aGk=",
        "steps: &a [*a]",
        "<<: 3",
        "<<: {steps: 3}",
        "? [a, b]\n: 1",
        "? {a: 1}\n: 1",
        "task: &a {x: *a}",
        "model: {a: 1}",
        "model: [1]",
        "3: 4",
        "null: 4",
        "true: 4",
        '"steps\\u0000": 4',
        "steps: 1\x00",
        "steps: 1\n---\nsteps: 2",
        "%YAML 9.9\n---\nsteps: 1",
        "\tsteps: 1",
        "steps: *a",
        "steps: 0x",
        "seed: 99999999999999999999999",
        "seed: -1",
        'out: ""',
        "data: 3",
        'data: ""',
        'schedule: "1:10, 1:10:10"',
        'schedule: "2-1:10, 1:10"',
        'schedule: ""',
        'schedule: "1:99999999999999999999"',
        'train_nodes: ""',
        "train_nodes: node_9",
        'targets: ""',
        'shaping: "length=nan"',
        'shaping: "length=1e999"',
        'shaping: "length"',
        'shaping: "nothing=1"',
        "device: cuda:99999999999999999999",
        'engine: "os:system"',
        'engine: "nowhere:make"',
        'engine: ":"',
    ],
    "eval": [
        "steps: x",
        "stepz: 1",
    ],
    "bench": [
        "out: [1]",
        "seeds: [0, x]",
        "seeds: {a: 1}",
        "methods: 3",
        "prices: [1, .nan]",
        "retries: 99999999999999999999",
    ],
}
"""What a configuration file may hold, by the command that reads it."""

LINES = Path(__file__).with_name("command_lines.txt")

URL = (
    "--out {new} --methods direct --tasks hierarchy/max --limit 1 --engine openai --model m "
    "--retries 0 --base-url"
)


def lines() -> Iterator[tuple[str, list[str]]]:
    """Yield a command and its words."""
    for line in LINES.read_text(encoding="utf-8").splitlines():
        words = shlex.split(line.replace("{url}", URL))
        if words[0] in BASE and not _LOADS_NONE & set(words):
            words += ["--model", "./nowhere"]
        yield words[0] if words[0] in COMMANDS else "neuromas", words


_LOADS_NONE = {"--model", "--policy", "--resume", "--run", "--help"}
COMMANDS = (
    "train eval show list report bench adapt experiment bench-marl data schema check push verify"
).split()


def options() -> Iterator[tuple[str, list[str]]]:
    """Yield every option of a command with every bad value of its type."""
    for name, base in BASE.items():
        config = BenchConfig if name == "bench" else TrainConfig
        chosen = {"adapt": ADAPTS, "eval": EVALS.split()}.get(name)
        hints = typing.get_type_hints(config)
        kinds = {
            one.name: _kind(hints[one.name])
            for one in fields(config)
            if chosen is None or one.name in chosen
        }
        for option, kind in (kinds | OWN[name]).items():
            for value in WORDS.get(kind, ()):
                given = f"--{option.replace('_', '-')}"
                yield name, [*shlex.split(base), f"{given}={value}"]


def _kind(hint: typing.Any) -> type:
    kinds = [one for one in typing.get_args(hint) or (hint,) if one is not NoneType]
    return kinds[0] if kinds[0] in WORDS or kinds[0] is bool else str
