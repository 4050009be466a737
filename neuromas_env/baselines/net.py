"""What a baseline is made of: nodes that ask a model or follow a script, in a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

from neuromas_env.agents.llm import LLMPolicy, Prompt
from neuromas_env.agents.prompts import Turns, build_prompt
from neuromas_env.checks import Range, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Cost, Engine, Observation, Policy, Request, Sampling
from neuromas_env.tasks.base import Example, Task
from neuromas_env.topology import Topology

REASONING_TOKENS = 200


@arguments
@dataclass(frozen=True)
class Script(Policy):
    """A node without a model: its message is a function of what it sees.

    Attributes:
        say: Observation to message.
    """

    say: Callable[[Observation], str]
    sampled, scripted = False, True

    def request(self, observation: Observation, seed: int) -> str:
        """Answer with the message to an observation."""
        return self.say(observation)


class NoEngine(Engine):
    """Stands at the nodes of a baseline that is made to be checked and counted, not to be run."""

    def __init__(self) -> None:
        """Open an account in which nothing will be counted."""
        self.cost = Cost()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Refuse.

        Raises:
            InputError: Always.
        """
        raise InputError("this baseline was made without an engine; make it with one to run it")


@arguments
@dataclass(frozen=True)
class Setup:
    """What a baseline is built from.

    Attributes:
        name: As the user wrote it, for messages.
        task: Gives the answer format and reads answers out of replies.
        engine: Serves all nodes.
        temperature: Of every node, None for what is canonical.
        max_new_tokens: Of every reply, None for what is canonical.
    """

    name: str
    task: Task
    engine: Engine
    temperature: Annotated[float, Range(low=0, high=10)] | None = None
    max_new_tokens: Annotated[int, Range(low=1, high=1_000_000)] | None = None

    def ask(
        self,
        prompt: Prompt,
        temperature: float,
        *,
        alike: bool = False,
        short: bool = False,
        control: bool = False,
    ) -> LLMPolicy:
        """Make a node that asks the model.

        Args:
            prompt: Writes the chat turns.
            temperature: The canonical temperature.
            alike: Whether other nodes ask exactly the same, so that it must be sampled.
            short: Whether the reply is an answer without reasoning, as long as the task says.
            control: See `LLMPolicy`.

        Raises:
            InputError: The node would only repeat what others say at temperature 0.
        """
        chosen = temperature if self.temperature is None else self.temperature
        if alike and chosen == 0:
            raise InputError(
                f"baseline {self.name!r} asks the same of several nodes, and at temperature 0 "
                f"they would all give the same reply; its usual temperature is {temperature:g}"
            )
        usual = self.task.max_new_tokens
        usual = usual if short else max(usual, REASONING_TOKENS)
        sampling = Sampling(chosen, self.max_new_tokens or usual)
        return LLMPolicy(self.engine, prompt, sampling, control=control)

    def check(self, low: float, high: float, **options: float) -> None:
        """Check numbers among the options.

        Args:
            low: The least that is allowed.
            high: The most that is allowed.
            **options: Value by option.

        Raises:
            InputError: A value is below or above; the message names baseline and option.
        """
        for option, value in options.items():
            if not low <= value <= high:
                raise InputError(
                    f"baseline {self.name!r}: {option} must be from {low:g} to {high:g}, "
                    f"not {value:g}"
                )

    def choose(self, allowed: Iterable[str], **options: str) -> None:
        """Check words among the options.

        Args:
            allowed: The words that are allowed.
            **options: Value by option.

        Raises:
            InputError: A value is another word; the message names baseline and option.
        """
        for option, value in options.items():
            if value not in allowed:
                raise unknown(f"value of {option} of baseline {self.name!r}:", value, allowed)


class Learning(Protocol):
    """What learns: made from a setup and options, it continues from its `state`."""

    questions: int
    """How many training questions an iteration takes."""
    state: dict[str, Any]
    """All that it has learned, as values for JSON; may be set."""

    def iterate(self, examples: Sequence[Example], seed: int) -> dict[str, float]:
        """Learn from some questions and return metrics, `reward` among them."""
        ...


@dataclass(frozen=True)
class Fitted:
    """A baseline that learns before it is tested, by something else than weights.

    Attributes:
        build: Takes a `Setup` and options, the folder `state` among them, and returns a `Method`.
        learning: Takes a `Setup` and options and returns what learns.
        state: Type hint of what is learned, by which it is checked when it is read.
    """

    build: Callable[..., Method]
    learning: Callable[..., Learning]
    state: Any = dict[str, Any]


class Net:
    """Collects nodes, sources before their readers, the output node last.

    Attributes:
        team: Policy by node.
        labels: What each node is in the method's own words.
    """

    def __init__(self) -> None:
        """Start without nodes."""
        self.team: dict[str, Policy] = {}
        self.labels: dict[str, str] = {}
        self._edges: list[tuple[int | str, int | str]] = []

    def add(self, label: str, policy: Policy, reads: Iterable[str] = ()) -> str:
        """Add a node and return its name.

        Args:
            label: What it is in the method's own words.
            policy: What sits at it.
            reads: Nodes whose messages it reads.
        """
        node = f"node_{len(self.team)}"
        self.team[node], self.labels[node] = policy, label
        self._edges += [(source, node) for source in reads]
        return node

    def method(self, **rest: Any) -> Method:
        """Return the method over all nodes, which read whole questions.

        Args:
            **rest: Further fields of the `Method`.
        """
        topology = Topology.from_edges(self._edges, len(self.team))
        return Method(topology, self.team, labels=self.labels, deals_parts=False, **rest)


def texts(observation: Observation, nodes: Iterable[str]) -> list[str]:
    """Return what those of the nodes said that spoke.

    Args:
        observation: What the reader of these nodes sees.
        nodes: Their names, in the order in which their texts are wanted.
    """
    said = {message["source"]: message["text"] for message in observation["inbox"]}
    return [said[node] for node in nodes if node in said]


def without_roles(setup: Setup, method: Method) -> Method:
    """Return the method with the role-free, structure-aware prompt of trained networks.

    Raises:
        InputError: No model reads another, so there is no role to take away; or scripts
            choose what a model reads, so that the method is nothing without its prompts.
    """
    asked = {n: p for n, p in method.team.items() if isinstance(p, LLMPolicy)}
    sources = {source for node in asked for source in method.topology.sources(node)}
    if not sources:
        raise InputError(f"baseline {setup.name!r} has no roles: none of its models reads another")
    if any(policy.control for policy in asked.values()) or sources - asked.keys():
        raise InputError(
            f"baseline {setup.name!r} has no role-free form: its scripts read replies as data, "
            "and its prompts say in which form these come"
        )

    def prompt(observation: Observation) -> Turns:
        return build_prompt(observation, setup.task.answer_format)

    bare = {node: replace(policy, prompt=prompt) for node, policy in asked.items()}
    return replace(method, team={**method.team, **bare})
