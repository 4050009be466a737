"""Texts as messages: how a question is dealt to the nodes, what they read, what an answer earns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuromas_env.checks import Count, arguments
from neuromas_env.envs.spaces import (
    MAX_MESSAGE,
    MAX_QUESTION,
    Message,
    Spaces,
    observation_space,
    state_space,
)
from neuromas_env.envs.wiring import Wiring
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import REWARDS, Example, Reply, Score, Task
from neuromas_env.tasks.ready import checked_score
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.envs.episode import Episode


class TextChannel:
    """A task's questions, and messages of any text; see `neuromas_env.envs.episode.Channel`.

    Attributes:
        task: Scores the answer.
        examples: The questions that `draw` knows, those of the split.
        max_length: Messages are cut to this many characters.
    """

    name = "neuromas_v0"
    options: tuple[str, ...] = ("index", "id")

    @arguments
    def __init__(
        self,
        task: Task,
        split: str | None = None,
        reward: str = "strict",
        max_message_length: Count = MAX_MESSAGE,
    ) -> None:
        """Take a task, and the questions of a split if some are to be drawn.

        Args:
            task: Scores the answer.
            split: `train`, `validation` or `test`; None if nothing is to be drawn.
            reward: Which score is the reward: `strict`, `extracted`, or the mean of `both`,
                which pays half for a right answer in the wrong form.
            max_message_length: Longer messages are cut to this many characters.

        Raises:
            InputError: An argument is wrong or the split is empty.
        """
        if reward not in REWARDS:
            raise unknown("reward", str(reward), REWARDS)
        self.task, self.max_length = task, max_message_length
        self._split, self._reward = split or "", reward
        self.examples: Sequence[Example] = () if split is None else task.examples(split)
        if split is not None and not self.examples:
            raise InputError(f"the {split} split of task {task.name!r} has no examples")

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Example:
        """Return the question of the given `index` or `id`, or else a random one.

        Raises:
            InputError: There is no such question, or both are given.
        """
        index, id = options.get("index"), options.get("id")
        if index is not None and id is not None:
            raise InputError("give reset an index or an id, not both")
        if id is not None:
            index = self.task.find(self._split, str(id))
        elif index is None:
            index = int(rng.integers(len(self.examples)))
        elif isinstance(index, bool) or index not in range(len(self.examples)):
            raise InputError(f"index must be 0 to {len(self.examples) - 1}, not {index!r}")
        return self.examples[int(index)]

    def deal(self, example: Example, topology: Topology, wiring: Wiring) -> Mapping[str, str]:
        """Return by node what it reads of the question.

        Raises:
            InputError: The question is too long.
        """
        if len(example.question) > MAX_QUESTION:
            raise InputError(
                f"example {example.id!r}: the question has {len(example.question)} characters, "
                f"at most {MAX_QUESTION} are allowed"
            )
        if not example.parts:
            return dict.fromkeys(topology.nodes, example.question)
        dealt = dict.fromkeys(topology.nodes, example.query)
        if wiring.inputs == (topology.output,):
            return dealt | {topology.output: example.question}
        blocks = deal(len(example.parts), len(wiring.inputs))
        for node, block in zip(wiring.inputs, blocks, strict=True):
            dealt[node] = part_text(example.query, [example.parts[i] for i in block])
        return dealt

    def check(self, node: str, message: Any) -> str:
        """Return a message, cut to the longest allowed.

        Raises:
            InputError: It is not a text, or not valid Unicode.
        """
        if not isinstance(message, str):
            raise InputError(f"the message of {node} must be a text, not {type(message).__name__}")
        if len(message) > self.max_length:
            message = Reply(message[: self.max_length], cut_off=True)
        try:
            message.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the message of {node} is not valid Unicode: lone surrogate at {error.start}"
            ) from None
        return message

    def observe(self, episode: Episode, node: str) -> dict[str, Any]:
        """Return what a node sees now: `question`, `inbox` and `place`.

        The inbox holds the messages of the node's sources that spoke, as
        `{"source", "text"}` in the order of acting. The place holds the numbers `node`,
        `layer` and `index` (in the layer) and the read-only int8 arrays `[n_nodes]`
        `sources` and `readers`, 1 where there is an edge.
        """
        said, wiring = episode.said, episode.wiring
        sources = wiring.sources[node]
        return {
            "question": episode.dealt[node],
            "inbox": tuple([{"source": s, "text": said[s]} for s in sources if s in said]),
            "place": wiring.places[node].copy(),
        }

    def state(self, episode: Episode) -> dict[str, Any]:
        """Return the whole `question`, all `messages` so far and the current `layer`."""
        return {
            "question": episode.example.question,
            "messages": tuple([{"source": s, "text": text} for s, text in episode.said.items()]),
            "layer": episode.layer,
        }

    def score(self, examples: Sequence[Example], answers: Sequence[str]) -> list[Score]:
        """Score answers at once: where scores come of programs, side by side.

        Raises:
            InputError: What the task returns is no score.
        """
        scores = self.task.score_many(examples, answers)
        return [
            checked_score(self.task, example, score)
            for example, score in zip(examples, scores, strict=True)
        ]

    def reward(self, score: Score) -> float:
        """Return the reward of a score, from 0 to 1."""
        if self._reward == "both":
            return (score.strict + score.extracted) / 2
        return getattr(score, self._reward)

    def outcome(self, episode: Episode) -> dict[str, Any]:
        """Return the `answer`, its scores `strict` and `extracted`, and the `reason`."""
        score = episode.score
        return {
            "answer": episode.answer,
            "strict": score.strict,
            "extracted": score.extracted,
            "reason": score.reason,
        }

    def spaces(self, topology: Topology) -> Spaces:
        """Make the spaces of a node's observations, of its messages and of the state."""
        size = len(topology)
        return Spaces(
            observation_space(size, self.max_length),
            Message(self.max_length),
            state_space(size, self.max_length),
        )

    def question(self, example: Example) -> str:
        """Return the whole question, for a picture."""
        return example.question

    def write(self, message: str) -> str:
        """Return a message, for a picture."""
        return message


def part_text(query: str, parts: Sequence[str]) -> str:
    """Word the question of an input node that sees only some parts of it."""
    return "\n".join([query, *parts])


def deal(parts: int, inputs: int) -> list[range]:
    """Return the numbers of the parts that each input node gets.

    Up to as many nodes as parts get blocks of neighbours, as equal as can be: node i of n gets
    parts floor(i P / n) to floor((i + 1) P / n) - 1, so that a small network gets whole subtrees.
    With more nodes, node i gets part i modulo P: a wider network keeps what its first nodes read.

    Args:
        parts: How many there are, at least 1.
        inputs: How many input nodes.
    """
    if inputs > parts:
        return [range(i % parts, i % parts + 1) for i in range(inputs)]
    return [range(i * parts // inputs, (i + 1) * parts // inputs) for i in range(inputs)]
