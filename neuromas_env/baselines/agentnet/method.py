"""AgentNet: agents that route a question among themselves, and learn from how it ends.

Source: Yang et al., 2025 (arXiv 2504.00587) and its settings for BIG-bench Hard: three agents
on a complete graph, each a router and an executor with a memory of solved questions. The
ablest agent starts; its router forwards the question, splits it (its executor does a part,
then the router says whether that settles it or who goes on) or has its executor solve it. At
most three forwards in a hop and five hops, temperature 0, the three nearest memories in every
prompt, 40 memories of an executor. A forward costs one call, a hop four more: routing, two
thoughts and an answer, or routing, a thought, a part and who goes on. The last executor's
result is the answer.

Training questions pass one by one (`batch=1`), and each changes edges, abilities and memories
by the paper's rule; see `Rule`. The authors' code has another, in which the seconds that a
call takes shrink an edge. Its alpha, beta and theta (0.9, 0.9, 0.3) are ours: we found no values.

We differ: an ability is a vector in the space of the embedding, whose product with a question's
is the success to be expected (the code has seven named abilities, assigned to the tasks of
BIG-bench Hard by hand); TF-IDF stands in for BGE embeddings, at a lower threshold (0.3 for
0.7); the least recently used memory is forgotten; a decision in no valid form is taken as to
execute; others' memories are shown without progress; loads are left out, as questions do not
wait for one another. All is frozen when tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.adapted import learned
from neuromas_env.baselines.agentnet.pool import (
    TFIDF,
    Entry,
    Held,
    Lesson,
    Pool,
    Rule,
    State,
    fresh,
)
from neuromas_env.baselines.agentnet.prompts import Prompts
from neuromas_env.baselines.agentnet.walk import (
    ENTRY,
    RESULT,
    Hop,
    Spot,
    Walks,
    actions,
    progress,
)
from neuromas_env.baselines.net import Fitted, Net, NoEngine, Script, Setup
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation, Trajectory
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks.base import Example

SAMPLE = 1000
"""How many training questions TF-IDF is fitted to, taken evenly."""


def agentnet(
    setup: Setup,
    agents: int = 3,
    splits: int = 5,
    forwards: int = 3,
    retrieve: int = 3,
    threshold: float = 0.3,
    embedding: str = TFIDF,
    state: str = "",
) -> Method:
    """Route questions as the agents have learned to, without learning more."""
    crew = _Crew(setup, agents, splits, forwards, Pool({}, retrieve, threshold))
    if isinstance(setup.engine, NoEngine) and not state:
        return crew.method  # only its calls are counted
    crew.pool.state = learned(setup, "agentnet", state)
    return crew.method


class AgentNetLearning:
    """Learns edges, abilities and memories.

    Attributes:
        questions: How many are routed before what they teach is learned, in their order.
        state: As `agentnet_pool` describes it; empty before the first iteration.
    """

    def __init__(
        self,
        setup: Setup,
        agents: int = 3,
        splits: int = 5,
        forwards: int = 3,
        retrieve: int = 3,
        threshold: float = 0.3,
        embedding: str = TFIDF,
        alpha: float = 0.9,
        beta: float = 0.9,
        theta: float = 0.3,
        memory: int = 40,
        batch: int = 1,
    ) -> None:
        """Start with a complete graph of equal agents."""
        setup.check(0, 1, alpha=alpha, beta=beta, theta=theta)
        setup.check(1, 10_000, memory=memory)
        setup.check(1, 1024, batch=batch)
        self._crew = _Crew(setup, agents, splits, forwards, Pool({}, retrieve, threshold))
        self._setup, self._embedding = setup, embedding
        self._rule = Rule(alpha, beta, theta, memory)
        self.questions = batch
        self.state: State = {}

    def iterate(self, examples: Sequence[Example], seed: int) -> dict[str, float]:
        """Route each question with what is known so far, then learn from all."""
        self.state = self.state or self._begin()
        self._crew.pool.state = self.state
        task = self._setup.task
        runs = run_episodes(self._crew.method, task, examples, seed=seed, reward="extracted")
        if failed := next((run for run in runs if run.error), None):
            raise InputError(f"question {failed.example.id!r}: {failed.error}")
        for lesson in [self._crew.lesson(run) for run in runs]:
            self.state = self._rule.update(self.state, lesson)
        edges = sum(weight > 0 for row in self.state["weights"] for weight in row)
        hops = sum(len(self._crew.hops(run)) for run in runs)
        reward = sum(run.reward for run in runs) / len(runs)
        return {"reward": reward, "hops": hops / len(runs), "edges": float(edges)}

    def _begin(self) -> State:
        rows = self._setup.task.examples("train")
        spread = range(0, len(rows), -(-len(rows) // SAMPLE))
        return fresh(self._crew.walks.agents, self._embedding, [rows[i].question for i in spread])


AGENTNET = Fitted(agentnet, AgentNetLearning, Held)


class _Crew:
    """The network of all walks, and what is read out of its episodes."""

    def __init__(self, setup: Setup, agents: int, splits: int, forwards: int, pool: Pool) -> None:
        setup.check(1, 10, agents=agents)
        setup.check(1, 8, splits=splits)
        setup.check(0, 9, forwards=forwards)
        setup.check(0, 100, retrieve=pool.retrieve)
        setup.check(-1, 1, threshold=pool.threshold)
        self.pool = pool
        self.walks = Walks(agents, splits, forwards, pool.neighbours)
        self._prompts = Prompts(setup.task, pool, self.walks)
        self._spots: dict[str, Spot] = {}
        self.method = self._build(setup)

    def hops(self, run: Trajectory) -> list[Hop]:
        """Return the hops of an episode."""
        return self._follow({turn.node: turn.text for turn in run.turns})[0]

    def lesson(self, run: Trajectory) -> Lesson:
        """Return what an episode teaches."""
        question, hops = run.example.question, self.hops(run)
        ways = [hop.path for hop in hops] + [[a.path[-1], b.path[0]] for a, b in pairwise(hops)]
        edges = frozenset((i, j) for way in ways for i, j in pairwise(way) if i != j)
        acts: list[tuple[int, str, Entry]] = []
        for h, hop in enumerate(hops):
            for agent, memory, after, action in actions(hop):
                entry = {"question": question, "progress": progress(hops[: h + after])}
                acts.append((agent, memory, entry | {"action": action}))
        used = [
            (agent, memory, recalled)
            for agent, memory, entry in acts
            for recalled in self.pool.recall(agent, memory, question, entry["progress"])
        ]
        solvers = frozenset(hop.path[-1] for hop in hops)
        return Lesson(self.pool.need(question), run.reward, edges, solvers, acts, used)

    def _build(self, setup: Setup) -> Method:
        net, earlier, nodes = Net(), list[str](), dict[Spot, str]()
        scripts = {
            ENTRY: Script(lambda seen: self.pool.entry(seen["question"])),
            RESULT: Script(lambda seen: self._follow(_said(seen))[0][-1].result),
        }
        for layer in self.walks.layers():
            for spot in layer:
                ask = scripts.get(spot) or setup.ask(self._prompt(spot), 0.0, control=True)
                nodes[spot] = net.add(spot.label, ask, earlier)
                self._spots[nodes[spot]] = spot
            earlier += [nodes[spot] for spot in layer]

        def schedule(messages: Mapping[str, str]) -> set[str]:
            return {nodes[self._follow(messages)[1]]}

        return net.method(schedule=schedule, calls=self.walks.calls)

    def _follow(self, messages: Mapping[str, str]) -> tuple[list[Hop], Spot]:
        return self.walks.follow({self._spots[node]: text for node, text in messages.items()})

    def _prompt(self, spot: Spot) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            said = {self._spots[node]: text for node, text in _said(observation).items()}
            hops, _ = self.walks.follow(said)
            return self._prompts.turns(spot, observation["question"], hops, said)

        return prompt


def _said(observation: Observation) -> dict[str, str]:
    return {message["source"]: message["text"] for message in observation["inbox"]}
