"""What a baseline is made of: nodes that ask a model or follow a script, and a `Method`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from neuromas_env.agents.prompts import build_prompt
from neuromas_env.envs.episode import Schedule
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import (
    Completion,
    Engine,
    Observation,
    Plain,
    Policy,
    Request,
    Sampling,
    Team,
    Trajectory,
)
from neuromas_env.rollout import EpisodeOptions, run_episodes, whole_questions
from neuromas_env.tasks.base import Example, Task
from neuromas_env.topology import Topology

Turns = tuple[tuple[str, str], ...]
Prompt = Callable[[Observation], Turns | str]
"""Writes the chat turns of a call from what the node sees, and from nothing else; a text in
place of turns is the node's message, said without a call."""

REASONING_TOKENS = 200


@dataclass(frozen=True)
class Ask(Policy):
    """A node that asks a model.

    Attributes:
        prompt: Writes the chat turns.
        engine: Who generates.
        sampling: How to decode.
        control: Whether a script reads the reply as data, so that its prompt is part of the
            method's mechanism and stays even where the role prompts are taken away.
    """

    prompt: Prompt
    engine: Engine
    sampling: Sampling
    control: bool = False

    @property
    def sampled(self) -> bool:
        """Whether the reply depends on the seed."""
        return self.sampling.temperature > 0

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Ask the engine."""
        turns = self.prompt(observation)
        if isinstance(turns, str):
            return turns
        return Request(turns, self.engine, None, self.sampling, seed)

    def read(self, completion: Completion) -> str:
        """Send what the model wrote."""
        return completion.message


@dataclass(frozen=True)
class Script(Policy):
    """A node without a model: its message is a function of what it sees."""

    say: Callable[[Observation], str]
    sampled = False
    scripted = True

    def request(self, observation: Observation, seed: int) -> str:
        """Answer with the message."""
        return self.say(observation)

    def read(self, completion: Completion) -> str:
        """Never asked, because there is no call."""
        raise AssertionError("a scripted node makes no call")


@dataclass(frozen=True)
class Method:
    """A baseline, ready to run on the same loop as every trained network.

    Attributes:
        topology: The network.
        team: A policy for every node.
        schedule: Pure function of the messages so far, asked who may act next; see `Episode`.
        options: Further arguments of `Episode` for a question, such as a `mask` or a `graph`.
            It is given the question's text, so it cannot see the gold answer.
        calls: The largest number of model calls for a question, by default one for every
            node whose policy is not `scripted`.
        labels: What the nodes are in the method's own words.
        dealt: Whether input nodes read the parts that a task deals, as in a trained network. In
            published methods every node reads the whole question.
        name: The name with those options that differ from the defaults, such as `sc:k=5`.
    """

    topology: Topology
    team: Team
    schedule: Schedule | None = None
    options: EpisodeOptions | None = None
    calls: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    dealt: bool = False

    def __post_init__(self) -> None:
        """Give plain objects the defaults of a policy, and count the calls."""
        team = {n: p if isinstance(p, Policy) else Plain(p) for n, p in self.team.items()}
        object.__setattr__(self, "team", team)
        if not self.calls:
            asking = [policy for policy in team.values() if not policy.scripted]
            object.__setattr__(self, "calls", len(asking))

    @property
    def sampled(self) -> bool:
        """Whether the seed matters. A method without randomness is run once."""
        return any(policy.sampled for policy in self.team.values())

    def run(
        self,
        task: Task,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        reward: str = "strict",
        numbers: Sequence[int] | None = None,
    ) -> list[Trajectory]:
        """Run every example once; see `run_episodes`."""
        return run_episodes(
            self.topology, task, self.team,
            examples if self.dealt else whole_questions(examples),
            seed=seed, reward=reward, numbers=numbers,
            schedule=self.schedule, options=self.options,
        )  # fmt: skip

    def tied(self, trajectory: Trajectory) -> bool | None:
        """Say whether a tie had to be broken, None for a method that never counts votes."""
        found: list[bool] = []
        for node, policy in self.team.items():
            inbox = [
                {"source": source, "text": trajectory.steps[source].text}
                for source in self.topology.sources(node)
                if source in trajectory.steps
            ]
            tied = policy.tied({"question": trajectory.example.question, "inbox": inbox})
            found += [] if tied is None else [tied]
        return any(found) if found else None


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
    temperature: float | None = None
    max_new_tokens: int | None = None

    def ask(
        self,
        prompt: Prompt,
        temperature: float,
        *,
        alike: bool = False,
        short: bool = False,
        control: bool = False,
    ) -> Ask:
        """Make a node that asks the model.

        Args:
            prompt: Writes the chat turns.
            temperature: The canonical temperature.
            alike: Whether other nodes ask exactly the same, so that it must be sampled.
            short: Whether the reply is an answer without reasoning, as long as the task says.
            control: See `Ask`.

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
        return Ask(prompt, self.engine, Sampling(chosen, self.max_new_tokens or usual), control)

    def check(self, low: float, high: float, **options: float) -> None:
        """Raise an InputError unless all the options are from `low` to `high`."""
        for option, value in options.items():
            if not low <= value <= high:
                raise InputError(
                    f"baseline {self.name!r}: {option} must be from {low:g} to {high:g}, "
                    f"not {value:g}"
                )

    def choose(self, allowed: Iterable[str], **options: str) -> None:
        """Raise an InputError unless all the options are among those allowed."""
        for option, value in options.items():
            if value not in allowed:
                raise unknown(f"value of {option} of baseline {self.name!r}:", value, allowed)


class Net:
    """Collects nodes, sources before their readers, the output node last."""

    def __init__(self) -> None:
        """Start without nodes."""
        self.team: dict[str, Policy] = {}
        self.labels: dict[str, str] = {}
        self._edges: list[tuple[int | str, int | str]] = []

    def add(self, label: str, policy: Policy, reads: Iterable[str] = ()) -> str:
        """Add a node and return its name."""
        node = f"node_{len(self.team)}"
        self.team[node], self.labels[node] = policy, label
        self._edges += [(source, node) for source in reads]
        return node

    def method(self, **rest: Any) -> Method:
        """Return the method over all nodes; `rest` are further fields of it."""
        topology = Topology.from_edges(self._edges, len(self.team))
        return Method(topology, self.team, labels=self.labels, **rest)


def texts(observation: Observation, nodes: Iterable[str]) -> list[str]:
    """Return what those of the nodes said that spoke, in the order of `nodes`."""
    said = {message["source"]: message["text"] for message in observation["inbox"]}
    return [said[node] for node in nodes if node in said]


def without_roles(setup: Setup, method: Method) -> Method:
    """Return the method with the role-free, structure-aware prompt of trained networks.

    Raises:
        InputError: No model reads another, so there is no role to take away; or scripts
            choose what a model reads, so that the method is nothing without its prompts.
    """
    asked = {n: p for n, p in method.team.items() if isinstance(p, Ask)}
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
