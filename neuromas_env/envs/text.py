"""Texts as messages: how a question is dealt to the nodes, what they read, what an answer earns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuromas_env.checks import Count, arguments, shown
from neuromas_env.envs.channel import horizon
from neuromas_env.envs.schedules import WORLD, Said
from neuromas_env.envs.spaces import (
    MAX_MESSAGE,
    MAX_QUESTION,
    Message,
    Spaces,
    observation_space,
    state_space,
)
from neuromas_env.envs.wiring import Wiring
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.tasks.base import REWARDS, Example, Reply, Score, Task
from neuromas_env.tasks.interactive import InteractiveTask, Response
from neuromas_env.tasks.ready import checked_score
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.envs.episode import Episode


class TextChannel:
    """A task's questions, and messages of any text; see `neuromas_env.envs.channel.Channel`.

    Attributes:
        task: Scores the answer.
        examples: The questions that `draw` knows, those of the split.
        max_length: Messages are cut to this many characters.
        world: The task, if it replies to the action of each round.
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
        deals_parts: bool = True,
    ) -> None:
        """Take a task, and the questions of a split if some are to be drawn.

        Args:
            task: Scores the answer.
            split: `train`, `validation` or `test`; None if nothing is to be drawn.
            reward: Which score is the reward: `strict`, `extracted`, or the mean of `both`,
                which pays half for a right answer in the wrong form.
            max_message_length: Longer messages are cut to this many characters.
            deals_parts: Whether input nodes read the parts of what a task replies, each its own,
                or the whole.

        Raises:
            InputError: An argument is wrong or the split is empty.
        """
        if reward not in REWARDS:
            raise unknown("reward", str(reward), REWARDS)
        self.world = task if isinstance(task, InteractiveTask) else None
        if self.world is not None:
            rounds = getattr(task, "rounds", None)
            if type(rounds) is not int or rounds < 1:
                place = f"task {task.name!r}: rounds must be an integer of at least 1"
                raise InputError(f"{place}, got {shown(rounds)}")
        self.task, self.max_length = task, max_message_length
        self._deals_parts = deals_parts
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

        Over several rounds every message has the `round` in which it was said, and the place the
        numbers `round` and `rounds`, and as `memory` 1 or 0. The inbox holds what reaches the node
        in this round: over feedback edges, from the world, then along the edges. With memory it
        holds that of all rounds so far, each followed by the node's own message, so that it only
        ever grows.
        """
        said, wiring = episode.said, episode.wiring
        place = wiring.places[node].copy()
        if episode.horizon == 1:
            inbox = tuple(
                [{"source": s, "text": said[s]} for s in wiring.sources[node] if s in said]
            )
        else:
            memory = int(episode.topology.memory)
            place |= {"round": episode.round, "rounds": episode.horizon, "memory": memory}
            inbox = _items(self._heard(episode, node))
        return {"question": episode.dealt[node], "inbox": inbox, "place": place}

    def _heard(self, episode: Episode, node: str) -> Iterator[Said]:
        rounds = (*episode.past, episode.said)
        wiring, remembers = episode.wiring, episode.topology.memory
        for now in range(0 if remembers else episode.round, len(rounds)):
            if now:
                before = rounds[now - 1]
                for source in wiring.feedback[node]:
                    if source in before:
                        yield Said(source, now - 1, before[source])
                if (
                    episode.replies
                    and node in wiring.inputs
                    and (reply := episode.replies[now - 1])
                ):
                    yield Said(WORLD, now - 1, self._told(episode, node, reply))
            for source in wiring.sources[node]:
                if source in rounds[now]:
                    yield Said(source, now, rounds[now][source])
            if remembers and node in rounds[now]:
                yield Said(node, now, rounds[now][node])

    def _told(self, episode: Episode, node: str, reply: Response) -> str:
        """Return what an input node hears of the task's reply: its parts, or the whole text."""
        inputs = episode.wiring.inputs
        if not (reply.parts and self._deals_parts) or inputs == (episode.topology.output,):
            return reply.text
        block = deal(len(reply.parts), len(inputs))[inputs.index(node)]
        return "\n".join([reply.parts[i] for i in block])

    def state(self, episode: Episode) -> dict[str, Any]:
        """Return the whole `question`, all `messages` so far and the current `layer`.

        Over several rounds also the `round`; the messages hold what the task replied, too.
        """
        clock = {"round": episode.round} if episode.horizon > 1 else {}
        messages = [{"source": s, "text": text} for s, text in episode.said.items()]
        return {
            "question": episode.example.question,
            "messages": _items(episode.history) if clock else tuple(messages),
            "layer": episode.layer,
            **clock,
        }

    def score(self, episodes: Sequence[Episode]) -> list[Score]:
        """Score answers at once: where scores come of programs, side by side.

        Raises:
            InputError: What the task returns is no score.
        """
        examples = [episode.example for episode in episodes]
        with placed(f"task {self.task.name!r}"):
            if self.world is None:
                scores = self.task.score_many(examples, [episode.answer for episode in episodes])
            else:
                actions = [episode.actions for episode in episodes]
                scores = self.world.outcome_many(examples, actions)
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
        """Return the `answer`, its scores `strict` and `extracted`, and the `reason`.

        Where there may be several rounds, or the task replies, also how many `rounds` were played,
        and whether the episode was `truncated`.
        """
        score = episode.score
        told = {
            "answer": episode.answer,
            "strict": score.strict,
            "extracted": score.extracted,
            "reason": score.reason,
        }
        if episode.horizon > 1 or self.world is not None:
            told |= {"rounds": episode.round + 1, "truncated": episode.truncated}
        return told

    def spaces(self, topology: Topology) -> Spaces:
        """Make the spaces of a node's observations, of its messages and of the state."""
        size, rounds = len(topology), horizon(self, topology)
        # The longest text that is heard, which may be what the task replies.
        heard = self.max_length if self.world is None else MAX_QUESTION
        return Spaces(
            observation_space(size, heard, rounds),
            Message(self.max_length),
            state_space(size, heard, rounds),
        )

    def question(self, example: Example) -> str:
        """Return the whole question, for a picture."""
        return example.question

    def write(self, message: str) -> str:
        """Return a message, for a picture."""
        return message


def _items(said: Iterable[Said]) -> tuple[dict[str, Any], ...]:
    return tuple([{"source": node, "text": text, "round": at} for node, at, text in said])


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
