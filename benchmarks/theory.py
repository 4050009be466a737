"""Every number of docs/theory.md: bounds by their formulas, small sizes by enumeration.

The page shows the tables word for word. The checks at the end list all cases of what the
propositions say at small sizes; the script fails if one is off.

    python benchmarks/theory.py [--quick]     (quick: fewer targets and shorter training)
"""

import argparse
import math
from collections import defaultdict
from functools import cache

import numpy as np
import theory_features as fixed
import theory_training as training

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.experiments.load import list_experiments, load
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import shape
from neuromas_env.tasks import make_task
from neuromas_env.tasks.trees import KINDS

DELTA = 0.05
CLOSE = 1e-9
"""How far a check may be off."""


# Labels: questions until a consistent tree of two-bit functions is nearly right.


@cache
def members(n):
    """Truth tables of all trees over n leaves, each once: packed bits `[2**n / 8, functions]`."""
    if n == 1:
        return np.packbits([[0, 1], [1, 0], [0, 0], [1, 1]], axis=1).T
    size = 2 ** (n // 2)
    half = np.unpackbits(members(n // 2).T, axis=1, count=size)
    low = np.packbits(np.tile(half, size), axis=1)
    high = np.packbits(half.repeat(size, axis=1), axis=1)
    one, other = low[:, None], high[None]
    # Each half comes with its complements, so no other gate that reads both makes more.
    both = [f.reshape(-1, low.shape[1]) for f in (one & other, ~(one & other), one ^ other)]
    every = np.concatenate([low, high, *both]) & np.packbits(np.ones(2**n, np.uint8))
    every = np.unique(every.view(f"V{every.shape[1]}")).view(np.uint8)
    return np.ascontiguousarray(every.reshape(-1, low.shape[1]).T)


def evaluate(gates, n):
    """Truth table of the tree with these gates, numbers 0 to 15, level by level from below."""
    values, gates = fixed.questions(n).T, iter(gates)
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = np.stack([next(gates) >> (2 * b + a) & 1 for a, b in pairs])
    return values[0].astype(bool)


def reads_both(gate):
    bits = [gate >> i & 1 for i in range(4)]
    return bits[:2] != bits[2:] and bits[::2] != bits[1::2]


GATES = [gate for gate in range(16) if reads_both(gate)]


def shared(n):
    """Truth tables of the trees with one gate at all nodes, packed as those of `members`."""
    every = np.packbits([evaluate([gate] * n, n) for gate in range(16)], axis=1)
    return np.unique(every, axis=0).T


def consistent_complexity(target, functions, rng):
    """Questions until a random function that agrees with all of them errs on at most a tenth."""
    alive = np.arange(functions.shape[1])
    for count, question in enumerate(rng.integers(len(target), size=64 * len(target)), 1):
        bits = functions[question >> 3][alive] >> (7 - question % 8) & 1
        alive = alive[bits == target[question]]
        chosen = functions[:, rng.choice(alive)]
        if (np.unpackbits(chosen, count=len(target)) != target).mean() <= fixed.ERROR:
            return count
    raise RuntimeError("no agreeing tree came close")


def table_complexity(size, rng):
    """Questions until a table of seen answers, which guesses on the rest, errs on a tenth."""
    seen, count = np.zeros(size, dtype=bool), 0
    while (~seen).mean() / 2 > fixed.ERROR:
        seen[rng.integers(size)] = True
        count += 1
    return count


def labels_upper(maps):
    """Labels that suffice for so many maps of two bits, with probability 1 - DELTA."""
    return math.ceil((4 * maps * math.log(2) + math.log(1 / DELTA)) / fixed.ERROR)


def labels_lower(n):
    """Labels without which no learner has a mean error of a tenth over all parities."""
    return math.ceil(n - math.log2(1 / (1 - 2 * fixed.ERROR)))


def sample_complexities(sizes=(2, 4, 8), repeats=200):
    """Rows: leaves, trees, and labels for targets with a gate of each node's own, or with one."""
    for n in sizes:
        rng, every = np.random.default_rng([0, n]), members(n)
        own = [rng.choice(GATES, n - 1) for _ in range(repeats)]
        one = [[rng.choice(GATES)] * (n - 1) for _ in range(repeats)]
        mean = [
            np.mean(
                [consistent_complexity(evaluate(gates, n), functions, rng) for gates in targets]
            )
            for targets, functions in ((own, every), (one, every), (one, shared(n)))
        ]
        table = np.mean([table_complexity(2**n, rng) for _ in range(repeats)])
        yield (
            f"{n}", f"{every.shape[1]:,}", f"{labels_lower(n)}", f"{mean[0]:.1f}",
            f"{labels_upper(n - 1)}", f"{table:.1f}", f"{mean[1]:.1f}", f"{mean[2]:.1f}",
        )  # fmt: skip


# Experiments: how many questions there are, and how many features one node has.

WIDTHS = {"chars": (96, 192, 96, 3), "smollm2-135m": (576, 1536, 192, 30)}
"""Of a model: hidden and intermediate width, width of keys and values, layers."""


def adapter_size(model, rank, targets):
    """Parameters of a LoRA adapter: its rank times inputs plus outputs of its layers."""
    hidden, inner, keys, layers = WIDTHS[model]
    ends = {
        "q_proj": hidden + hidden, "k_proj": hidden + keys, "v_proj": hidden + keys,
        "o_proj": hidden + hidden, "gate_proj": hidden + inner, "up_proj": hidden + inner,
        "down_proj": inner + hidden,
    }  # fmt: skip
    names = ends if targets == "all-linear" else targets.split(",")
    return layers * rank * sum(ends[name] for name in names)


def power_of_two(size):
    """The largest power of two that is not above a size."""
    return 2 ** (size.bit_length() - 1)


def single(study, arm, task):
    """What a row of `experiments` starts with, for an arm that is one node.

    Model, task, leaves, questions, those with a power of two of symbols, and features.
    """
    name = task.partition(":")[0]
    if study.kind == "discrete":
        options = DiscreteOptions.from_mapping(arm.options)
        layout = options.layouts(task)[-1][0]
        symbols = layout.task.parts + layout.task.query
        rows = min(options.rows(task) or math.inf, sum(layout.sizes))
        few = math.prod(map(power_of_two, symbols))
        return study.kind, name, len(layout.task.parts), layout.task.questions(), few, rows
    options, made = TrainConfig.from_mapping(arm.options), make_task(task)
    symbols = KINDS[made.variant].leaf_choices or made.modulus
    distinct = symbols == 90  # two-digit numbers are drawn without a repeat
    every, few = (
        math.perm(count, made.leaves) if distinct else count**made.leaves
        for count in (symbols, power_of_two(symbols))
    )
    features = adapter_size(study.name, options.rank, options.targets)
    return study.name, name, made.leaves, every, few, features


@cache
def singles():
    """What `single` says of all arms that are one node, with the experiments that have them."""
    found = defaultdict(set)
    for name, (_, scales) in list_experiments().items():
        for scale in set(scales) - {"paper"}:  # its tasks are no trees
            for study in load(name, scale).studies:
                for arm in [] if study.table else study.trained():  # a table claims nothing
                    if arm.kind == "train" and len(shape(study, arm)) == 1:
                        for task in arm.tasks:
                            # Of other tasks the number of questions is not what symbols make.
                            if study.kind == "discrete" or task.startswith("hierarchy/"):
                                found[single(study, arm, task)].add(name)
    return found


def experiments():
    """Rows: model and task of arms that are one node, and what the bounds say of them."""
    for model, task, leaves, every, few, features in sorted(singles()):
        error = max(0, 1000 * (every - features) // every) / 1000
        holds = {"squared": features < every, "0/1": features < fixed.sign_lower(few)}
        yield (
            model, f"`{task}`", f"{leaves}", fixed.number(every), fixed.number(features),
            f"{error:.3f}", fixed.number(fixed.sign_lower(few)),
            ", ".join(loss for loss in holds if holds[loss]) or "none",
        )  # fmt: skip


def exponent(smoothness, arguments):
    """Of the number of questions, in the minimax squared error of smooth regression."""
    return 2 * smoothness / (2 * smoothness + arguments)


def rates(sizes=(4, 8, 12), smoothness=2):
    """Rows: leaves, exponents of a smooth map of all of them and of smooth maps of two."""
    for n in sizes:
        yield f"{n}", f"{exponent(smoothness, n):.2f}", f"{exponent(smoothness, 2):.2f}"


def facts():
    """What the text of the page says beside the tables."""
    size = adapter_size("smollm2-135m", 16, "q_proj,v_proj")
    yield "parameters of an adapter of rank 16 on q and v of SmolLM2-135M", f"{size:,}"
    yield "questions of 12 leaves with 2 symbols", f"{2**12:,}"
    yield "questions of 4 leaves with 90 symbols", f"{90**4:,}"
    names = sorted(set.union(*singles().values()))
    yield "experiments with an arm of one node", ", ".join(f"`{name}`" for name in names)
    yield "parities of 8 leaves", f"{2**8}"
    features, weights = fixed.sign_features(8)
    wrong = (np.sign(features @ weights) != fixed.characters(2, 8)).sum()
    yield "features that give all of them their signs", f"{features.shape[1]}, {wrong} signs wrong"
    yield f"features for a mean squared error of {fixed.ERROR}", f"{fixed.squared(2**8)}"
    width = fixed.squared(2**8)
    while fixed.relu_error(8, width) > fixed.ERROR:
        width += 1
    yield f"random ReLU features for a mean squared error of {fixed.ERROR}", f"{width}"
    yield f"labels that suffice for one map, with probability {1 - DELTA}", f"{labels_upper(1)}"
    alone = training.largest(max, 4, 1.0, 0.0)
    yield "largest entry for max, the output right and the sibling guessing", f"{alone:.3f}"
    yield "steps after which a start counts as not trained", f"{training.STEPS:,}"


def checks():
    """What propositions say at sizes at which all cases can be listed, and how far it is off."""
    rng = np.random.default_rng(0)
    for q, n in ((2, 8), (3, 4), (4, 3)):
        features = rng.standard_normal((q**n, q**n // 3)) * np.exp(1j * rng.random((q**n, 1)))
        error, rank = fixed.mean_error(features, fixed.characters(q, n), np.full(q**n, 1 / q**n))
        yield f"mean error, all {q**n} characters of Z_{q}^{n}", abs(error - (1 - rank / q**n))
    gains = {node: g for node, g in zip(training.NODES, rng.random(7), strict=True)}
    off = []
    for node in training.NODES:
        rest = math.prod(gains[other] for other in gains if other != node)
        alone = training.signal(training.xor, 2, 4, lambda _: 1.0, node)
        found = training.signal(training.xor, 2, 4, gains.__getitem__, node)
        off.append(np.abs(found - rest * alone).max())
    yield "XOR of 4 leaves: gradient at each node, a product over the others", max(off)
    tree = training.majority(fixed.questions(9).reshape(-1, 3, 3) * 2 - 1)
    sizes = (fixed.characters(2, 9).T @ training.majority(tree) / 2**9) ** 2
    counted = [4.0**-i for i, count in training.spectrum(2).items() for _ in range(count)]
    listed = np.sort(np.pad(counted, (0, 2**9 - len(counted))))
    yield (
        "majority of 9 leaves: squares of Fourier coefficients",
        np.abs(np.sort(sizes) - listed).max(),
    )


TABLES = {
    "labels": (
        ("leaves", "different trees", "any learner, at least", "own maps", "at most", "table",
         "own maps, true maps equal", "one map"), sample_complexities),
    "losses": (
        ("leaves", "squared error 0.1, at least", "no 0/1 error, at least", "at most",
         "0/1 error 0.1, at least", "at most"), fixed.losses),
    "experiments": (
        ("model", "task", "leaves", "questions K", "features D of one node",
         "squared error, at least", "no 0/1 error, D at least", "inside"), experiments),
    "rates": (("leaves", "one smooth map of all", "smooth maps of two"), rates),
    "signals": (("others are right", "XOR of two bits", "maximum of two of four values"),
                training.signals),
    "majorities": (
        ("leaves", "bits of the tree", "squared error 0.1, features", "0/1 error of a vote",
         "steps", "steps, at most"), training.majorities),
    "starts": (("start", "leaves", "majorities", "parities"), training.starts),
}  # fmt: skip
"""By name the head of a table of the page, and what makes its rows."""


def markdown(name, rows=None):
    """A table as the page shows it."""
    head, make = TABLES[name]
    lines = [head, ("---",) * len(head), *(make() if rows is None else rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    short = {
        "labels": lambda: sample_complexities(repeats=20),
        "starts": lambda: training.starts(steps=100),
    }
    for name in TABLES:
        print(f"\n{name}\n\n{markdown(name, short[name]() if quick and name in short else None)}")
    print("\nin the text\n")
    for what, found in facts():
        print(f"{what}: {found}")
    print(f"\nchecks, off by at most {CLOSE:g}\n")
    off = {what: float(distance) for what, distance in checks()}
    for what, distance in off.items():
        print(f"{what}: {distance:.0e}")
    return max(off.values()) > CLOSE


if __name__ == "__main__":
    raise SystemExit(main())
