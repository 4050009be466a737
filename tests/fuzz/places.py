"""Folders that inputs name: a run, a benchmark, what a baseline learned, an experiment, a model."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

from support.bench_runs import run as run_bench
from support.swarm_runs import learn
from support.tiny_models import make_tiny
from support.tiny_runs import tiny_config

from neuromas_env.agents.training.api import train
from neuromas_env.cli.app import main

TASK = "signal:symbols=3"
STUDY = {
    "title": "One is better",
    "claim": "One is better.",
    "refuted_if": "It is not.",
    "matched": "Questions.",
    "scales": ["mini"],
    "discrete": {
        "tasks": ["xor"],
        "options": {"updates": 3},
        "arms": {
            "network": {"topology": "2-1"},
            "single": {"topology": "1"},
            "silent": {"ablate": "network", "node": "node_0", "how": "blank"},
        },
        "compare": [{"better": "network", "than": "single", "margin": 0.1}],
    },
}
SCALES = {
    "mini": {
        "coded": {
            "kind": "discrete", "seeds": 1, "pilots": 1, "rates": [0.1],
            "options": {"questions": 2, "rollouts": 2},
        }
    }
}  # fmt: skip


def build(tmp: Path) -> dict[str, str]:
    """Make every folder that an input may name, and return them by name."""
    model = make_tiny("llama", tmp / "model", num_hidden_layers=1)
    train(tiny_config(model, tmp / "run", steps=2, checkpoint_every=1))
    unfinished = tmp / "unfinished"
    shutil.copytree(tmp / "run", unfinished)
    (unfinished / "result.json").unlink()
    run_bench(tmp / "bench", limit=2)
    learn(1, tmp / "adapted")
    mine = tmp / "mine"
    mine.mkdir()
    (mine / "experiment.yaml").write_text(json.dumps(STUDY))
    (mine / "scales.yaml").write_text(json.dumps(SCALES))
    rows = tmp / "rows" / "arc" / "ARC-Challenge" / "test.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text(json.dumps({
        "id": "a", "question": "Why?", "answerKey": "A",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
    }))  # fmt: skip
    (tmp / "empty").mkdir()
    (tmp / "text.txt").write_text("once upon a time")
    for name, content in {
        "empty": b"", "magic": b"GGUF", "text": b"once upon a time",
        "huge": b"GGUF\x03\0\0\0" + b"\xff" * 16, "zeros": b"GGUF\x03\0\0\0" + bytes(100),
    }.items():  # fmt: skip
        (tmp / f"{name}.gguf").write_bytes(content)
    with tarfile.open(tmp / "bench.tar.xz", "w:xz") as archive:
        archive.add(tmp / "bench", "bench")
    (tmp / "m[").mkdir()
    (tmp / "m[" / "x].gguf").write_bytes(b"GGUF\x03\0\0\0")  # markup, if a terminal obeyed it
    os.chdir(tmp / "empty")  # what an input writes without a folder of its own is seen there
    try:
        main(["experiment", str(mine), "--scale", "mini", "--out", str(tmp / "tried")])
    except SystemExit as end:
        assert not end.code
    names = ("model", "run", "unfinished", "bench", "adapted", "mine", "rows", "tried", "empty")
    return {name: str(tmp / name) for name in names} | {
        "tmp": str(tmp / "empty"), "new": str(tmp / "new"), "text": str(tmp / "text.txt"),
        "home": str(tmp), "config": str(tmp / "config.yaml"), "cache": str(tmp / "cache.sqlite"),
    }  # fmt: skip
