"""Intervals and tests: what is random, what a table without spread says, and their agreement."""

from __future__ import annotations

import math
import runpy

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from neuromas_env.bench.statistics import (
    Estimand,
    compare,
    contrast,
    corrected,
    estimate,
    holm,
    mean_interval,
)
from neuromas_env.errors import InputError

COVERAGE = runpy.run_path(str(ROOT / "benchmarks" / "coverage.py"))


def column(*values):
    return np.array(values, dtype=float)[:, None]


def draws(share, shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < share).astype(float)


def tables():
    """Two tables of one size, scores with partial credit."""
    sizes = st.tuples(st.integers(2, 12), st.integers(2, 4), st.integers(0, 2**32 - 1))
    return sizes.map(
        lambda made: np.random.default_rng(made[2]).choice(
            [0.0, 0.0, 0.1, 0.5, 1.0, 1.0], size=(2, made[0], made[1])
        )
    )


def test_single_runs_on_new_questions_are_a_paired_t_test():
    ours, theirs = draws(0.6, (60, 1)), draws(0.4, (60, 1), 1)
    expected = scipy.stats.ttest_rel(ours[:, 0], theirs[:, 0])
    found = compare(ours, theirs)
    assert found.estimand == Estimand.METHOD and (found.n, found.runs) == (60, 1)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high))


def test_samples_of_a_method_are_one_method_on_new_questions():
    ours, theirs = draws(0.6, (60, 4)), draws(0.4, (60, 1), 1)
    expected = scipy.stats.ttest_rel(ours.mean(1), theirs[:, 0])
    assert compare(ours, theirs, Estimand.METHOD).p == pytest.approx(expected.pvalue)


def test_runs_on_a_finite_set_are_a_t_test_over_runs():
    ours, theirs = draws(0.6, (60, 5)), draws(0.5, (60, 5), 1)
    expected = scipy.stats.ttest_rel(ours.mean(0), theirs.mean(0))
    assert compare(ours, theirs, Estimand.FINITE).p == pytest.approx(expected.pvalue)
    welch = scipy.stats.ttest_ind(ours.mean(0), theirs[:, :3].mean(0), equal_var=False)
    found = compare(ours, theirs[:, :3], Estimand.FINITE)
    assert found.p == pytest.approx(welch.pvalue) and found.runs == 3


def test_crossed_questions_and_runs_have_the_error_of_their_variance_components():
    x = draws(0.5, (40, 5)) - draws(0.4, (40, 5), 1) * draws(0.5, (40, 1), 2)
    x = x + 0.2 * draws(0.5, (1, 5), 3)
    rows, columns = x.mean(1, keepdims=True), x.mean(0, keepdims=True)
    rest = ((x - rows - columns + x.mean()) ** 2).sum() / (39 * 4)
    by_hand = rows.var(ddof=1) / 40 + columns.var(ddof=1) / 5 - rest / 200
    parts = rows.var(ddof=1) / 40, columns.var(ddof=1) / 5, rest / 200
    assert by_hand > max(parts)
    assert estimate([x], Estimand.TRAINING).error ** 2 == pytest.approx(by_hand)
    flat = x - rows - columns  # neither questions nor runs differ, but what is left does
    assert estimate([flat], Estimand.TRAINING).error ** 2 == pytest.approx(rest / 200)


def test_what_speaks_of_new_trainings_as_well_is_wider():
    ours = np.clip(draws(0.5, (200, 5)) + np.array([0, 1, 0, 0, 1]) * draws(0.5, (200, 1), 1), 0, 1)
    theirs = draws(0.5, (200, 5), 2)
    widths = {e: np.diff(compare(ours, theirs, e).interval)[0] for e in Estimand}
    assert widths[Estimand.METHOD] < widths[Estimand.FINITE] < widths[Estimand.TRAINING]


def test_these_answers_have_no_interval():
    scores = draws(0.5, (20, 1))
    assert mean_interval(scores, Estimand.ANSWERS) is None
    found = compare(scores, 1 - scores, Estimand.ANSWERS)
    assert found.p == 1 and found.detectable is None


@pytest.mark.parametrize("estimand", Estimand)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (5, 5), (400, 3)])
def test_tables_without_spread_are_never_a_point(shape, estimand):
    ones, zeros = np.ones(shape), np.zeros(shape)
    for better, worse in ((ones, zeros), (ones, ones), (0.7 * ones, 0.2 * ones)):
        low, high = compare(better, worse, estimand).interval
        assert low < high - 0.01 and -1 <= low <= high <= 1
        interval = mean_interval(better, estimand)
        assert interval is None or 0 <= interval[0] < interval[1] <= 1
    assert compare(ones, ones, estimand).p == 1


def test_one_question_or_one_training_decides_nothing():
    assert compare([[1]], [[0]]).p == 1 and compare([[1]], [[0]]).interval[0] < 0
    assert compare([[1, 1, 1]], [[0, 0, 0]]).p == 1
    one = draws(0.9, (300, 1)), draws(0.1, (300, 1), 1)
    assert compare(*one).p < 1e-9
    assert compare(*one, Estimand.TRAINING).p == compare(*one, Estimand.FINITE).p == 1
    # The runs of one arm say nothing of those that the other might have had.
    assert compare(draws(0.9, (300, 5)), one[1], paired=False).p == 1


def test_equal_differences_are_an_exact_sign_test():
    """All of n questions right against all wrong: 2 of 2^n patterns of signs are as extreme."""
    for n in (2, 5, 9):
        assert compare(np.ones((n, 1)), np.zeros((n, 1))).p == pytest.approx(2 * 0.5**n)
    low, high = mean_interval(np.ones((20, 1)), Estimand.METHOD)
    exact = scipy.stats.binomtest(20, 20).proportion_ci(0.95, "exact")
    assert (low, high) == pytest.approx((exact.low, 1.0))


def test_rounding_is_no_difference():
    found = compare([[0.1, 0.2, 0.3]] * 50, [[0.3, 0.2, 0.1]] * 50)
    assert found.difference == 0 and found.p == 1
    third = np.full((7, 3), 0.1) * 3
    assert compare(third, np.full((7, 3), 0.3)).p == 1


@pytest.mark.slow
def test_p_has_no_floor_so_that_many_comparisons_can_pass():
    ours, theirs = draws(0.7, (400, 5)), draws(0.3, (400, 5), 1)
    family = corrected([compare(ours, theirs)] + [compare(ours, ours + 0)] * 284)
    assert family[0].p_holm == pytest.approx(285 * family[0].p) and family[0].p_holm < 0.01
    assert family[1].p_holm == 1


@pytest.mark.slow
def test_holm_steps_down():
    # By hand: 3 * 0.01, then max(0.03, 2 * 0.02), then max(0.04, 1 * 0.03), in sorted order.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == [] and corrected([]) == []


def test_what_has_no_p_counts_in_no_family():
    tested = compare(draws(0.9, (40, 1)), draws(0.4, (40, 1), 1), Estimand.METHOD)
    counted = compare(column(1.0), column(0.0), Estimand.ANSWERS)
    one, none = corrected([tested, counted])
    assert one.p_holm == tested.p and (none.p_holm, one.family) == (None, 1)


@pytest.mark.slow
def test_a_detectable_difference_has_its_power():
    power = scipy.stats.nct(59, nc := 2.85).sf(scipy.stats.t.ppf(0.975, 59))
    spread = np.sqrt(60) * 0.1 * scipy.stats.zscore(np.arange(60), ddof=1)[:, None]
    found = estimate([spread], Estimand.METHOD)
    assert found.error == pytest.approx(0.1)
    assert found.detectable(power=power) == pytest.approx(0.1 * nc, rel=1e-4)
    ours, theirs = draws(0.6, (60, 3)), draws(0.4, (60, 3), 1)
    alone, [one, _] = compare(ours, theirs), corrected([compare(ours, theirs)] * 2)
    assert one.detectable > alone.detectable > 0


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans(), st.sampled_from(list(Estimand)))
def test_a_comparison_turns_its_sign_with_the_order(made, paired, estimand):
    there = compare(*made, estimand, paired)
    back = compare(*made[::-1], estimand, paired)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == pytest.approx(back.p)
    assert there.interval == pytest.approx(tuple(-x for x in reversed(back.interval)))


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans(), st.sampled_from(list(Estimand)), st.integers(0, 999))
def test_the_order_of_questions_and_runs_does_not_matter(made, paired, estimand, seed):
    rng = np.random.default_rng(seed)
    rows, runs = rng.permutation(made.shape[1]), rng.permutation(made.shape[2])
    found = compare(*made, estimand, paired)
    other = compare(*made[:, rows][:, :, runs], estimand, paired)
    assert other.p == pytest.approx(found.p, abs=1e-6)
    assert other.interval == pytest.approx(found.interval, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(tables(), st.booleans(), st.sampled_from(list(Estimand)), st.floats(-0.5, 0.5))
def test_interval_and_p_are_one_statement(made, paired, estimand, threshold):
    found = compare(*made, estimand, paired)
    low, high = found.interval
    assert low <= found.difference <= high
    if abs(found.p - 0.05) > 1e-6:
        assert (found.p < 0.05) == (not low <= 0 <= high)
    for alpha in (0.05, 0.2):
        low, high = found.estimate.bounds(alpha)
        above, below = found.estimate.p_above(threshold), found.estimate.p_below(threshold)
        if abs(above - alpha) > 1e-6:
            assert (above < alpha) == (low > threshold)
        if abs(below - alpha) > 1e-6:
            assert (below < alpha) == (high < threshold)
        assert found.estimate.p_below(threshold, cautious=True) >= min(below, 0.5) - 1e-9


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tables(), st.lists(st.floats(-0.4, 0.4), min_size=4, max_size=4), st.floats(-0.3, 0.3))
def test_luck_that_both_share_changes_nothing_and_a_constant_shifts(made, luck, constant):
    shared = np.array(luck[: made.shape[2]])
    plain, lucky = compare(*made), compare(*(made + shared))
    assert lucky.p == pytest.approx(plain.p, abs=1e-6)
    assert lucky.interval == pytest.approx(plain.interval, abs=1e-6)
    if plain.estimate.error > 1e-6:
        shifted = compare(made[0] + constant, made[1])
        assert shifted.estimate.error == pytest.approx(plain.estimate.error, rel=1e-6)
        assert shifted.difference == pytest.approx(plain.difference + constant, abs=1e-8)


@given(tables())
def test_equal_tables_do_not_differ(made):
    for paired in (True, False):
        assert compare(made[0], made[0].copy(), paired=paired).p == 1


def test_tables_at_once_are_estimated_as_one_by_one():
    many = draws(0.5, (6, 30, 4)) - draws(0.5, (6, 30, 4), 1)
    together = estimate([many], Estimand.TRAINING)
    for number, table in enumerate(many):
        alone = contrast([table], Estimand.TRAINING)
        assert together.mean[number] == pytest.approx(alone.difference)
        assert together.p()[number] == pytest.approx(alone.p)


@pytest.mark.parametrize(
    ("ours", "theirs", "options", "said"),
    [
        ([1, 0], [1, 0], {}, r"a table \[questions, runs\], got shape \(2,\)"),
        ([[]], [[]], {}, r"got shape \(1, 0\)"),
        ([[1], [0]], [[1]], {}, "the same questions, got 2 and 1"),
        ([[math.nan]], [[1]], {}, "must be numbers"),
        ([[1, 0]], [[1, 0, 1]], {"paired": True}, "as many in both, got 2 and 3"),
    ],
)
def test_tables_that_do_not_fit_are_refused(ours, theirs, options, said):
    with pytest.raises(InputError, match=said):
        compare(ours, theirs, **options)


def test_a_missed_target_is_named():
    good = dict.fromkeys(COVERAGE["COVERED"], 0.95) | dict.fromkeys(COVERAGE["ERRORS"], 0.05)
    spread, none = (True, 3, 64, 0.03), (True, 3, 64, 0.0)
    assert COVERAGE["missed"](spread, good) == []
    assert COVERAGE["missed"](none, good | {"mean": 0.99}) == []
    assert COVERAGE["missed"](spread, good | {"mean": 0.99}) == ["paired, 3 × 64, 3: mean 99.0 %"]
    for wrong in ({"mean": 0.92}, {"not, 9": 0.07}):
        assert len(COVERAGE["missed"](none, good | wrong)) == 1


@pytest.mark.slow
def test_coverage_and_errors_are_those_promised():
    """Three cells of the simulation, with fewer tables: wide of the targets by chance alone."""
    for cell in COVERAGE["QUICK"]:
        found = COVERAGE["simulate"](cell, 250)
        for key in COVERAGE["COVERED"]:
            assert found[key] > 0.9, (cell, key)
        for key in COVERAGE["ERRORS"]:
            assert found[key] < 0.1, (cell, key)
        assert 0.6 < found["detectable"] < 0.95, cell
    # Questions counted as if they were all that is random: runs 9 points apart are not seen.
    ours, theirs = (
        (np.random.default_rng(seed).random((400, 512, 3)) < 0.5 + 0.09 * luck).astype(float)
        for seed, luck in enumerate(np.random.default_rng(9).standard_normal((2, 400, 1, 3)))
    )
    for estimand, alarms in ((Estimand.METHOD, (0.4, 1)), (Estimand.TRAINING, (0, 0.08))):
        share = (estimate([ours, -theirs], estimand).p() < 0.05).mean()
        assert alarms[0] <= share <= alarms[1], (estimand, share)
