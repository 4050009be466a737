"""How long prompts get over the rounds, said before a run."""

import re

import pytest
from support.engines import tiny_engine
from support.toy_tasks import Counts, Whole

from neuromas_env import Topology
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.lengths import lengths_note
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task


@pytest.fixture(scope="module")
def engine():
    return tiny_engine("llama", nodes=())


def note(engine, topology, task=None, **options):
    return lengths_note(TrainConfig(**options), Topology.parse(topology), task or Whole(), engine)


def tokens(text):
    return int(re.search(r"about (\d+) tokens", text)[1])


class Talker(MockEngine):
    """Fills every reply with a sentence, and measures its prompts as the engine writes them."""

    def __init__(self, engine, limit):
        tokenizer = engine.chat._tokenizer
        ids = tokenizer.encode("Is it true or false? " * limit)[:limit]
        super().__init__(lambda request: tokenizer.decode(ids))
        self.encode, self.longest = engine.encode, 0

    def generate(self, requests):
        self.longest = max(self.longest, *(len(self.encode(r.turns)) for r in requests))
        return super().generate(requests)


@pytest.mark.parametrize("memory", ["memory", "memory=none"])
def test_the_figure_is_that_of_an_episode_of_full_replies(engine, memory):
    topology, task, limit = f"2-1:rounds=3:{memory}", make_task("hierarchy/max"), 40
    talker = Talker(engine, limit)
    network = llm_network(topology, task, talker, Sampling(1.0, limit))
    run_episodes(network, task, task.examples("train")[:8])
    told = tokens(note(engine, topology, task, max_new_tokens=limit))
    assert 0.95 * talker.longest < told < 1.05 * talker.longest


def test_what_makes_prompts_longer_makes_the_figure_larger(engine):
    short = tokens(note(engine, "2-1:rounds=2", max_new_tokens=20))
    assert tokens(note(engine, "2-1:rounds=3", max_new_tokens=20)) > short
    assert tokens(note(engine, "2-1:rounds=2", max_new_tokens=40)) > short
    assert tokens(note(engine, "2-1:rounds=2", max_new_tokens=20, max_news=2)) < short


def test_a_context_that_is_too_short_is_told(engine):
    assert note(engine, "2-1:rounds=2", max_new_tokens=20).endswith("the model reads 2048")
    told = note(engine, "2-1:rounds=3", max_new_tokens=300)
    assert tokens(told) + 300 > 2048 and "take a smaller max_new_tokens or max_news" in told


@pytest.mark.parametrize("task", [Whole, Counts])
def test_one_round_has_no_note(engine, task):
    assert note(engine, "2-1", task()) == ""
