"""The dynamics of one episode, without any framework: who acts, who reads what, what it earns.

The AEC environment, the parallel environment and the batched rollout all run
this class, so that the three agree by construction. What a message is, texts or
symbols of a code book, is the business of a channel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from neuromas_env.envs.spaces import Spaces
from neuromas_env.envs.wiring import Wiring, named_edges, wiring
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import Score
from neuromas_env.topology import Topology

Schedule = Callable[[Mapping[str, Any]], Collection[str] | None]
"""Messages committed so far to the nodes that may act in the next layer, None for all."""


class Said(NamedTuple):
    """One message of an episode.

    Attributes:
        node: Who sent it.
        round: In which pass over the layers, counted from 0.
        message: What was sent.
    """

    node: str
    round: int
    message: Any


class Channel(Protocol):
    """What the messages of a network are, and what they earn.

    It knows nothing of who acts when, and holds nothing that changes, so that an
    environment, its episodes and their copies share one.

    Attributes:
        name: Name and version of the environment, such as `neuromas_v0`.
        options: Names of the options by which a reset may pick a question.
    """

    name: str
    options: tuple[str, ...]

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Any:
        """Return the question that the options pick, or else a random one."""
        ...

    def deal(self, example: Any, topology: Topology, wiring: Wiring) -> Any:
        """Return what an episode keeps for `observe` as `dealt`; refuse what does not fit."""
        ...

    def check(self, node: str, message: Any) -> Any:
        """Return a node's message as it is kept, or raise an `InputError`."""
        ...

    def observe(self, episode: Episode, node: str) -> Any:
        """Return what a node sees now. Free of side effects."""
        ...

    def state(self, episode: Episode) -> Any:
        """Return what a critic that sees all is shown."""
        ...

    def score(self, examples: Sequence[Any], answers: Sequence[Any]) -> list[Score]:
        """Score an answer to each question."""
        ...

    def reward(self, score: Score) -> float:
        """Return the reward of a score."""
        ...

    def outcome(self, episode: Episode) -> dict[str, Any]:
        """Return what the nodes' infos say when the episode has ended."""
        ...

    def spaces(self, topology: Topology) -> Spaces:
        """Make the spaces, the same for every node."""
        ...

    def question(self, example: Any) -> str:
        """Return a question as text, for a picture."""
        ...

    def write(self, message: Any) -> str:
        """Return a message as text, for a picture."""
        ...


class Episode:
    """One question on its way through the network.

    Attributes:
        topology: The network.
        channel: What messages are.
        example: The question.
        wiring: Who acts in which order and who reads whom.
        dealt: What the channel made of the question for the nodes.
        active: The nodes of the current layer that have still to act, in their order;
            empty when the episode has ended.
        layer: Number of the current layer; the number of layers when the episode has ended.
        said: The messages of this round by node, in order of speaking; not to be changed.
        truncated: Whether the episode ended before its question was over. Never so with a
            question that takes one answer.
    """

    truncated = False

    def __init__(
        self,
        topology: Topology,
        channel: Channel,
        example: Any,
        *,
        graph: Iterable[Iterable[int | str]] | None = None,
        mask: Mapping[str, bool] | Sequence[bool] | None = None,
        schedule: Schedule | None = None,
        prefix: Mapping[str, Any] | None = None,
    ) -> None:
        """Start at the first layer in which a node acts, after replaying `prefix`.

        Args:
            topology: The network's nodes and, unless `graph` is given, its edges.
            channel: What messages are and what they earn, such as `TextChannel(task)`.
            example: The question.
            graph: Acyclic `(source, reader)` edges over the topology's nodes, for this
                episode alone. They may run against the numbering; the output stays
                the topology's, and nodes without a path to it do not act.
            mask: False for nodes that do not act, by name or as one truth value per node.
            schedule: Asked at every layer boundary, the first included, which nodes may
                act next. Must be a pure function.
            prefix: Messages already said, by node: the first ones in the order of acting.

        Raises:
            InputError: An argument names unknown nodes, the graph has a cycle, the
                prefix skips a node, or no node would act at all.
        """
        self.topology, self.channel, self.example = topology, channel, example
        self._edges = None if graph is None else named_edges(topology, graph)
        self.wiring = wiring(topology, self._edges)
        self.dealt = self.channel.deal(example, topology, self.wiring)
        self._masked = _masked_nodes(topology, mask)
        self._schedule = schedule
        self.said: dict[str, Any] = {}
        self.active: tuple[str, ...] = ()
        self.layer = -1
        self._score: Score | None = None
        self._advance()
        if self.done:
            raise InputError(
                "no node acts: mask, graph and schedule together leave nobody to answer"
            )
        self._replay(prefix or {})

    def observe(self, node: str) -> Any:
        """Return what a node sees now. Free of side effects.

        Raises:
            InputError: There is no such node.
        """
        try:
            return self.channel.observe(self, node)
        except KeyError:
            if node in self.wiring.sources:
                raise
            raise unknown("node", str(node), self.topology.nodes) from None

    def say(self, node: str, message: Any) -> None:
        """Commit the message of the first active node; a full layer leads to the next.

        Raises:
            InputError: It is not this node's turn, or the channel refuses the message.
        """
        if self.active[:1] != (node,):
            turn = f"it is {self.active[0]}'s turn" if self.active else "the episode has ended"
            raise InputError(f"{node} cannot speak now: {turn}")
        self.said[node] = self.channel.check(node, message)
        self.active = self.active[1:]
        if not self.active:
            self._advance()

    def commit(self, messages: Mapping[str, Any]) -> None:
        """Commit the messages of all active nodes at once and go to the next layer.

        Raises:
            InputError: The messages are not exactly those of the active nodes, or the
                channel refuses one. Nothing is committed then.
        """
        if messages.keys() != set(self.active) or not self.active:
            expected = ", ".join(self.active) or "nobody, the episode has ended"
            raise InputError(f"messages of {sorted(messages)} given; expected from: {expected}")
        check = self.channel.check
        self.said.update({node: check(node, messages[node]) for node in self.active})
        self._advance()

    @property
    def turns(self) -> tuple[Said, ...]:
        """What was said, in order of speaking."""
        return tuple([Said(node, 0, message) for node, message in self.said.items()])

    @property
    def messages(self) -> dict[str, Any]:
        """The messages so far by node, in order of speaking."""
        return self.said.copy()

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return not self.active

    @property
    def answer(self) -> Any:
        """The output node's message, or the last message if the output node did not act.

        Raises:
            InputError: The episode has not ended.
        """
        if not self.done:
            raise InputError(f"the episode has no answer yet: {', '.join(self.active)} must act")
        if self.topology.output in self.said:
            return self.said[self.topology.output]
        return next(reversed(self.said.values()))

    @property
    def score(self) -> Score:
        """The score of the answer, computed once.

        Raises:
            InputError: The episode has not ended, or what the task returns is no score.
        """
        if self._score is None:
            [self._score] = self.channel.score([self.example], [self.answer])
        return self._score

    @property
    def reward(self) -> float:
        """The one reward that every node receives."""
        return self.channel.reward(self.score)

    def fork(self) -> Episode:
        """Return an independent copy at the same point."""
        twin = copy.copy(self)
        twin.said = self.said.copy()
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Episode:
        """Copy what changes; task, question and messages are the same for all copies."""
        return self.fork()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; the wiring, which no copy may change, it looks up again."""
        return {key: value for key, value in self.__dict__.items() if key != "wiring"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` returned."""
        self.__dict__.update(state)
        self.wiring = wiring(self.topology, self._edges)

    def _advance(self) -> None:
        layers = self.wiring.layers
        self.active = ()
        while not self.active and self.layer < len(layers):
            self.layer += 1
            if self.layer < len(layers):
                self.active = self._who_acts(layers[self.layer])

    def _who_acts(self, layer: tuple[str, ...]) -> tuple[str, ...]:
        chosen = None if self._schedule is None else self._schedule(self.said.copy())
        if chosen is not None:
            _check_names(chosen, self.topology, "the schedule")
            layer = tuple([node for node in layer if node in chosen])
        if self._masked:
            layer = tuple([node for node in layer if node not in self._masked])
        return layer

    def _replay(self, prefix: Mapping[str, Any]) -> None:
        if prefix:
            _check_names(prefix, self.topology, "the prefix")
        for _ in prefix:
            if self.done or self.active[0] not in prefix:
                turn = f"{self.active[0]}, whose turn is next," if self.active else "no other node"
                left = [node for node in prefix if node not in self.said]
                raise InputError(
                    f"the prefix gives a message of {', '.join(left)}, but {turn} "
                    f"{'is missing in it' if self.active else 'acts in this episode'}"
                )
            self.say(self.active[0], prefix[self.active[0]])


def score_all(episodes: Sequence[Episode]) -> None:
    """Score ended episodes of one channel at once: where scores come of programs, side by side.

    Raises:
        InputError: An episode has not ended, or what the task returns is no score.
    """
    if episodes:
        examples = [episode.example for episode in episodes]
        answers = [episode.answer for episode in episodes]
        scores = episodes[0].channel.score(examples, answers)
        for episode, score in zip(episodes, scores, strict=True):
            episode._score = score


def _masked_nodes(
    topology: Topology, mask: Mapping[str, bool] | Sequence[bool] | None
) -> frozenset[str]:
    if mask is None:
        return frozenset()
    if isinstance(mask, Mapping):
        _check_names(mask, topology, "the mask")
        return frozenset(node for node, takes_part in mask.items() if not takes_part)
    values = () if isinstance(mask, str) or not isinstance(mask, Iterable) else tuple(mask)
    if len(values) != len(topology):
        raise InputError(
            f"the mask must hold one truth value for each of the {len(topology)} nodes, "
            f"or map node names to truth values; it is {mask!r}"
        )
    pairs = zip(topology.nodes, values, strict=True)
    return frozenset(node for node, takes_part in pairs if not takes_part)


def _check_names(names: Collection[str], topology: Topology, where: str) -> None:
    if isinstance(names, str) or not isinstance(names, Collection):
        raise InputError(f"{where} must give a collection of node names, not {names!r}")
    for name in names:
        if name not in topology.nodes:
            raise unknown(f"node in {where}", str(name), topology.nodes)
