"""MacNet: agents at the nodes and on the edges of a graph pass a growing answer along.

Source: Qian et al., 2024, "Scaling Large-Language-Model-based Multi-Agent Collaboration"
(arXiv 2406.07155); MASLab's port has the same shapes. A node without sources solves the
question. Along every edge a critic reviews the answer before it and an actor improves that
answer by the review; a node with several sources merges what its actors wrote. Shapes are
`chain`, `star`, `tree`, `net` (complete), `mlp` (log2 of the nodes as layers) and `random`
(`graph_seed` draws it); `reverse` turns all edges round. Temperature falls from the input
side to 0 after the last node: 1 - depth / (largest depth), both counted with a virtual node
before and behind, as in the sources.

We differ: agents are told role cards of ours for the sources' profiles (`profiles=false`:
none); several last nodes are merged by one call where the source lets critics and actors
work on the way to a virtual node, too; and a critic reads the answer of the node before.
Calls: sources + 2 edges + merges, 9 for a chain of 5.
"""

from __future__ import annotations

import random
from itertools import pairwise
from math import log2

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.cards import CARDS, card
from neuromas_env.baselines.net import Net, Setup, texts
from neuromas_env.baselines.prompts import numbered, reasoned
from neuromas_env.dag import longest_paths
from neuromas_env.method import Method
from neuromas_env.policy import Observation

SHAPES = ("chain", "star", "tree", "net", "mlp", "random")
Edges = list[tuple[int, int]]


def macnet(
    setup: Setup,
    shape: str = "chain",
    nodes: int = 5,
    reverse: bool = False,
    profiles: bool = True,
    graph_seed: int = 0,
) -> Method:
    """Build the calls at the nodes and on the edges of a shape."""
    setup.check(2, 40, nodes=nodes)
    setup.choose(SHAPES, shape=shape)
    edges = shape_edges(shape, nodes, graph_seed)
    edges = [(b, a) for a, b in edges] if reverse else edges
    depth = longest_paths(range(nodes), edges)
    deepest = max(depth.values()) + 2
    alike = shape != "chain" and not (profiles and nodes <= len(CARDS))
    net, answer = Net(), dict[int, str]()

    def ask(label: str, node: int, instruction: str, reads: list[str]) -> str:
        who = f"{card(node)} " if profiles and node >= 0 else ""
        temperature = 1 - (depth[node] + 1) / deepest if node >= 0 else 0.0
        words = _about(f"{who}{instruction}", reads)
        return net.add(label, setup.ask(words, temperature, alike=alike and node >= 0), reads)

    final = reasoned(setup.task)
    merge = f"Merge the given answers into one; keep what is right, drop what is wrong. {final}"
    for v in sorted(range(nodes), key=lambda node: (depth[node], node)):
        drafts = []
        for u in sorted(a for a, b in edges if b == v):
            review = "Review the given answer. Say what to improve, without a new answer."
            critic = ask(f"critic {u}-{v}", v, review, [answer[u]])
            improve = f"Improve the given answer by the review of it. {final}"
            drafts.append(ask(f"actor {u}-{v}", v, improve, [answer[u], critic]))
        if len(drafts) == 1:
            answer[v] = drafts[0]
        else:
            answer[v] = ask(f"node {v}", v, merge if drafts else final, drafts)
    last = [answer[v] for v in range(nodes) if all(a != v for a, _ in edges)]
    if len(last) > 1:
        ask("merge", -1, merge, last)
    return net.method()


def shape_edges(shape: str, n: int, seed: int = 0) -> Edges:
    """Return the edges of a shape over `n` nodes, from lower to higher numbers."""
    everything = [(u, v) for v in range(n) for u in range(v)]
    if shape == "chain":
        return list(pairwise(range(n)))
    if shape == "star":
        return [(0, v) for v in range(1, n)]
    if shape == "tree":
        return [((v - 1) // 2, v) for v in range(1, n)]
    if shape == "mlp":
        layers = int(log2(n))
        first = n // layers + n % layers
        ends = [0, *range(first, n + 1, n // layers)]
        blocks = [range(a, b) for a, b in pairwise(ends)]
        return [(u, v) for left, right in pairwise(blocks) for u in left for v in right]
    if shape == "random":
        rng = random.Random(seed)
        return sorted(rng.sample(everything, rng.randint(n - 1, len(everything))))
    return everything


def _about(instruction: str, reads: list[str]) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        given = texts(observation, reads)
        parts = [observation["question"], *([numbered(given)] if given else [])]
        return ("system", instruction), ("user", "\n\n".join(parts))

    return prompt
