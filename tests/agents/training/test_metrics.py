"""Every figure that a run writes is declared, and every declared one is written by some run."""

from __future__ import annotations

import pytest
from support.engines import tiny_folder
from support.tiny_runs import lines, tiny_config

from neuromas_env.agents.training.api import train
from neuromas_env.agents.training.metrics import METRICS, declared
from neuromas_env.agents.training.trackers import figures

TOY = {"engine": "support.toy_engine:ToyEngine", "report_to": "none", "steps": 1}
RUNS = [
    TOY | {"shaping": "length=0.1", "importance_cap": 1.0},
    TOY | {"learner": "collm_cc"},
    TOY | {"warm_up": 1},
    TOY | {"learner": "counterfactual"},
    TOY
    | {"learner": "malt", "topology": "1-1-1:skip", "steps": 2, "sft_steps": 1, "entropy_coef": 0},
    {"rollout_device": "cpu", "report_to": "none", "steps": 1},
]


@pytest.mark.slow
def test_what_runs_write_is_what_is_declared(tmp_path):
    written = set()
    for number, options in enumerate(RUNS):
        train(tiny_config(tiny_folder("llama"), tmp_path / str(number), **options))
        rows = lines(tmp_path / str(number) / "metrics.jsonl")
        written |= {name for row in rows for name in figures(row)}
        steps = [row for row in rows if "event" not in row]
        written |= {name for row in steps for name, value in row.items() if type(value) is not dict}
    found = {name: declared(name) for name in written}
    assert [name for name, entry in found.items() if entry is None] == []
    assert set(found.values()) == {metric.name for group in METRICS.values() for metric in group}
