"""How long the prompts of a network of several rounds get."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.envs.channel import horizon
from neuromas_env.envs.text import TextChannel
from neuromas_env.policy import Completion, Cost, Engine, Request, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import Task
from neuromas_env.topology import Topology

_RARE = "\N{ALCHEMICAL SYMBOL FOR AIR}"  # of several tokens, so that a message is short in letters
_QUESTIONS = 1000


class _Talker(Engine):
    """Answers with the longest reply there can be, and measures the prompts."""

    def __init__(self, engine: TrainableEngine, limit: int) -> None:
        self.cost, self.longest = Cost(), 0
        self._encode, self._empty = engine.encode, len(engine.encode((("user", ""),)))
        each = (self._tokens((("user", _RARE * 16),)) - self._empty) / 16
        self._text = _RARE * max(1, round(limit / max(1.0, each)))

    def _tokens(self, turns: Sequence[tuple[str, str]]) -> int:
        return len(self._encode(turns))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        longest = max(requests, key=lambda request: sum(len(text) for _, text in request.turns))
        self.longest = max(self.longest, self._tokens(longest.turns))
        return [Completion(self._text) for _ in requests]


def lengths_note(
    config: TrainConfig, topology: Topology, task: Task, engine: TrainableEngine
) -> str:
    """Say how long prompts get if every reply is as long as it may be; nothing for one round.

    An episode is played with such replies, on the longest of the first 1,000 training questions.
    Where the task is done with them before the last round, nothing is known, and said.

    Args:
        config: Its learner asks; it limits replies and what prompts show of messages.
        topology: The network.
        task: Replies to those replies, if it does.
        engine: Counts the tokens.
    """
    rounds = horizon(TextChannel(task), topology)
    if rounds == 1:
        return ""
    limit = config.max_new_tokens or task.max_new_tokens
    talker = _Talker(engine, limit)
    learner = learner_class(config.learner)
    method = learner.method(config, topology, task, talker, Sampling(0.0, limit))
    questions = islice(task.examples("train"), _QUESTIONS)
    [run] = run_episodes(method, task, [max(questions, key=lambda row: len(row.question))])
    if run.error or run.turns[-1].round + 1 < rounds:
        return ""
    room = engine.context_length
    note = (
        f"prompts of {topology.name} have up to about {talker.longest} tokens if all replies have "
        f"{limit}"
    )
    if room is not None:
        over = talker.longest + limit > room
        note += f"; the model reads {room}"
        note += ", too few: take a smaller max_new_tokens or max_news" * over
    return note
