"""A reply knows whether it was cut off, from the engine to the scorer."""

import copy
import pickle

import numpy as np
import pytest

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Sampling
from neuromas_env.tasks import make_task
from neuromas_env.tasks.base import Reply, Score
from neuromas_env.tasks.reply import cut_off
from neuromas_env.topology import Topology


def test_a_reply_is_a_text():
    reply = Reply("B", cut_off=True)
    assert reply == "B" and hash(reply) == hash("B") and reply.strip() == "B"
    for same in (pickle.loads(pickle.dumps(reply)), copy.deepcopy(reply), copy.copy(reply)):
        assert same == reply and same.cut_off
    assert not Reply("B").cut_off and not cut_off("B") and cut_off(reply)


def test_the_mark_reaches_the_scorer():
    policy = LLMPolicy(MockEngine(), lambda observation: "Answer with the letter only.")
    heard = []
    task = make_task("signal")
    task.score = lambda example, reply: heard.append(reply) or Score(0.0, 0.0, "wrong")
    for finished in (True, False):
        episode = Episode(Topology.parse("1"), TextChannel(task), task.examples("test")[0])
        message = policy.read(Completion(" B ", finished=finished))
        episode.commit({"node_0": message})
        _ = episode.score
    assert heard == ["B", "B"] and [cut_off(reply) for reply in heard] == [False, True]


def test_a_message_that_the_episode_shortens_is_cut_off():
    task = make_task("signal")
    channel = TextChannel(task, max_message_length=3)
    episode = Episode(Topology.parse("1"), channel, task.examples("test")[0])
    episode.say("node_0", "B, or so")
    assert episode.answer == "B, " and cut_off(episode.answer)


def test_a_score_holds_plain_floats_whatever_kind_of_number_it_is_given():
    score = Score(True, np.float32(0.5), "ok")
    assert (score.strict, score.extracted) == (1.0, 0.5)
    assert type(score.strict) is type(score.extracted) is float
    assert Score(np.bool_(False), 0, "wrong") == Score(0.0, 0.0, "wrong")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"strict": 2.0}, "strict must be at least 0 and at most 1, got 2.0"),
        ({"extracted": float("nan")}, "extracted must be finite, got nan"),
        ({"reason": "right"}, "unknown reason 'right'"),
        ({"answer": 3}, "answer must be a text, got 3"),
    ],
)
def test_what_is_no_score_is_refused_where_it_is_made(given, says):
    with pytest.raises(InputError, match=says):
        Score(**{"strict": 1.0, "extracted": 1.0, "reason": "ok"} | given)


def test_an_option_that_there_is_not_is_named_with_the_one_that_is_meant():
    with pytest.raises(InputError, match="unknown argument of Sampling: 'temperatur'. Did you m"):
        Sampling(temperatur=1.0)
    with pytest.raises(InputError, match="a reply must be a text, got 3"):
        Reply(3)
