"""The bounds of docs/theory.md, checked by counting on binary trees.

Targets are trees of random two-bit functions over n leaves. For the modular class every
member is enumerated, and questions are drawn until a random member that agrees with all
of them errs on at most a tenth of the others. For the monolithic class, the mean error
of the best linear readout of D random features over all parities is compared with
1 - D/2^n, and D is grown until it falls to a tenth.

    python benchmarks/theory.py [--quick]
"""

import argparse

import numpy as np

ERROR = 0.1


def questions(n):
    return np.arange(2**n)[:, None] >> np.arange(n) & 1


def members(n):
    """Truth tables `[functions, 2**n]` of all trees over n leaves, each once."""
    if n == 1:
        return np.array([[0, 1]], dtype=bool)
    half = members(n // 2)
    low, high = np.meshgrid(np.arange(2 ** (n // 2)), np.arange(2 ** (n // 2)))
    left, right = half[:, low.ravel()], half[:, high.ravel()]
    found = set()
    for a in left:
        for gate in range(16):
            gates = np.array([gate >> i & 1 for i in range(4)], dtype=bool)
            tables = gates[2 * a.astype(np.int8)[None] + right]
            found.update(map(bytes, np.packbits(tables, axis=1)))
    packed = np.array([list(table) for table in sorted(found)], dtype=np.uint8)
    return np.unpackbits(packed, axis=1, count=2**n).astype(bool)


def draw_target(n, rng):
    """Truth table of a tree whose gates are drawn evenly from the ten that read both inputs."""
    values = questions(n).T.astype(np.int8)
    gates = [g for g in range(16) if _reads_both(g)]
    while len(values) > 1:
        tables = np.array([[g >> i & 1 for i in range(4)] for g in gates], dtype=np.int8)
        chosen = tables[rng.integers(len(gates), size=len(values) // 2)]
        index = 2 * values[1::2] + values[::2]
        values = np.take_along_axis(chosen, index, axis=1)
    return values[0].astype(bool)


def _reads_both(gate):
    bits = [gate >> i & 1 for i in range(4)]
    return bits[:2] != bits[2:] and bits[::2] != bits[1::2]


def modular_need(n, functions, rng):
    """Questions until a random agreeing tree errs on at most a tenth."""
    target, order = draw_target(n, rng), rng.integers(2**n, size=64 * n)
    alive = np.arange(len(functions))
    for count, question in enumerate(order, 1):
        alive = alive[functions[alive, question] == target[question]]
        chosen = functions[rng.choice(alive)]
        if (chosen != target).mean() <= ERROR:
            return count
    raise RuntimeError("no agreeing tree came close")


def table_need(n, rng):
    """Questions until a table of seen answers, which guesses on the rest, errs on a tenth."""
    seen, count = np.zeros(2**n, dtype=bool), 0
    while (~seen).mean() / 2 > ERROR:
        seen[rng.integers(2**n)] = True
        count += 1
    return count


def parity_errors(n, width, rng):
    """Squared error of the best readout of random ReLU features, averaged over all parities."""
    x = questions(n)
    parities = 1 - 2 * (x @ x.T % 2)
    hidden = rng.standard_normal((n, width)) / np.sqrt(n)
    features = np.maximum((2 * x - 1) @ hidden + rng.standard_normal(width), 0)
    basis, scale, _ = np.linalg.svd(features, full_matrices=False)
    basis = basis[:, scale > 1e-9 * scale[0]]
    kept = (basis.T @ parities) ** 2
    return 1 - kept.sum() / parities.size, basis.shape[1]


def slope(sizes, values):
    return np.polyfit(sizes, np.log2(values), 1)[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rng, repeats = np.random.default_rng(0), 20 if quick else 200
    sizes = [2, 4] if quick else [2, 4, 8]
    need = {}
    for n in sizes:
        functions = members(n)
        modular = [modular_need(n, functions, rng) for _ in range(repeats)]
        table = [table_need(n, rng) for _ in range(repeats)]
        need[n] = np.mean(modular), np.mean(table)
        print(
            f"{n} leaves: {len(functions):,} different trees; questions to an error of "
            f"{ERROR:.0%}, mean of {repeats}: modular {need[n][0]:.1f}, table {need[n][1]:.1f}"
        )
    last = sizes[-1]
    print(
        f"from {sizes[0]} to {last} leaves: modular x{need[last][0] / need[2][0]:.1f}, "
        f"table x{need[last][1] / need[2][1]:.1f}"
    )
    widest, off = {}, 0.0
    for n in range(2, 9 if quick else 11):
        low, high = 1, 4 * 2**n  # more features than dimensions, since some are redundant
        while low < high:
            middle = (low + high) // 2
            error, rank = parity_errors(n, middle, rng)
            off = max(off, abs(error - (1 - rank / 2**n)))
            low, high = (low, middle) if error <= ERROR else (middle + 1, high)
        widest[n] = low
        print(f"{n} leaves: {low} random features for a mean squared error of {ERROR:.0%}")
    print(f"largest distance of the mean error from 1 - D/2^n: {off:.1e} (target: below 1e-6)")
    print(f"features grow by 2^({slope(list(widest), list(widest.values())):.2f} n)")
    return bool(off > 1e-6)


if __name__ == "__main__":
    raise SystemExit(main())
