"""Episodes of several rounds in lock-step."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import Counts, Whole

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.evaluate import blank, shuffle
from neuromas_env.agents.training.log import transcript
from neuromas_env.bench.stored import actions_of, answer_in, read_said
from neuromas_env.bench.worker import answer_of
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.schedules import output_last
from neuromas_env.envs.text import TextChannel
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.seeds import derive_seed
from neuromas_env.topology import Topology

ROUNDS = Topology.parse("2-1:rounds=3")


def network(topology=ROUNDS, engine=None, task=None, **options):
    made = llm_network(topology, task or Whole(), engine or MockEngine(), Sampling())
    return dataclasses.replace(made, **options)


@given(st.integers(0, 2**63 - 1), st.integers(0, 999))
def test_the_seeds_of_the_first_round_are_those_of_a_network_of_one(seed, node):
    assert derive_seed(seed, node, 0) == derive_seed(seed, node)
    words = np.random.SeedSequence([seed, node]).generate_state(4, np.uint64)
    assert (np.random.SeedSequence([seed, node, 0]).generate_state(4, np.uint64) == words).all()
    assert derive_seed(seed, node, 1) != derive_seed(seed, node)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_turn_is_sampled_with_the_seed_of_its_node_and_round(rounds):
    topology = Topology.parse("2-1" if rounds == 1 else f"2-1:rounds={rounds}")
    seeds = []
    engine = MockEngine(lambda request: seeds.append(request.seed) or "x")
    [run] = run_episodes(network(topology, engine), Whole(), Whole.rows[:1], seed=4)
    assert seeds == [derive_seed(run.seed, n, t) for t in range(rounds) for n in range(3)]


def test_the_first_round_says_what_a_network_of_one_round_says():
    task = Whole()
    one = run_episodes(network(Topology.parse("2-1")), task, task.rows, seed=2, rollouts=2)
    three = run_episodes(network(), task, task.rows, seed=2, rollouts=2)
    for before, after in zip(one, three, strict=True):
        assert [turn.text for turn in before.turns] == [turn.text for turn in after.turns[:3]]
        assert [turn.round for turn in after.turns] == [0] * 3 + [1] * 3 + [2] * 3


def test_one_call_per_layer_of_a_round_and_the_last_rounds_are_later():
    engine = MockEngine(lambda request: "stop" if "yes" in request.turns[1][1] else "go")
    task = Counts()
    runs = run_episodes(network(engine=engine, task=task), task, task.rows, rollouts=2)
    assert [len(run.turns) for run in runs] == [3, 3, 9, 9]  # the first question's say "stop"
    assert engine.batches == [8, 4, 4, 2, 4, 2]
    assert [run.rewards for run in runs] == [(0.0,)] * 2 + [(0.0,) * 3] * 2


def test_who_skips_layers_is_not_overtaken_by_later_rounds():
    """A schedule that leaves nodes out makes some episodes act in fewer layers of a round."""

    def schedule(said):
        skipped = said.turns and said.turns[0].message.endswith("b")
        return ("node_0",) if skipped and said.round == 0 else None

    engine = MockEngine(lambda request: request.turns[1][1].split("\n")[0])
    rows = [dataclasses.replace(Whole.rows[0], question=q) for q in ("a", "b", "a")]
    run_episodes(network(engine=engine, schedule=schedule), Whole(), rows)
    assert engine.batches == [6, 2, 6, 3, 6, 3]


def test_tasks_reply_to_all_episodes_at_once_and_before_they_fork():
    asked = []

    class Asked(Counts):
        def reply_many(self, examples, actions):
            asked.append(len(examples))
            return super().reply_many(examples, actions)

    task = Asked()
    runs = run_episodes(network(task=task), task, task.rows, rollouts=3)
    assert asked == [6, 6, 6] and all(len(run.rewards) == 3 for run in runs)
    asked.clear()
    two = network(Topology.parse("1-1:rounds=2"), task=task)
    tree = run_episodes(two, task, task.rows[:1], branches=2)
    assert asked == [2, 8] and len(tree) == 8
    shared = [{tuple(t.text for t in run.turns[:k]) for run in tree} for k in range(5)]
    assert [len(prefixes) for prefixes in shared] == [1, 1, 2, 4, 8]


def test_a_reply_that_is_none_fails_its_episode_alone():
    class Broken(Counts):
        def reply(self, example, actions):
            return (
                None if (example.id, len(actions)) == ("a", 2) else super().reply(example, actions)
            )

    task = Broken()
    failed, whole = run_episodes(network(task=task), task, task.rows)
    assert failed.error == "task 'counts': reply to example 'a': it must be a Response, not None"
    assert len(failed.turns) == 6 and failed.rewards == ()
    assert whole.error is None and len(whole.turns) == 9


def test_interventions_know_round_layer_and_episodes():
    seen = []

    def note(layer):
        seen.append((layer.round, layer.number, layer.runs, len(layer)))
        return layer

    engine = MockEngine(lambda request: "stop" if "yes" in request.turns[1][1] else "go", fail={0})
    task = Counts()
    rows = [task.rows[1], *task.rows]
    run_episodes(network(Topology.parse("1-1:rounds=2"), engine, task), task, rows, intervene=note)
    assert seen == [(0, 0, [1, 2], 2), (0, 1, [1, 2], 2), (1, 0, [2], 1), (1, 1, [2], 1)]


@pytest.mark.parametrize("intervene", [blank("node_2"), shuffle("node_2", 0)])
def test_messages_are_taken_away_in_every_round(intervene):
    engine = MockEngine(lambda request: f"{request.turns[1][1].split()[-1]} {request.seed}")
    task, topology = Whole(), Topology.parse("2-1:rounds=2:feedback=0>1:memory=none")
    plain, changed = (
        run_episodes(network(topology, engine), task, task.rows[:2], intervene=change)
        for change in (None, intervene)
    )
    for before, after in zip(plain, changed, strict=True):
        assert before.last("node_1").completion.prompt_ids.tolist() != (
            after.last("node_1").completion.prompt_ids.tolist()
        )


def test_counts_and_records_tell_the_round():
    method = network(schedule=output_last(ROUNDS))
    assert method.calls == 9 and network(Topology.parse("2-1")).calls == 3
    [run] = run_episodes(method, Whole(), Whole.rows[:1])
    assert [t.round for t in run.by_node("node_0")] == [0, 1, 2]
    assert [t.round for t in run.by_node("node_2")] == [2] and run.last("node_0").round == 2
    rounds = [message.get("round") for message in transcript(run)["messages"]]
    assert rounds == [None, None, 1, 1, 2, 2, 2]
    answer = answer_of(0, run, 0.0, method)
    assert [said.get("round", 0) for said in read_said(answer.transcript)] == [0, 0, 1, 1, 2, 2, 2]
    assert answer.calls == 7 and answer.tie is None
    said, texts = read_said(answer.transcript), [turn.text for turn in run.turns]
    assert [one["text"] for one in actions_of(said, 3)] == [texts[1], texts[3], run.answer]
    assert answer_in(said[:-1], 3) == said[-2] and answer_in(said, 3) == said[-1]
    assert answer_in(said, 1) == said[-1]  # of more nodes than were trained


def test_the_turns_of_a_trajectory_are_a_prefix():
    task = Counts()
    [run] = run_episodes(network(task=task), task, task.rows[1:])
    for count in range(len(run.turns) + 1):
        episode = Episode(ROUNDS, TextChannel(task), task.rows[1], prefix=run.turns[:count])
        assert [said.message for said in episode.turns] == [t.text for t in run.turns[:count]]
    assert (episode.rewards, episode.replies) == (run.rewards, run.replies)
