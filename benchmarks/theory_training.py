"""Exact gradients of the terminal reward in trees of tabular nodes, for benchmarks/theory.py."""

import math
from fractions import Fraction
from itertools import product

import numpy as np

ERROR = 0.1
"""Share of wrong answers with which a tree counts as trained."""
ADVANTAGE = 0.5
"""Over guessing, with which inner nodes of the majority tree start."""
RATE = 100.0
"""Step along the gradient; it is small, since every row of a table is rarely read."""

STEPS = 500
"""After so many, a tree that is not trained counts as not trained."""
NODES = [(level, place) for level in range(3) for place in range(4 >> level)]
"""Of a binary tree over four leaves: level and place, counted from the input nodes."""


def signal(gate, q, n, advantage, node):
    """Gradient `[seen, messages]` of the mean reward in a node's message probabilities.

    A binary tree of input nodes that read a leaf each and inner nodes that read two. The
    node sends all symbols alike; every other one the right symbol with its advantage, else any.

    Args:
        gate: Of two symbols, at every inner node.
        q: Symbols.
        n: Leaves, a power of two.
        advantage: By (level, place), counted from the input nodes.
        node: Level and place of the node. The mean over its messages is taken away.
    """
    table = np.array([[gate(a, b) for b in range(q)] for a in range(q)])
    onto = np.eye(q)[table]
    total = np.zeros((q if node[0] == 0 else q * q, q))
    for x in product(range(q), repeat=n):
        truth, below = np.array(x), None
        for level in range(n.bit_length()):
            if level == 0:
                read = right = np.eye(q)[truth]
            else:
                truth = table[truth[::2], truth[1::2]]
                pairs = below[..., ::2, :, None] * below[..., 1::2, None, :]
                right = np.einsum("...ab,abc->...c", pairs, onto)
                read = pairs.reshape(*pairs.shape[:-2], q * q)
            gain = np.array([[advantage((level, place))] for place in range(len(truth))])
            below = gain * right + (1 - gain) / q
            if node[0] == level:
                seen = read[node[1]]
                below = np.repeat(below[None], q, axis=0)
                below[:, node[1]] = np.eye(q)  # one row for each message that it may send
        total += np.outer(seen, below[:, 0, truth[0]]) / q**n
    return total - total.mean(1, keepdims=True)


def largest(gate, q, output, sibling):
    """Largest entry of the gradient at an input node of `2-1`, by the advantages of the others."""
    gains = {(1, 0): output, (0, 1): sibling, (0, 0): 0.0}
    return np.abs(signal(gate, q, 2, gains.__getitem__, (0, 0))).max()


def xor(a, b):
    return a ^ b


def signals(probabilities=(0.6, 0.8, 1.0)):
    """Rows: how often each of the others is right, and `largest` for two gates."""
    for p in (None, *probabilities):
        gains = {q: 0.0 if p is None else (p - 1 / q) / (1 - 1 / q) for q in (2, 4)}
        yield (
            "as often as a guess" if p is None else f"{p}",
            f"{largest(xor, 2, gains[2], gains[2]):.3f}",
            f"{largest(max, 4, gains[4], gains[4]):.3f}",
        )


# Majorities of three of majorities.


def spectrum(k):
    """How many Fourier coefficients of size 2^-i a majority tree of depth k has, by i."""
    counts = np.array([1], object)
    for _ in range(k):
        grown = _times(counts, counts, counts)
        grown[: len(counts)] += 3 * counts
        counts = np.concatenate([[0], grown])
    return {i: int(count) for i, count in enumerate(counts) if count}


def majority_features(k):
    """Fewest features with a mean squared error of a tenth over all signs of the leaves."""
    left, needed = Fraction(str(ERROR)), sum(spectrum(k).values())
    for i, count in sorted(spectrum(k).items(), reverse=True):
        spared = min(count, math.floor(left * 4**i))
        needed, left = needed - spared, left - Fraction(spared, 4**i)
    return needed


def vote_error(k):
    """Share of questions on which a vote of all leaves misses the majority tree."""
    false, true = np.array([1, 0], object), np.array([0, 1], object)  # rows by number of ones
    for _ in range(k):
        false, true = (
            _times(a, a, a) + 3 * _times(a, a, b) for a, b in ((false, true), (true, false))
        )
    wrong = sum(false[len(false) // 2 :]) + sum(true[: len(true) // 2])
    return float(wrong) / 2.0**3**k


def _times(*factors):
    found = factors[0]
    for factor in factors[1:]:
        found = np.convolve(found, factor)
    return found


TRIPLES = np.array(list(product((-1, 1), repeat=3)))
_STATES = np.array(list(product(range(4), repeat=3)))  # of three children: 2 * truth + message
_TRUE, _READ = (bits @ (4, 2, 1) for bits in (_STATES // 2, _STATES % 2))


def majority(signs):
    return np.sign(signs.sum(-1))


def parity(signs):
    return signs.prod(-1)


def gradient(gate, tables):
    """Mean reward of each tree of a forest, and its gradient in the tables, both exact.

    A node and what it should have sent are a pair of signs, and subtrees are independent, so
    four probabilities say all of a node. Leaves are fair coins; unknown signs of theirs only
    rename what input nodes read.

    Args:
        gate: Of three signs, what every node should compute.
        tables: For each level from below `[nodes, 8]`, -1 to 1: the mean message for each
            `TRIPLES` that is read. The last level has a node for each tree.
    """
    into = np.eye(16)[4 * (gate(TRIPLES)[_TRUE] + 1) + _READ]  # truth and what is read
    below, kept = np.tile([0.5, 0, 0, 0.5], (3 * len(tables[0]), 1)), []
    for table in tables:
        children = below.reshape(-1, 3, 4)
        each = np.stack([children[:, i, _STATES[:, i]] for i in range(3)])
        joint = (each.prod(0) @ into).reshape(-1, 2, 8)
        kept.append((each, joint))
        sent = np.stack([1 - table, 1 + table], 2) / 2
        below = (joint @ sent).reshape(-1, 4)
    back = np.tile([1.0, -1.0, -1.0, 1.0], (len(below), 1))  # of truth times answer
    reward, slopes = (1 + (back * below).sum(1)) / 2, []
    for table, (each, joint) in zip(reversed(tables), reversed(kept), strict=True):
        back = back.reshape(-1, 2, 2) / 2
        gain = (back[..., 1] - back[..., 0])[..., None]
        slopes.append((joint * gain).sum(1) / 2)
        down = (back.sum(2)[..., None] + gain * table[:, None]).reshape(-1, 16) @ into.T
        others = [down * each[i - 1] * each[i - 2] for i in range(3)]
        back = np.stack([o @ np.eye(4)[_STATES[:, i]] for i, o in enumerate(others)], 1)
        back = back.reshape(-1, 4)
    return reward, slopes[::-1]


def start(gate, k, advantage, noise=0.0, trees=1):
    """Logits by level: input nodes guess, the others lean to the gate, and noise on all."""
    rng = np.random.default_rng([0, k])
    lean = 2 * np.arctanh(advantage) * gate(TRIPLES)
    return [
        (level > 0) * lean + noise * rng.standard_normal((trees * 3 ** (k - 1 - level), 8))
        for level in range(k)
    ]


def ascend(gate, logits, steps, rate=RATE):
    """Steps of exact gradient ascent until each tree first errs that rarely, -1 for never."""
    taken = np.full(len(logits[-1]), -1)
    for step in range(steps + 1):
        tables = [np.tanh(level / 2) for level in logits]
        reward, slopes = gradient(gate, tables)
        taken[(taken < 0) & (reward >= 1 - ERROR)] = step
        if (taken >= 0).all():
            break
        # Both logits of a row move, so that their difference does by twice its slope.
        logits = [
            level + rate * slope * (1 - table**2)
            for level, slope, table in zip(logits, slopes, tables, strict=True)
        ]
    return taken


def steps_bound(k):
    """Steps that suffice by the proposition."""
    return k + math.ceil(256 * (6 / ADVANTAGE) ** (k - 1) / (ERROR * RATE))


def majorities(depths=(1, 2, 3, 4)):
    """Rows: leaves, bits of the tables, features, errors of a vote, steps and their bound."""
    for k in depths:
        taken = ascend(majority, start(majority, k, ADVANTAGE), steps_bound(k))
        yield (
            f"{3**k}", f"{4 * (3**k - 1)}", f"{majority_features(k):,}", f"{vote_error(k):.3f}",
            f"{taken[0]}", f"{steps_bound(k):,}",
        )  # fmt: skip


STARTS = {
    "inner nodes lean to the gate": (ADVANTAGE, 0.0, 1),
    "uniform, noise 0.1": (0.0, 0.1, 10),
    "uniform, noise 1": (0.0, 1.0, 10),
}
"""Advantage of inner nodes, standard deviation of the logits' noise, and how many draws."""


def starts(depths=(2, 3), steps=STEPS):
    """Rows: start, leaves, how many draws of it are trained, for two gates."""
    for name, (advantage, noise, trees) in STARTS.items():
        for k in depths:
            reached = [
                (ascend(gate, start(gate, k, advantage, noise, trees), steps) >= 0).sum()
                for gate in (majority, parity)
            ]
            yield (name, f"{3**k}", *(f"{count} of {trees}" for count in reached))
