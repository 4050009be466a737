"""GPTSwarm: which agent reads which, and who votes, learned by REINFORCE over sampled graphs.

Source: Zhuge et al., 2024 (arXiv 2402.16823), its setting for MMLU: `agents` truthful and as
many adversarial agents of one call each (temperature 0.2, 50 tokens), a majority vote;
every ordered pair of agents and every agent's way to the vote is a candidate edge with a
logit that starts at 0. Candidates are visited in a fixed order, those that would close a
cycle are passed over, edge e is taken with probability s_e = sigmoid(theta_e). With x_e = 1
for a taken edge, d log p(G) / d theta_e = x_e - s_e for visited edges and 0 for others; Adam (0.1)
goes up the mean of (u - b) d log p over 4 graphs an iteration, each on a question of its own, 200
iterations. Tested is the graph of all edges with s_e > 0.5, cycles cut in the same order.

In the authors' code an edge between two such agents carries no text: its reader sees the
task alone, and the edge only keeps the sender from being left out. That is the default here, a
choice of voters; with `edges_carry_text=true` an agent reads the messages on its edges, a
different and stronger method. We differ: u is the extracted score, votes are over answers read
out of replies with the tie rule of all baselines (theirs: raw texts, unseeded), and agents
without a way to the vote are not asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any, TypedDict

import numpy as np

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.adapted import learned
from neuromas_env.baselines.net import Fitted, Net, NoEngine, Setup
from neuromas_env.baselines.vote import Vote
from neuromas_env.checks import Natural
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks.base import Example

Edge = tuple[int, int]
BASELINES = ("none", "moving_average")


def gptswarm(
    setup: Setup,
    agents: int = 3,
    edges_carry_text: bool = False,
    ties: str = "index",
    state: str = "",
) -> Method:
    """Ask the agents that the learned graph keeps, in its order, and count their answers."""
    swarm = _swarm(setup, agents, edges_carry_text, ties)
    edges = candidates(2 * agents)
    if isinstance(setup.engine, NoEngine) and not state:
        return swarm  # only its calls are counted
    theta = learned(setup, "gptswarm", state)["theta"]
    if len(theta) != len(edges):
        raise InputError(
            f"{state}: theta must have {len(edges)} entries, one for each edge, got {len(theta)}"
        )
    graph = strongest(theta, edges)
    return replace(swarm, options=lambda question: {"graph": graph})


class SwarmState(TypedDict):
    """What GPTSwarm has learned; see `GptSwarmLearning`."""

    theta: list[float]
    mean: list[float]
    square: list[float]
    steps: Natural
    average: float | None


class GptSwarmLearning:
    """Learns the logits of the edges.

    Attributes:
        questions: Graphs, each with a question of its own, in an iteration.
        state: `theta`, Adam's `mean` and `square`, the number of `steps`, the moving `average`.
    """

    def __init__(
        self,
        setup: Setup,
        agents: int = 3,
        edges_carry_text: bool = False,
        ties: str = "index",
        graphs: int = 4,
        learning_rate: float = 0.1,
        baseline: str = "none",
    ) -> None:
        """Start with every edge as likely as not."""
        setup.check(1, 1024, graphs=graphs)
        setup.choose(BASELINES, baseline=baseline)
        self._setup, self._rate, self._baseline = setup, learning_rate, baseline
        self._method = _swarm(setup, agents, edges_carry_text, ties)
        self._edges = candidates(2 * agents)
        self.questions = graphs
        zeros = [0.0] * len(self._edges)
        self.state: dict[str, Any] = {
            "theta": zeros, "mean": zeros, "square": zeros, "steps": 0, "average": None,
        }  # fmt: skip

    def iterate(self, examples: Sequence[Example], seed: int) -> dict[str, float]:
        """Sample a graph for each question, run it, and take one step."""
        rng = np.random.default_rng(seed)
        theta = np.array(self.state["theta"])
        drawn = {example.question: draw(theta, self._edges, rng) for example in examples}
        sampled = replace(self._method, options=lambda question: {"graph": drawn[question][0]})
        runs = run_episodes(
            sampled, self._setup.task, examples, seed=int(rng.integers(2**62)), reward="extracted"
        )
        if failed := next((run for run in runs if run.error), None):
            raise InputError(f"question {failed.example.id!r}: {failed.error}")
        rewards = np.array([run.reward for run in runs])
        average = self.state["average"]
        offset = (average or 0.0) if self._baseline == "moving_average" else 0.0
        slopes = [drawn[run.example.question][1] for run in runs]
        gradient = np.mean([(u - offset) * g for u, g in zip(rewards, slopes, strict=True)], 0)
        mean = float(rewards.mean())
        self.state = {
            **adam(self.state, gradient, self._rate),
            "average": mean if average is None else 0.9 * average + 0.1 * mean,
        }
        return {
            "reward": mean,
            "edges": float(np.mean([len(graph) for graph, _ in drawn.values()])),
        }


GPTSWARM = Fitted(gptswarm, GptSwarmLearning, SwarmState)


def candidates(agents: int) -> list[Edge]:
    """Return all candidate edges in the order of their visits; the vote is number `agents`."""
    return [*permutations(range(agents), 2), *((agent, agents) for agent in range(agents))]


def draw(
    theta: np.ndarray, edges: Sequence[Edge], rng: np.random.Generator
) -> tuple[list[Edge], np.ndarray]:
    """Sample an acyclic graph; return its edges and d log p / d theta, `[edges]`."""
    uniform = rng.random(len(edges))
    chances = 1 / (1 + np.exp(-theta))
    gradient, taken = np.zeros(len(edges)), list[Edge]()
    for number, edge in enumerate(edges):
        if not _closes_cycle(taken, edge):
            take = bool(uniform[number] < chances[number])
            gradient[number] = float(take) - chances[number]
            taken += [edge] * take
    return taken, gradient


def strongest(theta: Sequence[float], edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges that are more likely than not, without those that close a cycle."""
    taken: list[Edge] = []
    for logit, edge in zip(theta, edges, strict=True):
        if logit > 0 and not _closes_cycle(taken, edge):
            taken.append(edge)
    return taken


def adam(state: Mapping[str, Any], gradient: np.ndarray, rate: float) -> dict[str, Any]:
    """Take one step up a gradient (Kingma and Ba, arXiv 1412.6980; betas 0.9 and 0.999)."""
    steps = state["steps"] + 1
    mean = 0.9 * np.array(state["mean"]) + 0.1 * gradient
    square = 0.999 * np.array(state["square"]) + 0.001 * gradient**2
    scaled = mean / (1 - 0.9**steps) / (np.sqrt(square / (1 - 0.999**steps)) + 1e-8)
    theta = np.array(state["theta"]) + rate * scaled
    return {
        "theta": theta.tolist(), "mean": mean.tolist(), "square": square.tolist(), "steps": steps,
    }  # fmt: skip


def _closes_cycle(taken: Sequence[Edge], edge: Edge) -> bool:
    reached, waiting = set[int](), [edge[1]]
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting += [reader for source, reader in taken if source == node]
    return edge[0] in reached


def _swarm(setup: Setup, agents: int, edges_carry_text: bool, ties: str) -> Method:
    setup.check(1, 32, agents=agents)
    limit = setup.max_new_tokens or 50
    setup = replace(setup, max_new_tokens=limit)
    net = Net()

    def play(system: str) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            lines = [observation["question"]]
            if edges_carry_text and observation["inbox"]:
                lines += ["", "Answers of other agents:"]
                lines += [f"- {message['text']}" for message in observation["inbox"]]
            return ("system", system), ("user", "\n".join(lines))

        return prompt

    form, alike = setup.task.answer_format, agents > 1
    truth = play(f"You know how to answer questions. {form}")
    truthful = setup.ask(truth, 0.2, alike=alike, short=True)
    lie = play(f"You are a liar: give a wrong answer on purpose. {form}")
    lying = setup.ask(lie, 0.2, alike=alike, short=True)
    nodes = [net.add(f"truthful {i}", truthful) for i in range(agents)]
    nodes += [net.add(f"adversarial {i}", lying) for i in range(agents)]
    net.add("vote", Vote(setup.task, ties), nodes)
    return net.method()
