"""A topology on a task as a PettingZoo AEC environment: one node speaks at a time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.utils import seeding
from pettingzoo.utils import AssertOutOfBoundsWrapper, BaseWrapper, OrderEnforcingWrapper

from neuromas_env.envs.episode import MAX_MESSAGE, REWARDS, Episode, Schedule
from neuromas_env.envs.joint_end import JointEnd
from neuromas_env.envs.render import draw_episode
from neuromas_env.envs.spaces import Message, observation_space, state_space
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import Example, Task
from neuromas_env.topology import Topology

RENDER_MODES = ("human", "ansi")
RESET_OPTIONS = ("index", "id", "mask", "graph", "prefix")
# What changes during an episode or while sampling; everything else is shared by forks.
_STATE = (
    "agents", "rewards", "_cumulative_rewards", "terminations", "truncations", "infos",
    "np_random", "_observation_spaces", "_action_spaces", "state_space",
)  # fmt: skip


class Network:
    """What the AEC and the parallel environment share: task, topology, spaces, the episode.

    A copy, by `copy.deepcopy` or by pickle, goes on where the original stands. PettingZoo's
    usual `EzPickle` would make a new environment of the same arguments instead.

    Attributes:
        task: The task.
        topology: The network.
        examples: The questions of the split.
        possible_agents: The node names.
        state_space: Space of `state()`.
        np_random: Source of the question drawn at a reset without `index` or `id`.
    """

    def __init__(
        self,
        task: Task | str = "hierarchy/max",
        topology: Topology | str = "2-1",
        split: str = "train",
        schedule: Schedule | None = None,
        reward: str = "strict",
        max_message_length: int = MAX_MESSAGE,
        render_mode: str | None = None,
    ) -> None:
        """Load the questions of a split and build the spaces.

        Args:
            task: A task, or its name; by default one that needs no data.
            topology: A topology, or its text such as `2-2-1`.
            split: `train`, `validation` or `test`.
            schedule: Pure function from the messages so far to the nodes that may act in
                the next layer, None for all; asked at layer boundaries.
            reward: Which score every node receives: `strict`, `extracted` or the mean of `both`.
            max_message_length: Longer messages are cut to this many characters.
            render_mode: `human` prints, `ansi` returns a text, None renders nothing.

        Raises:
            InputError: An argument is wrong or the split is empty.
        """
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown("render mode", str(render_mode), RENDER_MODES)
        if reward not in REWARDS:
            raise unknown("reward", str(reward), REWARDS)
        if type(max_message_length) is not int or max_message_length < 1:
            raise InputError(f"max_message_length must be at least 1, not {max_message_length!r}")
        self.task = _resolve(task)
        self.topology = topology if isinstance(topology, Topology) else Topology.parse(topology)
        self._split, self.examples = split, self.task.examples(split)
        if not self.examples:
            raise InputError(f"the {split} split of task {self.task.name!r} has no examples")
        self.render_mode = render_mode
        self.possible_agents = list(self.topology.nodes)
        self.agents: list[str] = []
        size = len(self.topology)
        self._observation_spaces = {
            node: observation_space(size, max_message_length) for node in self.topology.nodes
        }
        self._action_spaces = {node: Message(max_message_length) for node in self.topology.nodes}
        self.state_space = state_space(size, max_message_length)
        self._episode_options: dict[str, Any] = {
            "schedule": schedule,
            "reward": reward,
            "max_length": max_message_length,
        }
        self.np_random: np.random.Generator | None = None
        self._episode: Episode | None = None

    @property
    def episode(self) -> Episode:
        """The running or just ended episode.

        Raises:
            InputError: There was no reset yet.
        """
        if self._episode is None:
            raise InputError("there is no episode yet: call reset() first")
        return self._episode

    def observation_space(self, agent: str) -> Space:
        """Return the space of a node's observations, equal for all nodes."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> Space:
        """Return the space of a node's messages, equal for all nodes."""
        return self._action_spaces[agent]

    def state(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the whole `question`, all `messages` so far and the current `layer`."""
        episode = self.episode
        said = episode.messages.items()
        return {
            "question": episode.example.question,
            "messages": tuple([{"source": node, "text": text} for node, text in said]),
            "layer": episode.layer,
        }

    def render(self) -> str | None:  # type: ignore[override]
        """Show the network and the messages so far, as `render_mode` says."""
        if self.render_mode is None:
            return None
        picture = draw_episode(self.episode)
        if self.render_mode == "ansi":
            return picture
        print(picture)
        return None

    def close(self) -> None:
        """Release nothing; there is nothing to release."""

    def fork(self) -> Any:
        """Return an independent environment at the same point of the same episode."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for name in _STATE:
            if name in self.__dict__:
                setattr(twin, name, copy.deepcopy(self.__dict__[name]))
        twin._episode = self.episode.fork()
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy all but the task and its rows, which nobody changes."""
        memo |= {id(shared): shared for shared in (self.task, self.examples, self.topology)}
        twin = memo[id(self)] = object.__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        options = dict(options or {})
        # PettingZoo's own api_test resets every environment with this key.
        options.pop("options", None)
        for key in options:
            if key not in RESET_OPTIONS:
                raise unknown("reset option", str(key), RESET_OPTIONS)
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        example = self._pick(options.pop("index", None), options.pop("id", None))
        self._episode = Episode(
            self.topology, self.task, example, **self._episode_options, **options
        )

    def _pick(self, index: int | None, id: str | None) -> Example:
        if index is not None and id is not None:
            raise InputError("give reset an index or an id, not both")
        if id is not None:
            index = self.task.find(self._split, str(id))
        elif index is None:
            assert self.np_random is not None
            index = int(self.np_random.integers(len(self.examples)))
        elif not isinstance(index, Integral) or not 0 <= index < len(self.examples):
            raise InputError(f"index must be 0 to {len(self.examples) - 1}, not {index!r}")
        return self.examples[int(index)]

    def _outcome(self) -> dict[str, dict[str, Any]]:
        score, answer = self.episode.score, self.episode.answer
        return {
            node: {
                "answer": answer,
                "strict": score.strict,
                "extracted": score.extracted,
                "reason": score.reason,
            }
            for node in self.agents
        }


class raw_env(Network, JointEnd):
    """The bare AEC environment; `env` adds the usual checks.

    Every node speaks at most once. When the last one has spoken, all nodes end
    together and each reads the one shared reward, and the outcome in its info, on
    its dead step. Nodes that a mask, a graph or a schedule leaves out have a dead
    step only.
    """

    metadata = {
        "name": "neuromas_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        # The conversion would collect all actions before it delivers any message.
        "is_parallelizable": False,
    }

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: Seeds the choice of questions from here on.
            options: `index` or `id` picks the question; `mask`, `graph` and `prefix`
                are those of `Episode`.

        Raises:
            InputError: An option is unknown or wrong.
        """
        self._begin(seed, options)
        self._open()
        self._select()

    def observe(self, agent: str) -> dict[str, Any]:
        """Return what a node sees now."""
        return self.episode.observe(agent)

    def step(self, action: str | None) -> None:
        """Commit the selected node's message, or take its dead step if `action` is None.

        Raises:
            InputError: The message is not a text.
        """
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self.episode.say(agent, action)  # type: ignore[arg-type]
        self._select()
        if self.render_mode == "human":
            self.render()

    def _select(self) -> None:
        if self.episode.active:
            self.agent_selection = self.episode.active[0]
            return
        self.infos = self._outcome()
        self._end(self.episode.reward)


class ClipMessage(BaseWrapper):
    """Cuts messages to the longest that the action space allows."""

    def step(self, action: str | None) -> None:
        """Pass on at most `max_length` characters."""
        if isinstance(action, str):
            action = action[: self.action_space(self.agent_selection).max_length]
        self.env.step(action)


def env(*args: Any, **kwargs: Any) -> OrderEnforcingWrapper:
    """Make the AEC environment with PettingZoo's checks; arguments as in `raw_env`."""
    return OrderEnforcingWrapper(ClipMessage(AssertOutOfBoundsWrapper(raw_env(*args, **kwargs))))


def _resolve(task: Task | str) -> Task:
    from neuromas_env.tasks import make_task

    return make_task(task)
