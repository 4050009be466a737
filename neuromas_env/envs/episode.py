"""The dynamics of one episode, without any framework: who acts, who reads what, what it earns.

The AEC environment, the parallel environment and the batched rollout all run
this class, so that the three agree by construction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from neuromas_env.dag import edge_indices, group_layers, longest_paths, neighbours
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import Example, Reply, Score, Task
from neuromas_env.tasks.ready import checked_score
from neuromas_env.topology import Topology

Schedule = Callable[[Mapping[str, str]], Collection[str] | None]
"""Messages committed so far to the nodes that may act in the next layer, None for all."""

MAX_MESSAGE = 20_000
MAX_QUESTION = 1_000_000
REWARDS = ("both", "strict", "extracted")


class Episode:
    """One question on its way through the network.

    Attributes:
        example: The question.
        active: The nodes of the current layer that have still to act, in their order;
            empty when the episode has ended.
        messages: What the nodes said so far, in the order in which they acted.
        layer: Number of the current layer; the number of layers when the episode has ended.
        wiring: Who acts in which order and who reads whom.
    """

    def __init__(
        self,
        topology: Topology,
        task: Task,
        example: Example,
        *,
        graph: Iterable[Iterable[int | str]] | None = None,
        mask: Mapping[str, bool] | Sequence[bool] | None = None,
        schedule: Schedule | None = None,
        prefix: Mapping[str, str] | None = None,
        max_length: int = MAX_MESSAGE,
        reward: str = "strict",
    ) -> None:
        """Start at the first layer in which a node acts, after replaying `prefix`.

        Args:
            topology: The network's nodes and, unless `graph` is given, its edges.
            task: Scores the answer.
            example: The question.
            graph: Acyclic `(source, reader)` edges over the topology's nodes, for this
                episode alone. They may run against the numbering; the output stays
                the topology's, and nodes without a path to it do not act.
            mask: False for nodes that do not act, by name or as one truth value per node.
            schedule: Asked at every layer boundary, the first included, which nodes may
                act next. Must be a pure function.
            prefix: Messages already said, by node: the first ones in the order of acting.
            max_length: Messages are cut to this many characters.
            reward: Which score is the reward: `strict`, `extracted`, or the mean of `both`,
                which pays half for a right answer in the wrong form.

        Raises:
            InputError: An argument names unknown nodes, the graph has a cycle, the
                prefix skips a node, or no node would act at all.
        """
        if reward not in REWARDS:
            raise unknown("reward", str(reward), REWARDS)
        if len(example.question) > MAX_QUESTION:
            raise InputError(
                f"example {example.id!r}: the question has {len(example.question)} characters, "
                f"at most {MAX_QUESTION} are allowed"
            )
        self.topology, self.task, self.example = topology, task, example
        self._edges = None if graph is None else _edges(topology, graph)
        self.wiring = wiring(topology, self._edges)
        self._masked = _masked_nodes(topology, mask)
        self._schedule, self._max_length, self._reward = schedule, max_length, reward
        self._common, self._dealt = _deal(example, self.wiring.inputs, topology.output)
        self.messages: dict[str, str] = {}
        self.active: tuple[str, ...] = ()
        self.layer = -1
        self._score: Score | None = None
        self._advance()
        if self.done:
            raise InputError(
                "no node acts: mask, graph and schedule together leave nobody to answer"
            )
        self._replay(prefix or {})

    def observe(self, node: str) -> dict[str, Any]:
        """Return what a node sees now: `question`, `inbox` and `place`. Free of side effects.

        The inbox holds the messages of the node's sources that spoke, as
        `{"source", "text"}` in the order of acting. The place holds the numbers `node`,
        `layer` and `index` (in the layer) and the read-only int8 arrays `[n_nodes]`
        `sources` and `readers`, 1 where there is an edge.
        """
        said = self.messages
        try:
            place, sources = self.wiring.places[node], self.wiring.sources[node]
        except KeyError:
            raise unknown("node", str(node), self.topology.nodes) from None
        return {
            "question": self._dealt.get(node, self._common),
            "inbox": tuple([{"source": s, "text": said[s]} for s in sources if s in said]),
            "place": place.copy(),
        }

    def say(self, node: str, text: str) -> None:
        """Commit the message of the first active node; a full layer leads to the next.

        Raises:
            InputError: It is not this node's turn, or the message is not a text.
        """
        if self.active[:1] != (node,):
            turn = f"it is {self.active[0]}'s turn" if self.active else "the episode has ended"
            raise InputError(f"{node} cannot speak now: {turn}")
        self.messages[node] = self._checked(node, text)
        self.active = self.active[1:]
        if not self.active:
            self._advance()

    def commit(self, messages: Mapping[str, str]) -> None:
        """Commit the messages of all active nodes at once and go to the next layer.

        Raises:
            InputError: The messages are not exactly those of the active nodes, or one
                is not a text. Nothing is committed then.
        """
        if messages.keys() != set(self.active) or not self.active:
            expected = ", ".join(self.active) or "nobody, the episode has ended"
            raise InputError(f"messages of {sorted(messages)} given; expected from: {expected}")
        checked = {node: self._checked(node, messages[node]) for node in self.active}
        self.messages.update(checked)
        self._advance()

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return not self.active

    @property
    def answer(self) -> str:
        """The output node's message, or the last message if the output node did not act."""
        self._require_end()
        return self.messages.get(self.topology.output, next(reversed(self.messages.values())))

    @property
    def score(self) -> Score:
        """The score of the answer, computed once.

        Raises:
            InputError: The episode has not ended, or what the task returns is no score.
        """
        if self._score is None:
            score = self.task.score(self.example, self.answer)
            self._score = checked_score(self.task, self.example, score)
        return self._score

    @property
    def reward(self) -> float:
        """The one reward that every node receives."""
        score = self.score
        if self._reward == "both":
            return (score.strict + score.extracted) / 2
        return getattr(score, self._reward)

    def fork(self) -> Episode:
        """Return an independent copy at the same point."""
        twin = copy.copy(self)
        twin.messages = self.messages.copy()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; the wiring, which no copy may change, it looks up again."""
        return {key: value for key, value in self.__dict__.items() if key != "wiring"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` returned."""
        self.__dict__.update(state)
        self.wiring = wiring(self.topology, self._edges)

    def _checked(self, node: str, text: str) -> str:
        if not isinstance(text, str):
            raise InputError(f"the message of {node} must be a text, not {type(text).__name__}")
        if len(text) > self._max_length:
            text = Reply(text[: self._max_length], cut_off=True)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the message of {node} is not valid Unicode: lone surrogate at {error.start}"
            ) from None
        return text

    def _advance(self) -> None:
        layers = self.wiring.layers
        self.active = ()
        while not self.active and self.layer < len(layers):
            self.layer += 1
            if self.layer < len(layers):
                self.active = self._who_acts(layers[self.layer])

    def _who_acts(self, layer: tuple[str, ...]) -> tuple[str, ...]:
        chosen = None if self._schedule is None else self._schedule(self.messages.copy())
        if chosen is not None:
            _check_names(chosen, self.topology, "the schedule")
            layer = tuple([node for node in layer if node in chosen])
        if self._masked:
            layer = tuple([node for node in layer if node not in self._masked])
        return layer

    def _replay(self, prefix: Mapping[str, str]) -> None:
        if prefix:
            _check_names(prefix, self.topology, "the prefix")
        for _ in prefix:
            if self.done or self.active[0] not in prefix:
                turn = f"{self.active[0]}, whose turn is next," if self.active else "no other node"
                left = [node for node in prefix if node not in self.messages]
                raise InputError(
                    f"the prefix gives a message of {', '.join(left)}, but {turn} "
                    f"{'is missing in it' if self.active else 'acts in this episode'}"
                )
            self.say(self.active[0], prefix[self.active[0]])

    def _require_end(self) -> None:
        if not self.done:
            raise InputError(f"the episode has no answer yet: {', '.join(self.active)} must act")


def score_all(episodes: Sequence[Episode]) -> None:
    """Score ended episodes of one task at once: where scores come of programs, side by side.

    Raises:
        InputError: An episode has not ended, or what the task returns is no score.
    """
    if episodes:
        examples = [episode.example for episode in episodes]
        answers = [episode.answer for episode in episodes]
        scores = episodes[0].task.score_many(examples, answers)
        for episode, score in zip(episodes, scores, strict=True):
            episode._score = checked_score(episode.task, episode.example, score)


@dataclass(frozen=True)
class Wiring:
    """Who acts in which order and who reads whom, over the fixed nodes of a topology.

    Attributes:
        layers: The nodes with a path to the output, by layer.
        inputs: The nodes of the first layer.
        sources: For every node whom it reads, in the order of acting.
        places: For every node the `place` of its observation.
    """

    layers: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    places: Mapping[str, dict[str, Any]]


@lru_cache(maxsize=128)
def wiring(topology: Topology, edges: tuple[tuple[str, str], ...] | None = None) -> Wiring:
    """Work out the wiring of a topology, with its own edges or with others.

    Raises:
        InputError: The edges hold a cycle.
    """
    edges = topology.edges if edges is None else edges
    depth = longest_paths(topology.nodes, edges)
    all_layers = group_layers(topology.nodes, depth)
    order = {node: position for position, node in enumerate(sum(all_layers, ()))}
    sources = neighbours(
        topology.nodes, sorted(((b, a) for a, b in edges), key=lambda e: order[e[1]])
    )
    useful = {topology.output}
    for node in sorted(order, key=order.__getitem__, reverse=True):
        if node in useful:
            useful.update(sources[node])
    acting = [tuple(node for node in layer if node in useful) for layer in all_layers]
    number = {node: position for position, node in enumerate(topology.nodes)}
    links = np.zeros((2, len(topology), len(topology)), dtype=np.int8)
    for source, reader in edges:
        links[0, number[reader], number[source]] = links[1, number[source], number[reader]] = 1
    # The rows are shared between observations; a policy must not be able to change them.
    links.setflags(write=False)
    places = {
        node: {
            "node": number[node],
            "layer": layer,
            "index": index,
            "sources": links[0, number[node]],
            "readers": links[1, number[node]],
        }
        for layer, nodes in enumerate(all_layers)
        for index, node in enumerate(nodes)
    }
    layers = tuple(layer for layer in acting if layer)
    return Wiring(layers, layers[0], sources, places)


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


def _deal(example: Example, inputs: tuple[str, ...], output: str) -> tuple[str, dict[str, str]]:
    """Return what every node reads, and what the input nodes read instead."""
    if not example.parts:
        return example.question, {}
    if inputs == (output,):
        return example.query, {output: example.question}
    blocks = deal(len(example.parts), len(inputs))
    return example.query, {
        node: part_text(example.query, [example.parts[i] for i in block])
        for node, block in zip(inputs, blocks, strict=True)
    }


def _edges(topology: Topology, graph: Iterable[Iterable[int | str]]) -> tuple[tuple[str, str], ...]:
    pairs = sorted({edge_indices(edge) for edge in graph})
    for pair in pairs:
        if max(pair) >= len(topology):
            raise unknown("node in the graph", f"node_{max(pair)}", topology.nodes)
    return tuple((topology.nodes[source], topology.nodes[reader]) for source, reader in pairs)


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
