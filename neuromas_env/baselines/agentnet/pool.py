"""What AgentNet's agents have learned, how they look it up, and the rule that changes it.

The state is plain JSON: the `embedding` with its `words`, the `weights` of the edges
`[agents, agents]` (0: no edge), and for each of the `agents` its `ability` (a vector in the
space of what questions need), the questions it has `tried` and `solved`, and two memories, `router`
and `executor`, each a list of entries with `question`, `progress` and `action` that begins
with the least recently used one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from typing import Any, TypedDict

import numpy as np

from neuromas_env.checks import Natural, NonNegative
from neuromas_env.errors import InputError
from neuromas_env.extras import need

State = dict[str, Any]
Entry = dict[str, str]


class Agent(TypedDict):
    """What one agent has learned."""

    ability: list[float]
    tried: Natural
    solved: Natural
    router: list[Entry]
    executor: list[Entry]


class Held(TypedDict):
    """The state, as it is checked when it is read."""

    embedding: str
    words: dict[str, NonNegative]
    weights: list[list[NonNegative]]
    agents: list[Agent]


Embed = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors `[texts, dimensions]` of length 1, or 0 for a text without a known word."""

TFIDF = "tfidf"
START = 0.6
DIMENSIONS = 512
_TOKENS = r"\w+|[^\w\s]"


def fresh(agents: int, embedding: str, questions: Sequence[str]) -> State:
    """Return the state of a complete graph of agents that have learned nothing.

    Args:
        agents: How many there are; the ability of each is 0.6 for every question, the authors'
            start, so that one that fails more often falls behind those that have not tried.
        embedding: See `load_embedding`.
        questions: What TF-IDF is fitted to.
    """
    words = inverse_frequencies(questions) if embedding == TFIDF else {}
    size = load_embedding(embedding, words)(questions[:1]).shape[1]
    ability = [*[0.0] * size, START * math.sqrt(2)]
    return {
        "embedding": embedding,
        "words": words,
        "weights": [[float(i != j) for j in range(agents)] for i in range(agents)],
        "agents": [
            {"ability": [*ability], "tried": 0, "solved": 0, "router": [], "executor": []}
            for _ in range(agents)
        ],
    }


def inverse_frequencies(texts: Sequence[str]) -> dict[str, float]:
    """Return the most frequent words of some texts with their inverse document frequencies."""
    vectorizer = _vectorizer(max_features=DIMENSIONS).fit(texts)
    words = vectorizer.get_feature_names_out().tolist()
    return dict(zip(words, vectorizer.idf_.tolist(), strict=True))


def load_embedding(name: str, words: Mapping[str, float]) -> Embed:
    """Load an embedding.

    Args:
        name: `tfidf`, or a model of sentence-transformers by name or folder.
        words: Inverse document frequencies for `tfidf`.

    Raises:
        InputError: The package or the model is missing.
    """
    if name == TFIDF:
        vectorizer = _vectorizer(vocabulary=list(words))
        vectorizer.idf_ = np.array(list(words.values()))
        return lambda texts: vectorizer.transform(texts).toarray()
    try:
        make = import_module("sentence_transformers").SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"embedding {name!r} needs the package sentence-transformers: pip install "
            f"sentence-transformers, or take embedding={TFIDF}"
        ) from error
    try:
        model = make(name, device="cpu")
    except Exception as error:
        raise InputError(
            f"embedding {name!r} is no model of sentence-transformers that can be loaded here: "
            f"{error}; embedding={TFIDF} needs none"
        ) from error
    return lambda texts: np.asarray(
        model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), dtype=float
    )


@dataclass
class Pool:
    """Agents that read what they have learned, and never change it.

    Attributes:
        state: What they have learned; may be replaced by a later state of the same pool.
        retrieve: How many entries are recalled at most.
        threshold: The cosine from which on an entry is recalled.
    """

    state: State
    retrieve: int
    threshold: float
    _vectors: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def neighbours(self, agent: int) -> list[int]:
        """Return the agents that an agent has an edge to."""
        return [j for j, weight in enumerate(self.state["weights"][agent]) if weight > 0]

    def ability(self, agent: int, question: str) -> float:
        """Return an agent's ability for a question: the inner product of the two vectors."""
        return float(np.dot(self.state["agents"][agent]["ability"], self.need(question)))

    def need(self, question: str) -> np.ndarray:
        """Return what a question needs, `[dimensions + 1]`: its embedding and a constant.

        The constant stands for ability at large; the vector has length 1.
        """
        return np.append(self.vector(question), 1.0) / math.sqrt(2)

    def success(self, agent: int) -> float | None:
        """Return the share of the questions solved that an agent worked on, None without any."""
        held = self.state["agents"][agent]
        return held["solved"] / held["tried"] if held["tried"] else None

    def entry(self, question: str) -> str:
        """Return who starts, and all agents as fit to step in, the best first; as JSON.

        The ablest starts; among equals a hash of the question decides, so that questions
        spread. The order is that of the authors' score for an unusable choice of the next
        agent, 0.4 ability + 0.2 success rate (its other terms are the same for all here).
        """
        agents = range(len(self.state["agents"]))
        abilities = [self.ability(i, question) for i in agents]
        best = [i for i in agents if abilities[i] == max(abilities)]
        digest = sha256(question.encode("utf-8", "replace")).hexdigest()
        scores = [0.4 * abilities[i] + 0.2 * (self.success(i) or 0.0) for i in agents]
        order = sorted(agents, key=lambda i: -scores[i])
        return json.dumps({"first": best[int(digest[:8], 16) % len(best)], "order": order})

    def recall(self, agent: int, memory: str, question: str, progress: str) -> list[Entry]:
        """Return the entries of a memory that are most like a question, the nearest first."""
        entries = self.state["agents"][agent][memory][::-1]
        if not entries:
            return []
        vectors = np.stack([self.vector(_text(e["question"], e["progress"])) for e in entries])
        cosines = vectors @ self.vector(_text(question, progress))
        nearest = np.argsort(-cosines, kind="stable")[: self.retrieve]
        return [entries[i] for i in nearest if cosines[i] >= self.threshold]

    def vector(self, text: str) -> np.ndarray:
        """Return the embedding of a text, `[dimensions]`."""
        if text not in self._vectors:
            self._vectors[text] = self._embed([text])[0]
        return self._vectors[text]

    @cached_property
    def _embed(self) -> Embed:
        return load_embedding(self.state["embedding"], self.state["words"])


@dataclass(frozen=True)
class Lesson:
    """What an episode teaches.

    Attributes:
        need: Of its question, `[dimensions + 1]`; see `Pool.need`.
        reward: How well it ended, 0 to 1.
        edges: Along which the question went from one agent to another.
        solvers: Who worked on it.
        acts: Agent, memory and entry of every decision and every result.
        used: Agent, memory and entry of what was recalled on the way.
    """

    need: np.ndarray
    reward: float
    edges: frozenset[tuple[int, int]]
    solvers: frozenset[int]
    acts: Sequence[tuple[int, str, Entry]] = ()
    used: Sequence[tuple[int, str, Entry]] = ()


@dataclass(frozen=True)
class Rule:
    """The paper's rule (arXiv 2504.00587, section 3), with S the reward of the episode.

    w(i, j) becomes alpha w(i, j) + (1 - alpha) S for every edge on the way, and an edge stays
    while w > theta. The ability c of whoever worked becomes beta c + (1 - beta) d, where d is c
    corrected to have ability S for this question: d = c + (S - c n) n with the question's need
    n. What was recalled counts as used; an episode that was solved leaves its decisions and
    results in the memories, and the executor's forgets the least recently used entry beyond
    `memory`.
    """

    alpha: float
    beta: float
    theta: float
    memory: int

    def update(self, state: State, lesson: Lesson) -> State:
        """Return the state after an episode; the one given stays as it is."""
        state, reward = deepcopy(state), lesson.reward
        for i, j in lesson.edges:
            weight = self.alpha * state["weights"][i][j] + (1 - self.alpha) * reward
            state["weights"][i][j] = weight if weight > self.theta else 0.0
        for i in lesson.solvers:
            agent = state["agents"][i]
            old = np.array(agent["ability"])
            exact = old + (reward - old @ lesson.need) * lesson.need
            agent["ability"] = (self.beta * old + (1 - self.beta) * exact).tolist()
            agent["tried"] += 1
            agent["solved"] += int(reward >= 1)
        for i, memory, entry in lesson.used:
            _put_last(state["agents"][i][memory], entry, only_if_there=True)
        for i, memory, entry in lesson.acts if reward >= 1 else ():
            _put_last(state["agents"][i][memory], entry)
        for agent in state["agents"]:
            del agent["executor"][: -self.memory]
        return state


def _put_last(entries: list[Entry], entry: Entry, only_if_there: bool = False) -> None:
    if entry in entries:
        entries.remove(entry)
    elif only_if_there:
        return
    entries.append(entry)


def _text(question: str, progress: str) -> str:
    return f"{question}\n{progress}"


def _vectorizer(**options: Any) -> Any:
    need("agentnet", "sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(token_pattern=_TOKENS, **options)
