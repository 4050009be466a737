"""Intervals and tests: against values worked out by hand or by scipy, and their error rates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from neuromas_env.agents.evaluate import wilson
from neuromas_env.bench import statistics
from neuromas_env.bench.statistics import (
    cohens_h,
    compare,
    detectable_difference,
    holm,
    mean_interval,
    permutation_test,
)


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_permutation_test_counts_all_sign_patterns():
    differences = np.array([0.5, 1.0, -0.25, 0.0, 0.75, 1.0])
    patterns = itertools.product((1, -1), repeat=6)
    means = [abs(np.mean(differences * np.array(signs))) for signs in patterns]
    expected = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
    assert permutation_test(differences) == pytest.approx(expected)


def test_permutation_test_of_no_difference_is_one():
    assert permutation_test(np.zeros(9)) == 1.0


def test_permutation_test_draws_patterns_where_there_are_too_many():
    differences = np.random.default_rng(0).normal(0.4, 1, 80)
    expected = scipy.stats.ttest_1samp(differences, 0).pvalue
    assert permutation_test(differences) == pytest.approx(expected, abs=0.01)


def test_mcnemar_is_the_binomial_test_of_the_discordant_questions():
    method = column(*[1] * 9, *[0] * 2, *[1] * 5, *[0] * 4)
    reference = column(*[0] * 9, *[1] * 2, *[1] * 5, *[0] * 4)
    found = compare(method, reference)
    assert found.p_mcnemar == pytest.approx(scipy.stats.binomtest(2, 11).pvalue)
    # With one 0/1 answer per question the sign-flip test is that same binomial test.
    assert found.p == pytest.approx(found.p_mcnemar)
    assert found.difference == pytest.approx(7 / 20)


def test_mcnemar_is_for_single_runs_alone():
    single, double = column(1, 0, 1), np.array([[1, 0], [0, 1], [1, 1.0]])
    assert compare(single, double).p_mcnemar is None
    assert compare(single, column(0.5, 0, 1)).p_mcnemar is None
    assert compare(single, single).p_mcnemar == 1.0


def test_paired_t_takes_the_means_of_the_seeds():
    rng = np.random.default_rng(1)
    method, reference = rng.integers(0, 2, (2, 30, 4)).astype(float)
    expected = scipy.stats.ttest_rel(method.mean(axis=0), reference.mean(axis=0)).pvalue
    assert compare(method, reference).p_seeds == pytest.approx(expected)
    single = reference[:, :1]
    expected = scipy.stats.ttest_1samp(method.mean(axis=0), single.mean()).pvalue
    assert compare(method, single).p_seeds == pytest.approx(expected)
    assert compare(single, single).p_seeds is None
    assert compare(method, reference[:, :3]).p_seeds is None


def test_holm_steps_down():
    # By hand: 3 * 0.01, then max(0.03, 2 * 0.02), then max(0.04, 1 * 0.03), in sorted order.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


def test_effect_sizes():
    assert cohens_h(0.5, 0.5) == 0
    assert cohens_h(1.0, 0.0) == pytest.approx(math.pi)
    assert cohens_h(0.75, 0.25) == pytest.approx(math.pi / 3)  # arcsines of 60 and 30 degrees
    found = compare(column(1, 1, 1, 0), column(0, 1, 0, 0))
    assert found.d == pytest.approx(0.5 / math.sqrt(1 / 3))
    assert compare(column(1, 0), column(1, 0)).d is None


def test_detectable_difference_is_that_of_a_paired_t_test():
    expected = TTestPower().solve_power(nobs=400, alpha=0.05, power=0.8)
    assert detectable_difference(0.3, 400) == pytest.approx(0.3 * expected, rel=0.005)


def test_nothing_is_detectable_without_spread():
    assert compare(column(1), column(0)).detectable is None
    assert compare(column(1, 1), column(0, 0)).detectable is None


def test_interval_without_seeds_is_the_bootstrap_of_questions():
    scores = column(*[1] * 60, *[0] * 40)
    low, high = mean_interval(scores)
    theirs = scipy.stats.bootstrap(
        (scores[:, 0],), np.mean, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.011)


def test_interval_widens_with_the_spread_between_seeds():
    questions = np.tile([[1.0], [0.0]], (50, 1))
    steady = np.repeat(questions, 4, axis=1)
    wavering = np.zeros((100, 4))
    for seed, right in enumerate((20, 80, 30, 70)):
        wavering[:right, seed] = 1
    assert steady.mean() == wavering.mean()
    assert np.diff(mean_interval(wavering)) > 1.8 * np.diff(mean_interval(steady))


def test_interval_of_equal_scores_is_wilsons():
    assert mean_interval(np.ones((20, 3))) == wilson(20, 20)
    assert mean_interval(np.zeros((20, 3))) == wilson(0, 20)


def test_comparison_resamples_both_on_the_same_questions():
    # Equal up to one question in ten: unpaired, the interval would be several times as wide.
    reference = column(*[1, 0] * 50)
    method = reference.copy()
    method[1:20:2] = 1
    low, high = compare(method, reference).interval
    assert 0.03 < low < 0.1 < high < 0.17


def test_large_samples_are_taken_in_blocks(monkeypatch):
    scores = np.random.default_rng(0).integers(0, 2, (300, 2)).astype(float)
    whole = mean_interval(scores)
    monkeypatch.setattr(statistics, "_BLOCK", 300 * 700)
    assert mean_interval(scores) == pytest.approx(whole, abs=0.006)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(*[st.lists(st.sampled_from((0.0, 1.0)), min_size=n, max_size=n)] * 3)
    )
)
def test_comparison_turns_its_sign_with_the_order(rows):
    method, reference = np.array(rows[:2]).T, np.array(rows[2:]).T
    there, back = compare(method, reference), compare(reference, method)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == pytest.approx(back.p)
    assert 0 < there.p <= 1
    assert there.interval == pytest.approx(tuple(-x for x in reversed(back.interval)), abs=0.02)
    assert there.interval[0] - 1e-9 <= there.difference <= there.interval[1] + 1e-9


def test_error_rates_are_those_promised(monkeypatch):
    """Two equal methods with three seeds: 5 % false alarms; pooling the seeds raises more."""
    monkeypatch.setattr(statistics, "DRAWS", 400)
    rng = np.random.default_rng(0)
    trials, alarms, pooled, missed = 300, 0, 0, 0
    for trial in range(trials):
        # Each method knows some questions for certain, so its seeds agree with one another.
        chance = rng.beta(0.3, 0.3, (2, 60, 1))
        ours, theirs = (rng.random((2, 60, 3)) < chance).astype(float)
        found = compare(ours, theirs, seed=trial)
        alarms += found.p < 0.05
        missed += not found.interval[0] <= 0 <= found.interval[1]
        pooled += scipy.stats.ttest_rel(ours.ravel(), theirs.ravel()).pvalue < 0.05
    assert 0.02 < alarms / trials < 0.085
    assert 0.01 < missed / trials < 0.1
    assert pooled / trials > 0.12
