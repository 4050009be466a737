"""The light contracts between an environment, the policies at its nodes and the engines.

A policy works in two phases, so that a runner can batch model calls across
nodes and episodes: `request(observation, seed)` answers with the message
itself (a script, no model call) or with a `Request` for an engine;
`read(completion)` makes the message of what the engine returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from neuromas_env.checks import Count, Natural, NonNegative, arguments
from neuromas_env.tasks.base import Example, Reply, Score
from neuromas_env.tasks.interactive import Response
from neuromas_env.text import valid

if TYPE_CHECKING:
    import numpy as np

Observation = Mapping[str, Any]


def _no(kind: str) -> np.ndarray:
    """Return an empty array; numpy is loaded here, since options need none to be checked."""
    import numpy as np

    return np.zeros(0, dtype=kind)


@arguments
@dataclass(frozen=True)
class Sampling:
    """How to decode.

    Attributes:
        temperature: Tokens are drawn from softmax(logits / temperature); 0 is greedy.
        max_new_tokens: The length at which a reply is cut off, in tokens.
    """

    temperature: NonNegative = 1.0
    max_new_tokens: Count = 200


@arguments
@dataclass(frozen=True)
class Request:
    """One model call.

    Attributes:
        turns: Chat turns as `(role, text)`; roles are `system`, `user`, `assistant`.
            Control markup of the chat template inside a text stays plain text.
        engine: Who answers.
        adapter: Name of the LoRA adapter, None for the bare base model.
        sampling: Decoding parameters.
        seed: Seed of this call's own random stream.
        replies: Token ids of the `assistant` turns as they were sampled, an int array `[T]` each,
            empty where they are not known; without any, the turns' texts are tokenised. Engines
            that have no tokens, such as servers, go by the texts.
    """

    turns: tuple[tuple[str, str], ...]
    engine: Engine
    adapter: str | None = None
    sampling: Sampling = Sampling()
    seed: Natural = 0
    replies: tuple[np.ndarray, ...] = field(default=(), repr=False)


@arguments
@dataclass(frozen=True)
class Completion:
    """What an engine answers, token-exact. Lone surrogates in its texts become U+FFFD.

    Attributes:
        text: The decoded reply, without the end-of-turn token.
        prompt_ids: int array `[P]`, the exact prompt.
        ids: int array `[T]`, the exact sampled tokens, end-of-turn token included.
        logprobs: float array `[T]`, natural logarithm of the probability with
            which the sampler drew each token (temperature included).
        finished: False if the reply was cut off by the length limit.
        error: Why the call failed, None if it did not. A failed call is an error of
            the episode, never an empty message.
        left_out: What the engine did not take of the request, such as `seed`.
    """

    text: str
    prompt_ids: np.ndarray = field(default_factory=partial(_no, "int64"), repr=False)
    ids: np.ndarray = field(default_factory=partial(_no, "int64"), repr=False)
    logprobs: np.ndarray = field(default_factory=partial(_no, "float32"), repr=False)
    finished: bool = True
    error: str | None = None
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring the texts into the form that stores, tokenizers and servers take."""
        for name in ("text", "error"):
            if isinstance(text := getattr(self, name), str):
                object.__setattr__(self, name, valid(text))

    @property
    def message(self) -> Reply:
        """The reply as a node's message, which knows whether it was cut off."""
        return Reply(self.text.strip(), cut_off=not self.finished)


@runtime_checkable
class Engine(Protocol):
    """Answers requests in one batch; the only place where cost is counted.

    An engine of one's own subclasses it, sets `cost` and implements `generate`.

    Attributes:
        cost: What calls have cost so far.
        name: Of the model, empty where none is known.
        weights_hash: Of the model's weights, empty where they are not known, as at a server.
        settings: What else can change a reply, for JSON: stored answers are distinguished by it.
        versions: Of the packages that compute.
        paid: Whether a call costs money or somebody else's time, so that a benchmark keeps every
            reply as soon as it is there.
        tool: Whether a program answers, no model, so that its calls count apart.
    """

    cost: Cost
    name: str = ""
    weights_hash: str = ""
    settings: Mapping[str, Any] = MappingProxyType({})
    versions: Mapping[str, str] = MappingProxyType({})
    paid: bool = False
    tool: bool = False

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return a completion for each of the requests, in their order.

        A call that fails is a completion with an `error`; nothing is raised.
        """
        ...

    def as_completed(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Yield the index of each of the requests with its completion, as soon as it is there."""
        yield from enumerate(self.generate(requests))

    def close(self) -> None:
        """End what runs beside this process, if anything does."""
        return None


@dataclass
class Usage:
    """What calls have cost.

    Attributes:
        calls: Number of calls.
        prompt_tokens: Of all prompts, each counted whole.
        completion_tokens: Of all replies, end-of-turn tokens included.
        seconds: Time of the engine.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def add(self, other: Usage) -> None:
        """Add another account to this one."""
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.seconds += other.seconds


TOOL = "tool:"
"""How the accounts of tools begin."""


class Cost:
    """Usage per phase and adapter, kept by an engine.

    Attributes:
        phase: The account that calls are counted on now, such as `train` or `eval`.
        usage: `(phase, adapter) -> Usage`.
    """

    def __init__(self) -> None:
        """Start an empty account in the phase `eval`."""
        self.phase = "eval"
        self.usage: dict[tuple[str, str], Usage] = {}

    def book(self, adapter: str | None, usage: Usage) -> None:
        """Add the usage of some calls of one adapter to the current phase."""
        self.usage.setdefault((self.phase, adapter or "base"), Usage()).add(usage)

    def total(self, phase: str) -> Usage:
        """Sum over the adapters of one phase; tools, which are no models, stand apart."""
        return self._sum(phase, tools=False)

    def tools(self, phase: str) -> Usage:
        """Sum over the tools of one phase."""
        return self._sum(phase, tools=True)

    def _sum(self, phase: str, tools: bool) -> Usage:
        total = Usage()
        for (booked_phase, name), usage in self.usage.items():
            if booked_phase == phase and name.startswith(TOOL) == tools:
                total.add(usage)
        return total


class Policy:
    """What sits at a node: a base class whose defaults are those of a script.

    Attributes:
        engine: Whose calls the node makes, None for a node without a model.
        adapter: Name of the adapter that speaks at the node, None for the bare base or a script.
        sampled: Whether what the node says depends on the seed. A method in which none does is
            run with one seed alone.
        scripted: Whether the node makes no call, so that it counts as none.
    """

    engine: Engine | None = None
    adapter: str | None = None
    sampled: bool = True
    scripted: bool = False

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Answer with a ready message, or with a model call.

        Args:
            observation: What the node reads: `question`, `inbox` and `place`.
            seed: Seeds everything random at this turn, the model's draw included.
        """
        raise NotImplementedError

    def read(self, completion: Completion) -> str:
        """Return the message that a node sends for a completion, by default its text."""
        return completion.message

    @property
    def asks_model(self) -> bool:
        """Whether a model is asked, and not a script or a tool."""
        return not self.scripted and not (self.engine is not None and self.engine.tool)

    def tied(self, observation: Observation) -> bool | None:
        """Say whether a vote on an observation ends in a tie, None for a node that counts none."""
        return None


Team = Mapping[str, Policy]
"""A policy for every node of a topology, by node name."""


@dataclass(frozen=True)
class Turn:
    """One node's turn.

    Attributes:
        node: Who spoke.
        text: The message it sent.
        adapter: Name of the adapter that spoke, None for the bare base or a script.
        completion: The exact tokens of a model call, None for a script or a tool.
        round: In which round of the episode, counted from 0.
    """

    node: str
    text: str
    adapter: str | None = None
    completion: Completion | None = None
    round: int = 0


@dataclass(frozen=True)
class Trajectory:
    """One episode of a whole network.

    Attributes:
        example: The question.
        group: Episodes of the same question in one batch share this number.
        seed: Seed from which the seeds of all the episode's calls derive.
        turns: What the nodes said, in the order of speaking.
        answer: The text that was scored.
        score: The score, None if the episode failed.
        reward: The one reward that every node receives.
        error: Which node's call failed and why, None if none did.
        rewards: What each round earned, the score at the end included: they sum up to `reward`.
            Empty for a task that does not reply, which pays at the end alone.
        truncated: Whether the network's rounds were over before the task was.
        replies: What the task replied to each round, None to one in which nobody spoke; empty for a
            task that does not reply.
    """

    example: Example
    group: int
    seed: int
    turns: tuple[Turn, ...]
    answer: str
    score: Score | None
    reward: float
    error: str | None = None
    rewards: tuple[float, ...] = ()
    truncated: bool = False
    replies: tuple[Response | None, ...] = ()

    def by_node(self, node: str) -> tuple[Turn, ...]:
        """Return a node's turns, in the order of speaking."""
        return tuple([turn for turn in self.turns if turn.node == node])

    def last(self, node: str) -> Turn | None:
        """Return a node's last turn, None if it did not speak."""
        return next((turn for turn in reversed(self.turns) if turn.node == node), None)
