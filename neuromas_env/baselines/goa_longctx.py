"""Graph of Agents for documents longer than a context window.

Source: Joo et al., 2025 (arXiv 2509.21848; another paper of that name is `goa`). Input
longer than a window is compressed by agents whose graph is made for each input: the
document is cut into chunks, similar chunks form groups, a chain of workers passes a
growing summary through a group, always to the chunk most relevant to the question and the
summary so far, and a manager answers from the groups' summaries. One call a chunk, and one.

The question proper is the last paragraph of the text, the document what stands before it. A
text that fits into one chunk has no workers: **then this is direct prompting**, and a row
for short questions says nothing about the method.

We have not seen the authors' code, so this follows the paper's outline, with choices of
ours: chunks of `chunk` characters cut at spaces, TF-IDF cosines (scikit-learn) for
relevance and, by average linkage, for groups, greedy decoding. A text of more than
`max_chunks` chunks is cut into that many larger ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from textwrap import wrap
from typing import Any

import numpy as np

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Setup, texts
from neuromas_env.baselines.prompts import numbered, solve
from neuromas_env.extras import need
from neuromas_env.method import Method
from neuromas_env.policy import Observation


def goa_longctx(setup: Setup, chunk: int = 8000, groups: int = 4, max_chunks: int = 32) -> Method:
    """Build `max_chunks` workers and a manager; the graph of a question picks among them."""
    setup.check(20, 1_000_000, chunk=chunk)
    setup.check(1, 64, groups=groups)
    setup.check(2, 500, max_chunks=max_chunks)
    net = Net()
    workers = [f"node_{i}" for i in range(max_chunks)]

    def plan(question: str) -> Plan:
        return make_plan(question, chunk, groups, max_chunks)

    for i in range(max_chunks):
        net.add(f"worker {i}", setup.ask(_work(i, plan), 0.0, control=True))

    def answer(observation: Observation) -> Turns:
        found = plan(observation["question"])
        alone = solve(setup.task, "direct")
        if not found.chains:
            return alone(observation)
        summaries = texts(observation, [workers[chain[-1]] for chain in found.chains])
        return alone({"question": f"{numbered(summaries)}\n\n{found.query}"})

    net.add("manager", setup.ask(answer, 0.0, short=True), workers)

    def wire(question: str) -> dict[str, Any]:
        edges = []
        for chain in plan(question).chains:
            edges += [(a, b) for b in chain for a in chain if a < b]
            edges.append((chain[-1], max_chunks))
        return {"graph": edges}

    return net.method(options=wire)


@dataclass(frozen=True)
class Plan:
    """What is made of a question.

    Attributes:
        query: The question proper.
        chunks: The document in pieces.
        chains: Worker numbers of each group, one worker for each of its chunks.
        members: Chunk numbers of each group.
        vectors: TF-IDF of the chunks `[chunks, words]`, rows of length 1.
        vectorizer: Makes such a row of any text.
    """

    query: str
    chunks: tuple[str, ...] = ()
    chains: tuple[tuple[int, ...], ...] = ()
    members: tuple[tuple[int, ...], ...] = ()
    vectors: Any = field(default=None, repr=False)
    vectorizer: Any = field(default=None, repr=False)

    def nearest(self, text: str, among: list[int]) -> int:
        """Return the chunk most relevant to a text, the first one of several."""
        relevance = (self.vectors[among] @ self.vectorizer.transform([text]).T).toarray()[:, 0]
        return among[int(np.argmax(relevance))]


@lru_cache(maxsize=256)
def make_plan(question: str, size: int, groups: int, most: int) -> Plan:
    """Cut, group and number; the same question always has the same plan."""
    if len(question) <= size or not question.strip():
        return Plan(question)
    document = query = question.strip()
    for separator in ("\n\n", "\n", ". "):
        if separator in query:
            document, _, query = query.rpartition(separator)
            break
    chunks = wrap(document, size, break_on_hyphens=False)
    while len(chunks) > most:
        size += math.ceil(size / 8)
        chunks = wrap(document, size, break_on_hyphens=False)
    need("goa_longctx", "sklearn")
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]")
    vectors = vectorizer.fit_transform(chunks)
    labels = np.zeros(len(chunks), dtype=int)
    if len(chunks) > 1 < groups:
        count = min(groups, len(chunks))
        distances = 1 - (vectors @ vectors.T).toarray()
        cluster = AgglomerativeClustering(count, metric="precomputed", linkage="average")
        labels = cluster.fit_predict(distances)
    # Groups in the order of their first chunks, whatever numbers the clustering gave.
    order = list(dict.fromkeys(labels.tolist()))
    members = tuple(tuple(np.flatnonzero(labels == label).tolist()) for label in order)
    starts = np.cumsum([0, *map(len, members)])
    chains = tuple(
        tuple(range(a, a + len(m))) for a, m in zip(starts.tolist(), members, strict=False)
    )
    return Plan(query, tuple(chunks), chains, members, vectors, vectorizer)


def _work(worker: int, plan: Any) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        found: Plan = plan(observation["question"])
        group = next(g for g, chain in enumerate(found.chains) if worker in chain)
        summaries = texts(observation, [f"node_{i}" for i in found.chains[group] if i < worker])
        # Which chunks were read follows from what was said, so it is worked out again.
        left, summary = list(found.members[group]), ""
        for said in [*summaries, ""]:
            here = found.nearest(f"{found.query}\n{summary}", left)
            left.remove(here)
            summary = said or summary
        system = (
            "Write a summary for someone who must answer the question and cannot see the "
            "document: keep all of the summary so far and of the passage that helps to answer it."
        )
        user = (
            f"Question:\n{found.query}\n\nSummary so far:\n{summary or '(none)'}\n\n"
            f"Passage:\n{found.chunks[here]}"
        )
        return ("system", system), ("user", user)

    return prompt
