"""Many episodes in lock-step: one batched engine call per layer of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from neuromas_env.checks import Count, Natural, arguments
from neuromas_env.envs.episode import Episode, ask_worlds, score_all
from neuromas_env.envs.text import TextChannel
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Engine, Request, Team, Trajectory, Turn
from neuromas_env.seeds import Stream, derive_seed
from neuromas_env.tasks.base import Example, Task


class Layer(list[Mapping[str, str]]):
    """The messages of a layer: from node to text, for each episode that has acted in it.

    Attributes:
        round: In which round.
        number: Which layer of it.
        runs: The place of each episode among all of the call. One that has ended, has skipped the
            layer or whose call has failed is missing.
    """

    def __init__(
        self, messages: Iterable[Mapping[str, str]], round: int, number: int, runs: Sequence[int]
    ) -> None:
        """Take the messages, in the order of `runs`."""
        super().__init__(messages)
        self.round, self.number, self.runs = round, number, runs


_UNKNOWN = np.zeros(0, dtype=np.int64)
Intervene = Callable[[Layer], Sequence[Mapping[str, str]]]
"""Replaces the messages of a layer."""


@dataclass(eq=False)
class _Run:
    episode: Episode
    group: int
    seed: int
    turns: list[Turn]
    error: str | None = None


def whole_questions(examples: Iterable[Example]) -> list[Example]:
    """Return the examples with nothing to deal, so that every node reads the whole question."""
    return [replace(example, parts=(), query="") for example in examples]


def step_questions(examples: Sequence[Example], seed: int, step: int, count: int) -> list[Example]:
    """Return the questions of a training step: without replacement until all have been seen.

    The order depends on the seed alone, so any step can be drawn by itself, and all that
    learns with a seed sees the same questions, whatever it learns.

    Args:
        examples: All training questions.
        seed: Of the run.
        step: Counted from 1.
        count: Questions in a step.
    """
    first = (step - 1) * count
    chosen = []
    for place in range(first, first + count):
        epoch, index = divmod(place, len(examples))
        chosen.append(examples[int(_permutation(seed, epoch, len(examples))[index])])
    return chosen


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, Stream.QUESTIONS, epoch)).permutation(size)


@arguments
def run_episodes(
    method: Method,
    task: Task,
    examples: Sequence[Example],
    *,
    seed: Natural = 0,
    rollouts: Count = 1,
    reward: str = "strict",
    intervene: Intervene | None = None,
    numbers: Sequence[int] | None = None,
    branches: Count = 1,
) -> list[Trajectory]:
    """Run every example `rollouts` times.

    Args:
        method: What is run.
        task: Scores the answers.
        examples: The questions.
        seed: The seeds of episode `k` of example `i` at node `n` in round `t` derive from
            `(seed, i, k, n, t)`, so they do not depend on what else is in the batch.
        rollouts: Independent episodes per example.
        reward: `strict`, `extracted` or the mean of `both`.
        intervene: Replaces messages between layers, for ablations; see `Layer`.
        numbers: What stands for `i` in the seeds, by default the place in the list; a
            question's own number makes its seeds the same in whichever batch it runs.
        branches: Into how many an episode forks after every layer but its last. Episodes of a
            tree share the turns from before they forked.

    Returns:
        Trajectories, those of an example side by side, and those that share a turn, too. An
        episode in which a call or the task's reply failed ends there and carries the error.
    """
    channel = TextChannel(task, reward=reward, deals_parts=method.deals_parts)
    numbers = range(len(examples)) if numbers is None else numbers
    runs = [
        _Run(_episode(method, channel, example), group, derive_seed(seed, number, rollout), [])
        for group, (number, example) in enumerate(zip(numbers, examples, strict=True))
        for rollout in range(rollouts)
    ]
    # Layers are numbered alike in all episodes, whether or not a schedule skips some.
    while going := [run for run in runs if not run.error and not run.episode.done]:
        at = min((run.episode.round, run.episode.layer) for run in going)
        acting = [run for run in going if (run.episode.round, run.episode.layer) == at]
        spoken = _ask_nodes(acting, method.team)
        if intervene is not None:
            place = {id(run): number for number, run in enumerate(runs)}
            layer = Layer(spoken.values(), *at, [place[id(run)] for run in spoken])
            changed = intervene(layer)
            spoken = dict(zip(spoken, map(dict, changed), strict=True))
        for run, messages in spoken.items():
            run.episode.commit(messages)
        # Before episodes fork, so that their common world is asked once.
        for run, error in zip(spoken, ask_worlds(run.episode for run in spoken), strict=True):
            run.error = None if error is None else str(error)
        if branches > 1:
            acted = {id(run) for run in acting}
            runs = [r for run in runs for r in _fork(run, branches if id(run) in acted else 1)]
    score_all([run.episode for run in runs if not run.error])
    return [_trajectory(run) for run in runs]


def opening(method: Method, task: Task, example: Example) -> list[Request]:
    """Return the model calls with which an episode begins."""
    channel = TextChannel(task, deals_parts=method.deals_parts)
    episode = _episode(method, channel, example)
    asked = [method.team[node].request(episode.observe(node), 0) for node in episode.active]
    return [r for r in asked if isinstance(r, Request) and not r.engine.tool]


def _episode(method: Method, channel: TextChannel, example: Example) -> Episode:
    [read] = [example] if method.deals_parts else whole_questions([example])
    options = method.options(read.question) if method.options else {}
    return Episode(method.topology, channel, read, schedule=method.schedule, **options)


def _fork(run: _Run, count: int) -> list[_Run]:
    if count == 1 or run.error or run.episode.done:
        return [run]
    seeds = [derive_seed(run.seed, run.episode.tick, number) for number in range(count)]
    return [_Run(run.episode.fork(), run.group, seed, list(run.turns)) for seed in seeds]


def _ask_nodes(runs: Sequence[_Run], team: Team) -> dict[_Run, dict[str, str]]:
    """Let the nodes of a layer speak; return what they said in the episodes that continue.

    The layer of a failed episode is incomplete, so it goes neither on nor into others.
    """
    turns: list[tuple[_Run, str, str | Request]] = []
    for run in runs:
        for node in run.episode.active:
            # In the first round that of the node alone: a seed's words are padded with zeros.
            seed = derive_seed(run.seed, int(node.removeprefix("node_")), run.episode.round)
            request = team[node].request(run.episode.observe(node), seed)
            turns.append((run, node, _with_replies(request, run, node)))
    answers = call_engines([request for _, _, request in turns])
    spoken: dict[_Run, dict[str, str]] = {run: {} for run in runs}
    for (run, node, request), answer in zip(turns, answers, strict=True):
        round = run.episode.round
        if isinstance(answer, str):
            turn = Turn(node, answer, round=round)
        elif answer.error is not None:
            run.error = run.error or f"{node}: {answer.error}"
            continue
        else:
            assert isinstance(request, Request)
            completion = None if request.engine.tool else answer
            turn = Turn(node, team[node].read(answer), request.adapter, completion, round)
        run.turns.append(turn)
        spoken[run][node] = turn.text
    return {run: messages for run, messages in spoken.items() if not run.error}


def _with_replies(request: str | Request, run: _Run, node: str) -> str | Request:
    """Give a request the tokens of those of its assistant turns that the node itself has sampled.

    It has them only where the prompt goes through all of the node's messages, each as it was
    sampled: one that was given or replaced, or is made of a reply, stays a text.
    """
    if not isinstance(request, Request):
        return request
    shown = [text for role, text in request.turns if role == "assistant"]
    said = [(at, text) for name, at, text in run.episode.turns if name == node]
    if not shown or shown != [text for _, text in said]:
        return request
    sampled = {t.round: t.completion for t in run.turns if t.node == node and t.completion}
    replies = tuple(
        [
            reply.ids if (reply := sampled.get(at)) and reply.message == text else _UNKNOWN
            for at, text in said
        ]
    )
    return replace(request, replies=replies) if any(map(len, replies)) else request


def call_engines(requests: Iterable[str | Request]) -> list[str | Completion]:
    """Answer requests with one call per engine; ready messages pass through."""
    answers = list(requests)
    results: list[str | Completion] = [a if isinstance(a, str) else "" for a in answers]
    engines: dict[int, tuple[Engine, list[int]]] = {}
    for index, request in enumerate(answers):
        if isinstance(request, Request):
            engines.setdefault(id(request.engine), (request.engine, []))[1].append(index)
    for engine, indices in engines.values():
        batch = [answers[i] for i in indices]
        replies = engine.generate([r for r in batch if isinstance(r, Request)])
        for index, reply in zip(indices, replies, strict=True):
            results[index] = reply
    return results


def _trajectory(run: _Run) -> Trajectory:
    episode, turns = run.episode, tuple(run.turns)
    common = (episode.example, run.group, run.seed, turns)
    if run.error:
        return Trajectory(*common, "", None, 0.0, run.error)
    return Trajectory(
        *common, episode.answer, episode.score, episode.reward,
        rewards=episode.rewards, truncated=episode.truncated, replies=episode.replies,
    )  # fmt: skip
