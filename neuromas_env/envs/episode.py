"""The dynamics of one episode, without any framework: who acts, who reads what, what it earns.

The AEC environment, the parallel environment and the batched rollout all run
this class, so that the three agree by construction. What a message is, texts or
symbols of a code book, is the business of a channel.

An episode passes over the layers once a round. In a round a node hears the messages of this round
along the edges, those of the round before along the feedback edges, and nothing older. When a round
is over, a task that replies is asked; `ask_worlds` does it for many episodes at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from neuromas_env.checks import check, shown
from neuromas_env.envs.channel import Channel, horizon
from neuromas_env.envs.options import Prefix, check_names, masked_nodes, turns_of
from neuromas_env.envs.schedules import WORLD, Messages, Said, Schedule
from neuromas_env.envs.wiring import named_edges, wiring
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import Score
from neuromas_env.tasks.interactive import Response, responses
from neuromas_env.topology import Topology


class Episode:
    """One question on its way through the network.

    Attributes:
        topology: The network.
        channel: What messages are.
        example: The question.
        horizon: After how many rounds it is over, whatever happens.
        wiring: Who acts in which order and who reads whom.
        dealt: What the channel made of the question for the nodes.
        round: Number of the round, counted from 0; of an ended episode, of the last with a message.
        layer: Number of the current layer; the number of layers when the episode has ended.
        said: The messages of this round by node, in order of speaking; not to be changed.
        past: The same of every earlier round.
        replies: What the task replied to each round so far, None to one in which nobody spoke;
            empty for a task that does not reply.
        waiting: Whether the round is over and the task has still to reply, on which the other
            attributes depend; see `settle`, `answered` and `ask_worlds`.
        truncated: Whether the last round was over before the task was. Never so for a task that
            does not reply.
    """

    truncated = False
    waiting = False

    def __init__(
        self,
        topology: Topology,
        channel: Channel,
        example: Any,
        *,
        graph: Iterable[Iterable[int | str]] | None = None,
        mask: Mapping[str, bool] | Sequence[bool] | None = None,
        schedule: Schedule | None = None,
        prefix: Prefix | None = None,
    ) -> None:
        """Start at the first layer in which a node acts, after replaying `prefix`.

        Args:
            topology: The network's nodes and, unless `graph` is given, its edges.
            channel: What messages are and what they earn, such as `TextChannel(task)`.
            example: The question.
            graph: Acyclic `(source, reader)` edges over the topology's nodes, for this
                episode alone. They may run against the numbering; the output stays
                the topology's, as do feedback edges, and nodes without a path to it do not act.
            mask: False for nodes that do not act, by name or as one truth value per node.
            schedule: Asked at every layer boundary, the first included, which nodes may
                act next. Must be a pure function.
            prefix: Messages already said, the first ones in the order of acting: by node those of
                the first round, or `(node, message)` pairs or turns in order, of any rounds.

        Raises:
            InputError: An argument names unknown nodes, the graph has a cycle, the
                prefix skips a node, or no node would act at all.
        """
        check("topology", topology, Topology)
        check("channel", channel, Channel)
        self.topology, self.channel, self.example = topology, channel, example
        self.horizon = horizon(channel, topology)
        self._edges = None if graph is None else named_edges(topology, graph)
        self.wiring = wiring(topology, self._edges, self.horizon)
        self.dealt = self.channel.deal(example, topology, self.wiring)
        self._masked = masked_nodes(topology, mask)
        self._schedule = schedule
        self.said: dict[str, Any] = {}
        self.past: tuple[dict[str, Any], ...] = ()
        self.replies: tuple[Response | None, ...] = ()
        self.active = ()
        self.round, self.layer = 0, -1
        self._score: Score | None = None
        self._advance()
        if self.done:
            raise InputError(
                "no node acts: mask, graph and schedule together leave nobody to answer"
            )
        if prefix:
            self._replay(prefix)

    @cached_property
    def active(self) -> tuple[str, ...]:
        """The nodes of the current layer that have still to act, in their order.

        Empty when the episode has ended. It is set as the episode continues, but while it waits for
        the task's reply, on which it depends; so the task is asked when it is first read.

        Raises:
            InputError: What the task replies is no response.
        """
        self.settle()
        return self.active

    def observe(self, node: str) -> Any:
        """Return what a node sees now. Free of side effects.

        Raises:
            InputError: There is no such node.
        """
        if self.waiting:
            self.settle()
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
        checked = self.channel.check
        self.said.update({node: checked(node, messages[node]) for node in self.active})
        self._advance()

    def answered(self, response: Response) -> None:
        """Take what the task replied to the round that is over, and continue or end.

        Raises:
            InputError: No reply is awaited.
        """
        if not self.waiting:
            raise InputError("the episode awaits no reply: its round is not over, or has one")
        self.waiting, self.active = False, ()
        self.replies += (response,)
        if not response.done and self.round + 1 < self.horizon:
            self._next_round()
        else:
            self.truncated = not response.done

    def settle(self) -> None:
        """Ask the task for the reply that the episode waits for, if it does.

        Raises:
            InputError: What the task replies is no response.
        """
        [error] = ask_worlds([self])
        if error is not None:
            raise error

    @property
    def tick(self) -> int:
        """Number of the layer, counted over all rounds."""
        return self.round * len(self.wiring.layers) + self.layer

    @property
    def before(self) -> Mapping[str, Any]:
        """The messages of the round before by node, in order of speaking."""
        return self.past[-1] if self.past else {}

    @property
    def turns(self) -> tuple[Said, ...]:
        """What was said, in order of speaking."""
        return Messages(self.said, self.past).turns

    @property
    def history(self) -> Iterator[Said]:
        """What was said and what the task replied, `WORLD` as its name, in order."""
        for at, said in enumerate((*self.past, self.said)):
            yield from [Said(node, at, message) for node, message in said.items()]
            if at < len(self.replies) and (reply := self.replies[at]):
                yield Said(WORLD, at, reply.text)

    @property
    def messages(self) -> dict[str, Any]:
        """The last message of each node that spoke, in order of speaking."""
        last = self.said.copy()
        for said in reversed(self.past):
            last = {node: m for node, m in said.items() if node not in last} | last
        return last

    @property
    def actions(self) -> tuple[Any, ...]:
        """Of each round with a message the action: the output node's, or else the last message."""
        output, rounds = self.topology.output, (*self.past, self.said)
        return tuple([said.get(output, next(reversed(said.values()))) for said in rounds if said])

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return not self.active

    @property
    def answer(self) -> Any:
        """The output node's last message, or the last message if the output node never acted.

        Raises:
            InputError: The episode has not ended.
        """
        if not self.done:
            raise InputError(f"the episode has no answer yet: {', '.join(self.active)} must act")
        output = self.topology.output
        for said in (self.said, *reversed(self.past)):
            if output in said:
                return said[output]
        return next(reversed(self.said.values()))

    @property
    def score(self) -> Score:
        """The score of the answer, computed once.

        Raises:
            InputError: The episode has not ended, or what the task returns is no score.
        """
        if self._score is None:
            _ = self.answer
            [self._score] = self.channel.score([self])
        return self._score

    def earned(self, round: int) -> float:
        """Return what every node receives for a round: the reply's reward, at the end the score's.

        Raises:
            InputError: What the task returns is no score.
        """
        ends = self.done and round == self.round  # first, as it may ask for a reply
        reply = self.replies[round] if round < len(self.replies) else None
        earned = 0.0 if reply is None else reply.reward
        return earned + self.channel.reward(self.score) if ends else earned

    @property
    def rewards(self) -> tuple[float, ...]:
        """What each round earned; empty for a task that does not reply, which pays at the end."""
        self.settle()
        return tuple([self.earned(at) for at in range(len(self.replies))])

    @property
    def reward(self) -> float:
        """The one reward that every node receives, the sum over the rounds.

        Raises:
            InputError: The episode has not ended, or what the task returns is no score.
        """
        score = self.channel.reward(self.score)
        return sum(self.rewards) if self.replies else score

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
        self.wiring = wiring(self.topology, self._edges, self.horizon)

    def _advance(self) -> None:
        """Turn to the next nodes that act; a round that has none left is over."""
        if self._next_layer():
            return
        if self.said and self.channel.world is not None:
            self.waiting = True
            del self.active
        elif self.round + 1 < self.horizon:
            self._next_round()

    def _next_layer(self) -> bool:
        layers = self.wiring.acting[self.round]
        self.active = ()
        for layer in range(self.layer + 1, len(layers)):
            self.layer = layer
            if active := self._who_acts(layers[layer]):
                self.active = active
                return True
        self.layer = len(layers)
        return False

    def _next_round(self) -> None:
        """Turn to the next round in which somebody acts; without one the episode has ended."""
        ended = self.round, self.said, self.past, self.replies
        while self.round + 1 < self.horizon:
            if self.channel.world is not None and len(self.replies) == self.round:
                self.replies += (None,)
            self.past += (self.said,)
            self.said, self.round, self.layer = {}, self.round + 1, -1
            if self._next_layer():
                return
        self.round, self.said, self.past, self.replies = ended

    def _who_acts(self, layer: tuple[str, ...]) -> tuple[str, ...]:
        chosen = None if self._schedule is None else self._schedule(Messages(self.said, self.past))
        if chosen is not None:
            check_names(chosen, self.topology, "the schedule")
            layer = tuple([node for node in layer if node in chosen])
        if self._masked:
            layer = tuple([node for node in layer if node not in self._masked])
        return layer

    def _replay(self, prefix: Prefix) -> None:
        if not isinstance(prefix, Mapping):
            for place, (node, message) in enumerate(turns_of(prefix)):
                if self.active[:1] != (node,):
                    turn = f"it is {self.active[0]}'s turn" if self.active else "nobody acts then"
                    raise InputError(f"prefix[{place}] is of {shown(node)}, but {turn}")
                self.say(node, message)
            return
        check_names(prefix, self.topology, "the prefix")
        for _ in prefix:
            over = not self.active or self.round > 0
            if over or self.active[0] not in prefix:
                left = [node for node in prefix if node not in (*self.past, self.said)[0]]
                if not over:
                    why = f"{self.active[0]}, whose turn is next, is missing in it"
                elif self.horizon == 1:
                    why = "no other node acts in this episode"
                else:
                    why = "no other acts in the first round; give pairs (node, message) for later"
                raise InputError(f"the prefix gives a message of {', '.join(left)}, but {why}")
            self.say(self.active[0], prefix[self.active[0]])


def ask_worlds(episodes: Iterable[Episode]) -> list[InputError | None]:
    """Let the task reply to all episodes that wait for it, at once; they continue.

    Args:
        episodes: Of one channel. Those that do not wait stay as they are.

    Returns:
        For each episode None, or what is wrong with the task's reply; that episode waits still.
    """
    episodes = list(episodes)
    asked = [episode for episode in episodes if episode.waiting]
    errors: dict[int, InputError] = {}
    if asked and (world := asked[0].channel.world) is not None:
        examples, actions = [e.example for e in asked], [e.actions for e in asked]
        for episode, reply in zip(asked, responses(world, examples, actions), strict=True):
            if isinstance(reply, Response):
                episode.answered(reply)
            else:
                errors[id(episode)] = reply
    return [errors.get(id(episode)) for episode in episodes]


def score_all(episodes: Sequence[Episode]) -> None:
    """Score ended episodes of one channel at once: where scores come of programs, side by side.

    Raises:
        InputError: An episode has not ended, or what the task returns is no score.
    """
    if episodes:
        scores = episodes[0].channel.score(episodes)
        for episode, score in zip(episodes, scores, strict=True):
            episode._score = score
