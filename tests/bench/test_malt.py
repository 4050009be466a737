"""Trained rows in a benchmark: MALT's chains and vote, who made a run, what training took."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from support.asking import Sums, Told, by_label, text_of
from support.bench_runs import configure, rows, run
from support.engines import tiny_folder
from support.malt_runs import malt_config
from support.paths import ROOT
from support.swarm_runs import learn
from support.tiny_runs import lines, tiny_config

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.prompts import build_prompt, role_prompt
from neuromas_env.agents.training.api import train
from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.baselines.malt import malt
from neuromas_env.baselines.trained import TRAINED, list_trained
from neuromas_env.bench.methods import make_method, read_run, training_of
from neuromas_env.bench.report import write_report
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.bench.tables import make_grids
from neuromas_env.cli.app import main
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

DRAWN = Sampling(0.7, 9)


def ask(engine, seed=0, task=None):
    task = task or Sums()
    method = malt(task, engine, DRAWN)
    [trajectory] = run_episodes(method, task, task.examples("test")[:1], seed=seed)
    return method, trajectory


# --- three chains and a vote ------------------------------------------------------------------


def test_three_chains_of_three_calls_each_read_their_own():
    engine = Told(lambda request, number: f"tag{number}x 800{number}")
    method, trajectory = ask(engine)
    assert method.calls == 9 == len(engine.requests) and method.sampled
    asked = [step.node for step in trajectory.turns if step.completion]
    requests = by_label(method, dict(zip(asked, engine.requests, strict=True)))
    tags = {label: text_of(r) for label, r in requests.items()}
    order = list(requests)
    for label, text in tags.items():
        turn, chain = label.split()
        before = ["draft", "critique", "solution"][: ["draft", "critique", "solution"].index(turn)]
        seen = [order[int(number)] for number in re.findall(r"tag(\d)x", text)]
        assert seen == [f"{earlier} {chain}" for earlier in before]
        assert Sums().examples("test")[0].question in text and "SECRET" not in text
    adapters = {label: request.adapter for label, request in requests.items()}
    assert {adapter: label.split()[0] for label, adapter in adapters.items()} == {
        "node_0": "draft", "node_1": "critique", "node_2": "solution"
    }  # fmt: skip
    assert len({request.seed for request in engine.requests}) == 9


def test_the_majority_of_the_solutions_is_the_answer():
    def say(request, number):
        return {"node_0": "5", "node_1": "wrong"}.get(request.adapter) or next(solutions)

    solutions = iter(["7", "The answer is 8,000.", "8000"])
    method, trajectory = ask(Told(say))
    assert trajectory.answer == "The answer is 8,000." and trajectory.score.extracted == 1
    assert method.tied(trajectory) is False
    method, trajectory = ask(Told("no idea"))
    assert trajectory.answer == "" and trajectory.reward == 0


def test_a_seed_is_a_transcript_and_a_failed_call_is_an_error():
    def texts(seed):
        return [step.text for step in ask(MockEngine(), seed)[1].turns]

    assert texts(1) == texts(1) != texts(2)
    for number in range(9):
        failed = ask(MockEngine(fail={number}))[1]
        assert failed.error and failed.reward == 0 and failed.score is None
    with pytest.raises(InputError, match="at temperature 0"):
        malt(Sums(), MockEngine(), Sampling(0.0, 9))


# --- runs as methods --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(malt_config(folder / "malt", steps=2))
    common = {"task": "even", "eval_questions": 0, "steps": 1}
    network = tiny_config(tiny_folder("llama"), folder / "network", topology="2-1", **common)
    train(network)
    one = {"topology": "1", "rank": 3 * network.rank, "alpha": 3 * network.alpha}
    train(tiny_config(tiny_folder("llama"), folder / "single", **(common | one)))
    return folder


@pytest.mark.slow
def test_a_run_of_malt_is_three_chains_in_a_benchmark(tmp_path, runs):
    name = f"malt@{runs / 'malt'}"
    options = {
        "methods": ("direct", name), "tasks": ("even",), "limit": 3, "engine": "transformers",
        "dtype": "float32", "max_new_tokens": 2, "seeds": (0, 1),
    }  # fmt: skip
    run(tmp_path / "out", str(tiny_folder("llama")), **options)
    done = [
        row for row in rows(tmp_path / "out", "SELECT * FROM results") if "malt" in row["method"]
    ]
    assert len(done) == 6 and {row["calls"] for row in done} == {9}
    said = {row["seed"]: row["transcript"] for row in done}
    assert said[0] != said[1]
    with Store(tmp_path / "out") as store:
        direct, line = summarise(store)
    assert line.trainable == read_run(name).trainable > 0 == direct.trainable
    assert line.training == training_of(name) and direct.training == {}
    grids = make_grids([direct, line], "extracted")
    training = next(grid for grid in grids if grid.title.endswith(": cost of training"))
    [row] = (dict(zip(training.head, row, strict=True)) for row in training.rows)
    assert (row["method"], row["questions"], row["calls"], row["steps"]) == (name, "4", "56", "2")
    assert any(f"A single training run: {name};" in grid.note for grid in grids)
    write_report(Console(quiet=True), tmp_path / "out")
    with (tmp_path / "out" / "report.csv").open() as file:
        frozen, trained = csv.DictReader(file)
    assert (frozen["training_calls"], trained["training_calls"]) == ("", "56")


@pytest.mark.slow
def test_training_is_counted_as_the_run_did(runs):
    for name, calls in (("malt", 2 * 2 * (2 + 4 + 8)), ("network", 2 * 2 * 3), ("single", 2 * 2)):
        found = training_of(f"{'malt' if name == 'malt' else 'neuromas'}@{runs / name}")
        spent = json.loads((runs / name / "result.json").read_text())["cost"]["train"]
        steps = [row for row in lines(runs / name / "metrics.jsonl") if "event" not in row]
        assert found == {
            "questions": 2 * len(steps), "steps": len(steps), "calls": calls,
            "prompt_tokens": spent["prompt_tokens"],
            "completion_tokens": spent["completion_tokens"],
            "trained_tokens": sum(row["train_tokens"] for row in steps), "critic_tokens": 0,
        }  # fmt: skip
        assert found["calls"] == spent["calls"] and found["trained_tokens"] > 0


@pytest.mark.slow
def test_a_grown_run_counts_what_it_grew_from_and_nothing_is_made_up(tmp_path, runs):
    source = tmp_path / "source"
    options = {"task": "even", "eval_questions": 0, "steps": 1}
    train(tiny_config(tiny_folder("llama"), source, topology="1", **options))
    grown = {"topology": "1-1", "grow_from": str(source)}
    train(tiny_config(tiny_folder("llama"), tmp_path / "grown", **(options | grown)))
    found = training_of(f"neuromas@{tmp_path / 'grown'}")
    assert (found["steps"], found["questions"], found["calls"]) == (2, 4, 4 + 8)
    with (source / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 1, "event": "evaluation", "first_error": "one\u2028two"}\n')
    assert training_of(f"neuromas@{tmp_path / 'grown'}") == found
    source.rename(tmp_path / "moved")
    assert training_of(f"neuromas@{tmp_path / 'grown'}") is None
    log = tmp_path / "moved" / "metrics.jsonl"
    log.write_text(log.read_text().replace('"train_tokens"', '"other"'))
    assert training_of(f"neuromas@{tmp_path / 'moved'}") is None


def test_adaptation_is_counted_as_well(tmp_path):
    done = learn(2, tmp_path)
    found = training_of(f"gptswarm:agents=1,state={tmp_path}")
    none = {"trained_tokens": 0, "critic_tokens": 0}
    assert found == {**done.cost, "steps": 2, **none} and found["calls"] > 0
    (tmp_path / "adapted.json").unlink()
    assert training_of(f"theirs:state={tmp_path}") is None
    assert training_of("direct") == training_of("sc:k=3") == {}


def test_the_nodes_of_a_run_are_prompted_as_they_were_trained(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(tiny_folder("llama"), folder, learner="joint_roles", steps=1))
    task, name = make_task("signal:symbols=3"), f"neuromas@{folder}"
    method = make_method(name, task, MockEngine(), configure(tmp_path, methods=(name,)))
    seen = Episode(method.topology, TextChannel(task), task.examples("test")[0]).observe("node_0")
    asked = method.team["node_0"].request(seen, 0)
    assert (
        asked.turns
        == role_prompt(seen, task.answer_format)
        != build_prompt(seen, task.answer_format)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("learner", "whole"), [("joint", False), ("joint_whole", True)])
def test_nodes_read_the_whole_question_in_training_and_test_if_their_learner_says_so(
    learner, whole, tmp_path, monkeypatch
):
    task, seen = make_task("hierarchy/max:leaves=4"), []
    observe = Episode.observe

    def noted(episode, node):
        seen.append(observe(episode, node)["question"])
        return observe(episode, node)

    monkeypatch.setattr(Episode, "observe", noted)
    options = {"task": task.name, "topology": "2-1", "learner": learner, "steps": 1}
    train(tiny_config(tiny_folder("llama"), tmp_path / "run", **options))
    assert len(seen) > 12 and {text.count(",") for text in seen} == ({2} if whole else {0, 1})
    name = f"neuromas@{tmp_path / 'run'}"
    asked = configure(tmp_path, methods=(name,))
    assert make_method(name, task, MockEngine(), asked).deals_parts != whole


def test_one_node_of_three_times_the_rank_has_as_many_parameters(runs):
    single = read_run(f"single_llm@{runs / 'single'}")
    assert single.trainable == read_run(f"neuromas@{runs / 'network'}").trainable
    assert single.saved.alpha / single.saved.rank == 32 / 4
    assert "--topology 1 --rank 48 --alpha 96" in list_trained()["single_llm@RUN"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("malt@{}/nowhere", "no checkpoint.*neuromas train --learner malt.*--task even --out RUN"),
        ("malt@{}/network", "'joint' trained a network of 3; `neuromas train --learner malt"),
        ("neuromas@{}/malt", "'malt' trained this run.*write malt@RUN"),
        ("single_llm@{}/network", "'joint' trained a network of 3; .*--topology 1 --rank 48"),
        ("magrpo@{}/network", "'joint' trained .*--learner magrpo"),
        ("malted@{}/malt", "unknown method.*malt@RUN"),
        ("malt", "is trained: `neuromas train --learner malt .*malt@RUN"),
        ("single_llm", "is trained: `neuromas train --topology 1 --rank 48"),
    ],
)
def test_a_run_of_another_method_or_none_is_refused(tmp_path, runs, method, message):
    with pytest.raises(InputError, match=message):
        run(
            tmp_path / "out", str(tiny_folder("llama")), methods=(method.format(runs),),
            tasks=("even",), engine="transformers", dtype="float32",
        )  # fmt: skip


def test_chains_at_temperature_0_are_refused(tmp_path, runs):
    with pytest.raises(InputError, match="at temperature 0.*training is usual"):
        run(
            tmp_path / "out", str(tiny_folder("llama")), methods=(f"malt@{runs / 'malt'}",),
            tasks=("even",), engine="transformers", dtype="float32", temperature=0.0,
        )  # fmt: skip


def test_a_run_is_evaluated_with_its_roles(runs, capsys):
    main_args = ["eval", "--run", str(runs / "malt"), "--limit", "2"]
    with pytest.raises(SystemExit) as end:
        main(main_args)
    assert not end.value.code and "trained 1-1-1:skip" in capsys.readouterr().out


# --- the list ---------------------------------------------------------------------------------


def test_trained_rows_are_listed_with_their_commands(capsys):
    with pytest.raises(SystemExit):
        main(["list", "baselines"])
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed.keys() == list_baselines().keys() | list_trained().keys()
    for name, row in TRAINED.items():
        assert listed[f"{name}@RUN"].endswith(row.command())
        with pytest.raises(InputError, match=f"neuromas bench --methods {name}@RUN"):
            make_baseline(name, Sums(), None)


def test_the_commands_are_right_and_the_page_has_every_row():
    page = (ROOT / "docs/baselines.md").read_text()
    for name, row in TRAINED.items():
        assert f"`{name}@RUN`" in page and row.options in page
        words = row.options.split()
        given = dict(zip(words[::2], map(yaml.safe_load, words[1::2]), strict=True))
        given = {key.removeprefix("--"): value for key, value in given.items()}
        config = tiny_config(Path("model"), Path("run"), **given)
        assert config.learner == (row.learner or "joint")
        assert row.nodes in (0, len(config.stages()[0][0]))
