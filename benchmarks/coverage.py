"""How often intervals hold the truth, tests are wrong and verdicts are right, by simulation.

    uv run python benchmarks/coverage.py            # 2,000 tables a cell, minutes
    uv run python benchmarks/coverage.py --quick    # a few cells

Arm a is right on question q in run s where m_a + u_q + v_aq + w_as + e_aqs > 0: u is how easy the
question is (variance 1), v how well it suits the arm (0.5), e the noise of question × run (1.5),
all normal, and w the run's luck, scaled so that an arm's accuracy has the cell's standard deviation
over runs. Paired arms share half of w's variance. Every arm is right in 60 % of all cases but the
first, which is better by what the column says. Ends with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from neuromas_env.bench.machine import machine
from neuromas_env.bench.statistics import Estimand, Estimate, estimate
from neuromas_env.experiments.verdict import decide, p_not

TABLES, BLOCK = 2000, 250
SEEDS, QUESTIONS, SPREADS = (3, 5, 10), (64, 128, 512), (0.0, 0.03, 0.06, 0.09)
QUICK = [(True, 3, 512, 0.09), (True, 5, 64, 0.0), (False, 5, 128, 0.06)]
ACCURACY, MARGIN, EFFECT, RIVALS = 0.6, 0.02, 0.15, 9
EASE, FIT, NOISE = 1.0, 0.5, 1.5  # variances
LEAST, MOST, WRONG = 0.93, 0.98, 0.065
COVERED = ("difference", "mean", "one run", "finite")
ERRORS = ("p", "holds", "not, 1", "not, 2", "not, 9")
POWERS = ("+15, 2", "detectable")
Cell = tuple[bool, int, int, float]


def level(accuracy: float, luck: float) -> float:
    """Return the mean m at which an arm is right so often."""
    return float(np.sqrt(EASE + FIT + NOISE + luck**2) * ndtri(accuracy))


def luck_of(spread: float) -> float:
    """Return the standard deviation of w that gives accuracy a standard deviation over runs."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()

    def off(luck: float) -> float:
        found = ndtr((level(ACCURACY, luck) + luck * nodes) / np.sqrt(EASE + FIT + NOISE))
        return float(np.sqrt(weights @ (found - weights @ found) ** 2)) - spread

    return brentq(off, 0.0, 3.0) if spread else 0.0


def covers(one: Estimate, truth: np.ndarray | float) -> np.ndarray:
    """Return whether each interval holds the truth."""
    low, high = one.bounds()
    return (low <= truth) & (truth <= high)


def simulate(cell: Cell, tables: int) -> dict[str, float]:
    """Return how often each thing happens in a cell."""
    paired, runs, questions, spread = cell
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    luck, began = luck_of(spread), time.process_time()
    blocks = []
    for start in range(0, tables, BLOCK):
        size = min(BLOCK, tables - start)
        blocks.append(_block(rng, size, paired, runs, questions, luck))
    found = {key: float(np.mean(np.concatenate([b[key] for b in blocks]))) for key in blocks[0]}
    return found | {"seconds": time.process_time() - began}


def _block(
    rng: np.random.Generator, size: int, paired: bool, runs: int, questions: int, luck: float
) -> dict[str, np.ndarray]:
    shape = size, questions, runs
    ease = rng.standard_normal((size, questions, 1)) * np.sqrt(EASE)
    shared = rng.standard_normal((size, 1, runs))

    def arm() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ease of each question for an arm, luck of each run, and both with the noise."""
        suits = ease + rng.standard_normal((size, questions, 1)) * np.sqrt(FIT)
        own = rng.standard_normal((size, 1, runs))
        lucky = luck * ((shared + own) / np.sqrt(2) if paired else own)
        return suits, lucky, suits + lucky + rng.standard_normal(shape) * np.sqrt(NOISE)

    suits, lucky, latent = arm()
    rivals, truths = [], []
    base = level(ACCURACY, luck)
    for _ in range(RIVALS):
        other, _, drawn = arm()
        rivals.append((drawn + base > 0).astype(float))
        truths.append(other)

    def against(gain: float, count: int) -> list[Estimate]:
        """Estimates of the first arm, better by so much, against some rivals."""
        ours = (latent + level(ACCURACY + gain, luck) > 0).astype(float)
        return [
            estimate([ours - one] if paired else [ours, -one], Estimand.TRAINING)
            for one in rivals[:count]
        ]

    def judged(found: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
        return decide(
            np.stack([one.p_above(MARGIN) for one in found]),
            np.stack([p_not(one, MARGIN, len(found)) for one in found]),
        )

    [equal], at_margin = against(0.0, 1), against(MARGIN, RIVALS)
    ours = (latent + base > 0).astype(float)
    within, given = np.sqrt(NOISE + luck**2), np.sqrt(EASE + FIT + NOISE)
    right, wrong = (ndtr((base + one) / within).mean((1, 2)) for one in (suits, truths[0]))
    both = [ours - rivals[0]] if paired else [ours, -rivals[0]]
    seen = MARGIN + float(np.median(at_margin[0].detectable(0.05)))
    return {
        "difference": covers(equal, 0.0),
        "mean": covers(estimate([ours], Estimand.TRAINING, (0.0, 1.0)), ACCURACY),
        "one run": covers(
            estimate([ours[..., :1]], Estimand.METHOD, (0.0, 1.0)),
            ndtr((base + lucky[:, 0, 0]) / given),
        ),
        "finite": covers(estimate(both, Estimand.FINITE), right - wrong),
        "p": equal.p() < 0.05,
        "holds": judged(at_margin[:1])[0],
        **{f"not, {k}": judged(at_margin[:k])[1] for k in (1, 2, RIVALS)},
        "+15, 2": judged(against(EFFECT, 2))[0],
        "detectable": judged(against(seen, 1))[0]
        if seen + ACCURACY < 0.99
        else np.full(size, np.nan),
    }


def missed(cell: Cell, found: dict[str, float]) -> list[str]:
    """Say which targets a cell misses."""
    too_wide = MOST if cell[-1] else 1.0
    return [
        f"{name(cell)}: {key} {100 * found[key]:.1f} %"
        for key in (*COVERED, *ERRORS)
        if (key in COVERED and not LEAST <= found[key] <= too_wide)
        or (key in ERRORS and found[key] > WRONG)
    ]


def name(cell: Cell) -> str:
    """Return a cell in words."""
    paired, runs, questions, spread = cell
    return f"{'paired' if paired else 'unpaired'}, {runs} × {questions}, {100 * spread:g}"


def folded(results: dict[Cell, dict[str, float]]) -> list[tuple[str, ...]]:
    """Return a row for each pairing, number of seeds and spread: the range over the questions."""
    rows = []
    groups = dict.fromkeys((paired, runs, spread) for paired, runs, _, spread in results)
    for paired, runs, spread in groups:
        here = [
            found for (p, r, _, s), found in results.items() if (p, r, s) == (paired, runs, spread)
        ]

        def span(*keys: str, here: list[dict[str, float]] = here) -> str:
            values = [
                100 * found[key] for found in here for key in keys if found[key] == found[key]
            ]
            return f"{min(values):.1f} to {max(values):.1f}" if values else "-"

        rows.append(
            (
                f"{'paired' if paired else 'unpaired'}, {runs} seeds, {100 * spread:g} points",
                span("difference"), span("mean"), span("one run", "finite"), span("p", "holds"),
                span("not, 1", "not, 2", "not, 9"), span("+15, 2"), span("detectable"),
            )
        )  # fmt: skip
    return rows


HEAD = (
    "cell", "difference", "mean", "one run, finite set", "p, holds", "does not hold",
    "power at +15", "power at detectable",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate all cells and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three cells")
    parser.add_argument("--tables", type=int, default=TABLES, help="in each cell")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args(argv)
    cells = (
        QUICK if args.quick else list(itertools.product((True, False), SEEDS, QUESTIONS, SPREADS))
    )
    start, results, spent = time.perf_counter(), {}, 0.0
    with ProcessPoolExecutor(args.workers) as pool:
        for cell, found in zip(
            cells, pool.map(simulate, cells, itertools.repeat(args.tables)), strict=True
        ):
            spent += found.pop("seconds")
            results[cell] = found
            print(f"{len(results)} of {len(cells)} cells", end="\r", file=sys.stderr)
    clock = time.perf_counter() - start
    print(f"{args.tables:,} tables a cell, {len(cells)} cells, {machine()}, {clock:.0f} s by the "
          f"clock, {spent:.0f} s of one core\n")  # fmt: skip
    for row in (HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *folded(results)):
        print(f"| {' | '.join(row)} |")
    misses = [one for cell, rates in results.items() for one in missed(cell, rates)]
    print("\nmissed: " + ("; ".join(misses) or "nothing"))
    return bool(misses)


if __name__ == "__main__":
    sys.exit(main())
