"""Steps of imitation before those of a learner."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.toy_engine import WORDS, ToyEngine

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

NODES = Topology.parse("2-1").nodes
LEARNERS = ("joint", "independent", "magrpo", "collm_cc")
TASK = make_task("signal")


def toy():
    engine = ToyEngine()
    for seed, node in enumerate(NODES):
        engine.adapters.add(node, seed)
    return engine


def first_half(question, reply):
    """A reader that finds an answer in half of the words."""
    return reply if reply in WORDS[:4] else None


def episodes(engine, seed=0, rollouts=8, learner=None):
    """Episodes of the network, or those that a learner gathers."""
    network = llm_network("2-1", TASK, engine, Sampling(1.0, 4))

    def play(method):
        return run_episodes(method, TASK, TASK.examples("train"), seed=seed, rollouts=rollouts)

    runs = learner.gather(play, network) if learner else play(network)
    return [replace(run, reward=float(i % 2)) for i, run in enumerate(runs)]


def marked(runs, finished):
    """The same episodes, whose replies were cut off or not."""

    def marked_turn(turn):
        return replace(turn, completion=replace(turn.completion, finished=finished))

    return [replace(run, turns=tuple(map(marked_turn, run.turns))) for run in runs]


def weights(engine):
    return {n: engine.adapters.parameters(n)["logits"].detach().clone() for n in NODES}


def made(name, engine, steps=1, extract=first_half, **options):
    config = TrainConfig(learner=name, warm_up=steps, warm_up_rate=0.1, **options)
    return make_learner(name, engine, NODES, config, extract)


def read_share(engine):
    """Which share of the replies the reader finds an answer in."""
    texts = [turn.text for run in episodes(engine, seed=99, rollouts=30) for turn in run.turns]
    return np.mean([text in WORDS[:4] for text in texts])


@pytest.mark.parametrize("name", LEARNERS)
def test_first_steps_imitate_what_the_reader_finds_in_the_bases_replies(name):
    engine = toy()
    learner, before = made(name, engine, steps=15), read_share(engine)
    for seed in range(15):
        batch = episodes(engine, seed, rollouts=4, learner=learner)
        assert all(turn.adapter is None for run in batch for turn in run.turns)
        told = learner.update(batch)
        read = [turn.text in WORDS[:4] for run in batch for turn in run.turns]
        assert told["imitated"] == pytest.approx(np.mean(read))
    assert before < 0.5 and read_share(engine) > 0.75
    after = episodes(engine, rollouts=4, learner=learner)
    assert all(turn.adapter == turn.node for run in after for turn in run.turns)
    assert "imitated" not in learner.update(after)


@pytest.mark.parametrize(("context", "room"), [(None, 48), (2048, 48), (256, 16), (64, 9)])
def test_the_base_has_room_to_end_its_sentences_where_the_context_has(monkeypatch, context, room):
    asked = []
    engine = toy()
    engine.context_length = context
    generate = engine.generate
    monkeypatch.setattr(engine, "generate", lambda r: asked.extend(r) or generate(r))
    network = llm_network("2-1", TASK, engine, Sampling(0.9, 9))
    made("joint", engine, warm_up_temperature=0.4).gather(
        lambda method: run_episodes(method, TASK, TASK.examples("train")[:2]), network
    )
    assert {request.sampling for request in asked} == {Sampling(0.4, room)}
    assert {request.adapter for request in asked} == {None}


def test_a_reply_that_is_cut_off_teaches_nothing():
    engine = toy()
    before = weights(engine)
    runs = marked(episodes(engine), False)
    assert made("joint", engine, extract=lambda question, reply: "a").update(runs)["imitated"] == 0
    assert all(torch.equal(before[node], now) for node, now in weights(engine).items())


def test_by_default_a_fifth_of_the_steps_imitate():
    engine = toy()
    config = TrainConfig(steps=5)
    learner = make_learner("joint", engine, NODES, config, first_half)
    told = [learner.update(episodes(engine, seed)) for seed in range(2)]
    assert ["imitated" in metrics for metrics in told] == [True, False]


def test_all_learners_are_warmed_up_alike():
    found = []
    for name in LEARNERS:
        engine = toy()
        made(name, engine).update(episodes(engine))
        found.append(weights(engine))
    for other in found[1:]:
        assert all(torch.equal(other[node], found[0][node]) for node in NODES)


def test_neither_rewards_nor_the_gold_answers_count():
    found = []
    for change in ({}, {"reward": 0.5}):
        engine = toy()
        runs = [replace(run, **change) for run in episodes(engine)]
        if change:
            runs = [replace(run, example=replace(run.example, target="none")) for run in runs]
        made("joint", engine).update(runs)
        found.append(weights(engine))
    assert all(torch.equal(found[0][node], found[1][node]) for node in NODES)


def test_replies_without_an_answer_teach_nothing():
    engine = toy()
    before = weights(engine)
    metrics = made("joint", engine, extract=lambda question, reply: None).update(episodes(engine))
    assert metrics["imitated"] == 0 and metrics["train_rows"] == 0
    assert all(torch.equal(before[node], now) for node, now in weights(engine).items())


@pytest.mark.parametrize("name", LEARNERS)
def test_afterwards_the_learner_does_what_it_does_alone(name):
    engine, other = toy(), toy()
    warmed = made(name, engine)
    warmed.update(episodes(engine))
    for node, values in weights(engine).items():
        other.adapters.parameters(node)["logits"].data.copy_(values)
    config = TrainConfig(learner=name, warm_up=0, steps=29)
    alone = make_learner(name, other, NODES, config)
    for seed in range(3):
        warmed.update(episodes(engine, seed))
        alone.update(episodes(other, seed))
    assert all(torch.equal(weights(other)[node], now) for node, now in weights(engine).items())


@pytest.mark.parametrize("at", [1, 3])
def test_another_one_takes_the_state_over(at):
    engine, twin = toy(), toy()
    learner, other = made("joint", engine, steps=2), made("joint", twin, steps=2)
    for seed in range(at):
        learner.update(episodes(engine, seed))
    other.load_state_dict(deepcopy(learner.state_dict()))
    for node, values in weights(engine).items():
        twin.adapters.parameters(node)["logits"].data.copy_(values)
    for seed in range(at, 5):
        learner.update(episodes(engine, seed))
        other.update(episodes(twin, seed))
    assert all(torch.equal(weights(twin)[node], now) for node, now in weights(engine).items())


def test_states_pass_between_learners_with_and_without_it():
    engine = toy()
    learner = made("joint", engine)
    learner.update(episodes(engine))
    learner.update(episodes(engine))
    plain = made("joint", toy(), steps=0)
    plain.load_state_dict(learner.state_dict())
    assert plain.state_dict()["steps"] == 1
    again = made("joint", toy())
    again.load_state_dict(plain.state_dict())
    assert "imitated" in again.update(episodes(engine))


def test_what_nodes_inherit_is_not_warmed_up_again():
    engine = toy()
    learner = made("joint", engine, steps=5)
    learner.update(episodes(engine))
    grown = made("joint", engine, steps=5)
    grown.load_state_dict(learner.grow({node: node for node in NODES}))
    grown.restart()
    assert "imitated" not in grown.update(episodes(engine))
    assert grown.state_dict()["steps"] == 1


def test_a_state_holds_no_optimiser_that_is_not_used_any_more():
    engine = toy()
    learner = made("joint", engine, steps=2)
    learner.update(episodes(engine))
    assert learner.state_dict()["warm_up"].keys() == {"steps", "imitation"}
    learner.update(episodes(engine))
    grown = learner.grow({node: node for node in NODES})
    assert learner.state_dict()["warm_up"] == grown["warm_up"] == {"steps": 2}


def test_replies_of_nodes_that_are_not_trained_do_not_count():
    engine, config = toy(), TrainConfig(warm_up=1)
    learner = make_learner("joint", engine, NODES[:1], config, first_half)
    batch = episodes(engine, learner=learner)
    kept = weights(engine)
    told = learner.update(batch)
    assert told["imitated"] == np.mean([run.turns[0].text in WORDS[:4] for run in batch])
    assert torch.equal(kept["node_1"], weights(engine)["node_1"])


def test_malt_does_without():
    config = TrainConfig(learner="malt", topology="1-1-1:skip", warm_up=3)
    engine = toy()
    learner = make_learner("malt", engine, NODES, config, first_half)
    assert learner.state_dict().keys() == {"roles", "steps", "references"}


@pytest.mark.slow
def test_a_step_goes_along_the_gradient_of_the_bare_answers():
    from support.engines import tiny_engine

    engine = tiny_engine("llama")
    network = llm_network("2-1", TASK, engine, Sampling(0.7, 6))
    runs = marked(run_episodes(network, TASK, TASK.examples("train"), seed=1, rollouts=2), True)
    turns = [turn for run in runs for turn in run.turns]
    said = {turn.text: "ABCD"[i % 4] for i, turn in enumerate(turns)}
    rows = [
        Row(t.adapter, t.completion.prompt_ids, np.array(engine.encode_reply(said[t.text])))
        for t in turns
    ]
    held = {node: list(engine.adapters.parameters(node).values()) for node in NODES}
    with engine.training(rows, temperature=0.7) as scored:
        (-scored.logprobs.sum() / len(runs)).backward()
    # AdamW's first step is the gradient over its own size.
    wanted = {
        node: [p.detach() - 0.01 * p.grad / (p.grad.abs() + 1e-8) for p in own]
        for node, own in held.items()
    }
    for own in held.values():
        for parameter in own:
            parameter.grad = None
    config = TrainConfig(warm_up=1, warm_up_rate=0.01, temperature=0.7, clip=1e9)
    make_learner("joint", engine, NODES, config, lambda _, reply: said[reply]).update(runs)
    for node, own in held.items():
        for parameter, value in zip(own, wanted[node], strict=True):
            moved = (parameter.detach() - value).abs()
            assert moved.median() < 1e-6  # elements without a gradient are rounding alone
