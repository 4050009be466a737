"""Every task as a Gymnasium environment: one question and one answer, or several of a dialogue.

It is the network of a single node on that task, so it reads, cuts and scores as the
network environments do, and one task object can serve both.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import gymnasium

from neuromas_env.checks import arguments
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.render import draw_episode
from neuromas_env.envs.spaces import MAX_MESSAGE, MAX_QUESTION, Message
from neuromas_env.envs.text import TextChannel
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import Task, make_task
from neuromas_env.topology import MAX_ROUNDS, Topology

_ONE = Topology.parse("1")


class TaskEnv(gymnasium.Env[str, str]):
    """Observe the whole question, answer with a text, get its score as the reward.

    A task that replies takes an action a step and is observed by its replies alone: the history is
    the caller's to keep.

    Attributes:
        task: The task; its `answer_format` says in which form to answer.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 1}

    @arguments
    def __init__(
        self,
        task: Task | str,
        split: str = "train",
        reward: str = "strict",
        data: str | PathLike[str] | None = None,
        max_message_length: int = MAX_MESSAGE,
        render_mode: str | None = None,
        **params: Any,
    ) -> None:
        """Load the questions of a split.

        Args:
            task: A task, or its name.
            split: `train`, `validation` or `test`.
            reward: Which score to pay: `strict`, `extracted` or the mean of `both`.
            data: Folder with benchmark rows, for the tasks that need some.
            max_message_length: Longer answers are cut to this many characters.
            render_mode: `ansi` returns a text, None renders nothing.
            **params: Parameters of the task.

        Raises:
            InputError: An argument is wrong or the split is empty.
        """
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise unknown("render mode", str(render_mode), modes)
        self.task = make_task(task, data, **params)
        self.render_mode = render_mode
        self.observation_space = Message(MAX_QUESTION)
        self.action_space = Message(max_message_length)
        self._channel = TextChannel(self.task, split, reward, max_message_length)
        world = self._channel.world
        rounds = 1 if world is None else min(world.rounds, MAX_ROUNDS)
        self._topology = _ONE if rounds == 1 else _ONE.recurrent(rounds, "none", memory=False)
        self._episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Ask a question.

        Args:
            seed: Seeds the choice of questions from here on.
            options: `index` or `id` picks the question.

        Returns:
            The question, and its `id`.

        Raises:
            InputError: An option is unknown or wrong.
        """
        super().reset(seed=seed)
        picked = {key: value for key, value in (options or {}).items() if value is not None}
        for key in picked:
            if key not in self._channel.options:
                raise unknown("reset option", str(key), self._channel.options)
        drawn = {"index": int(self.np_random.integers(len(self._channel.examples)))}
        example = self._channel.draw(self.np_random, picked or drawn)
        self._episode = Episode(self._topology, self._channel, example)
        return example.question, {"id": example.id}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Give an answer, or an action to a task that replies.

        Returns:
            What the task replies, or else the question again; the reward; whether the task is over;
            whether it was cut off, after as many steps as it may take; and the info: the question's
            `id` and, at the end, its `target`, the `answer` that was given, the scores `strict` and
            `extracted`, the `reason` (`ok`, `wrong`, `no_answer` or `unparsable`) and, of a
            task that replies, `rounds` and `truncated`.

        Raises:
            InputError: The answer is not a text, no question is open, or the reply is none.
        """
        episode = self._asked()
        if episode.done:
            raise InputError("the question has been answered: call reset() for another")
        round, example = episode.round, episode.example
        episode.say(_ONE.output, action)
        done, truncated = episode.done, episode.truncated
        reply = episode.replies[round] if episode.replies else None
        info: dict[str, Any] = {"id": example.id}
        if done:
            info |= {"target": example.target} | self._channel.outcome(episode)
        seen = example.question if reply is None else reply.text
        return seen, episode.earned(round), done and not truncated, truncated, info

    def render(self) -> str | None:  # type: ignore[override]
        """Return the question, the answer and its score as a text if `render_mode` is `ansi`."""
        return draw_episode(self._asked()) if self.render_mode == "ansi" else None

    def _asked(self) -> Episode:
        if self._episode is None:
            raise InputError("there is no episode yet: call reset() first")
        return self._episode


def make(family: str = "", by: str = "", **options: Any) -> TaskEnv:
    """Make the environment of a registered id.

    Args:
        family: First part of the task's name, up to the slash; empty if the option `by`
            gives the whole task.
        by: Name of the option that says which task of the family, empty if there is one only.
        **options: That option and the arguments of `TaskEnv`.

    Raises:
        InputError: The option is missing, or an argument is wrong.
    """
    if not by:
        return TaskEnv(family, **options)
    if by not in options:
        known = f"which task of {family!r} to play" if family else "which task to play"
        raise InputError(f"give {by}=..., {known}; see: neuromas list tasks")
    chosen = options.pop(by)
    return TaskEnv(f"{family}/{chosen}" if family else chosen, **options)
