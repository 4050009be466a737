"""The theory page shows what its script finds, and small cases of its propositions, all listed."""

from __future__ import annotations

import importlib
import math
import re
import sys
from itertools import product

import numpy as np
import pytest
from support.paths import ROOT

PAGE = (ROOT / "docs" / "theory.md").read_text()


@pytest.fixture(scope="module")
def theory():
    """The script, which imports its neighbour as a script does."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("theory")
    sys.path.pop(0)


@pytest.fixture(scope="module")
def training(theory):
    return theory.training


@pytest.fixture(scope="module")
def tables(theory):
    return {name: theory.markdown(name) for name in theory.TABLES}


@pytest.mark.slow
@pytest.mark.whole
def test_page_shows_the_tables_of_the_script(tables):
    for name, table in tables.items():
        assert table in PAGE, f"{name}: run python benchmarks/theory.py and show\n{table}"


@pytest.mark.slow
def test_page_names_the_experiments_with_one_node(theory):
    text = " ".join(PAGE.split())
    assert (
        f"belong to the experiments {dict(theory.facts())['experiments with an arm of one node']};"
        in text
    )


@pytest.mark.slow
@pytest.mark.whole
def test_every_number_in_the_text_is_printed(theory, tables):
    text = PAGE[: PAGE.index("## References")]
    # Not formulas, code, links, headings, years, and which proposition or section is meant.
    for out in (
        r"\$\$.*?\$\$", r"\$[^$]*\$", r"`[^`]*`", r"\]\([^)]*\)", r"(?m)^#.*$", r"(?m)^\|.*$",
        r"\b(?:19|20)\d\d\b", r"(?:Propositions?|[Ss]ections?) \d+(?: and \d+| to \d+)*", r"2-1",
    ):  # fmt: skip
        text = re.sub(out, " ", text, flags=re.DOTALL if "$" in out else 0)
    printed = "\n".join([*tables.values(), *(f"{what} {found}" for what, found in theory.facts())])
    known = set(re.findall(r"\d[\d,.e]*\d|\d", printed))
    assert set(re.findall(r"\d[\d,.e]*\d|\d", text)) - known == set()


def test_checks_of_the_script_hold(theory):
    for what, off in theory.checks():
        assert off < theory.CLOSE, what


def test_modular_class_is_every_tree_once(theory):
    gates = product(range(16), repeat=3)
    listed = {np.packbits(theory.evaluate(g, 4)).tobytes() for g in gates}
    found = {column.tobytes() for column in theory.members(4).T}
    assert found == listed
    assert len(found) == theory.members(4).shape[1]


def test_members_that_agree_are_nearly_right_as_often_as_promised(theory):
    every = np.unpackbits(theory.members(4).T, axis=1)
    for target in every:
        off = (every != target).mean(1)
        survive = (1 - off[off > theory.fixed.ERROR]) ** theory.labels_upper(3)
        assert survive.sum() <= theory.DELTA


@pytest.mark.parametrize("n, seen", [(2, 1), (3, 1), (3, 2), (4, 2)])
def test_no_learner_beats_the_bound_on_labels(theory, n, seen):
    """The best answer to each question given each set of labels, over all parities."""
    x = theory.fixed.questions(n)
    values = (x @ x.T % 2).T  # [parities, questions]
    errors = []
    for rows in product(range(2**n), repeat=seen):
        groups = np.unique(values[:, rows], axis=0, return_inverse=True)[1].ravel()
        right = 0
        for group in range(groups.max() + 1):
            ones = values[groups == group].sum(0)
            right += np.maximum(ones, (groups == group).sum() - ones).sum()
        errors.append(1 - right / values.size)
    assert np.mean(errors) >= (1 - 2.0 ** (seen - n)) / 2 - 1e-12


@pytest.mark.parametrize("q, n", [(2, 4), (3, 3), (4, 2), (6, 2)])
def test_characters_are_trees_and_orthonormal(theory, q, n):
    found = theory.fixed.characters(q, n)
    assert np.allclose(found.conj().T @ found, q**n * np.eye(q**n))
    x = np.array(list(product(range(q), repeat=n)))
    a = x[-2]
    nodes = (a * x) % q  # input nodes multiply, the others add
    while nodes.shape[1] > 1:
        nodes = np.concatenate([nodes[:, :1] + nodes[:, 1:2], nodes[:, 2:]], 1) % q
    assert np.allclose(found[:, -2], np.exp(2j * np.pi * nodes[:, 0] / q))


@pytest.mark.parametrize("seed", range(5))
def test_squared_loss_under_any_distribution(theory, seed):
    rng = np.random.default_rng(seed)
    q, n = ((2, 5), (3, 3), (4, 2))[seed % 3]
    chances = rng.dirichlet(np.full(q**n, 0.3 + seed))
    features = rng.standard_normal((q**n, 4)) + 1j * rng.standard_normal((q**n, 4))
    bound = 1 - 4 * chances.max()
    targets = theory.fixed.characters(q, n)
    assert theory.fixed.mean_error(features, targets, chances)[0] >= bound - 1e-12
    # Real weights: the same features as vectors of twice as many numbers.
    apart = [np.concatenate([f.real, f.imag]) for f in (features, targets)]
    twice = np.tile(chances, 2)
    assert theory.fixed.mean_error(*apart, twice)[0] >= bound - 1e-12


@pytest.mark.parametrize("q, n", [(2, 3), (3, 2), (5, 2)])
def test_one_number_for_each_symbol(theory, q, n):
    rng = np.random.default_rng(q)
    x = np.array(list(product(range(q), repeat=n)))
    features, _ = np.linalg.qr(rng.standard_normal((q**n, 3)))
    targets = np.eye(q)[x @ x.T % q]  # [questions, targets, symbols]
    missed = targets - np.einsum("xd,yd,yas->xas", features, features, targets)
    assert (missed**2).sum(2).mean() >= (1 - 1 / q) * (1 - 3 / q**n) - 1e-12


def test_features_give_all_parities_their_signs(theory):
    for n in (2, 4, 8):
        features, weights = theory.fixed.sign_features(n)
        assert features.shape[1] == 3 ** (n // 2)
        assert (np.sign(features @ weights) == theory.fixed.characters(2, n)).all()


def test_two_features_cannot_sign_four_parities(theory):
    """In the plane signs change at most once, in some order and after some questions changed sign.

    All orders and changes of sign are listed; three features are found by the test above.
    """
    parities = theory.fixed.characters(2, 2).T
    for order in (
        [0, 1, 2, 3],
        [0, 1, 3, 2],
        [0, 2, 1, 3],
        [0, 2, 3, 1],
        [0, 3, 1, 2],
        [0, 3, 2, 1],
    ):
        for shift in range(4):
            for signs in product((-1, 1), repeat=4):
                rows = parities[:, np.roll(order, shift)] * signs
                changes = (rows[:, 1:] != rows[:, :-1]).sum(1)
                assert changes.max() > 1


@pytest.mark.parametrize("width", [1, 3, 10, 40])
def test_signs_of_a_readout_respect_the_bounds(theory, width):
    n = 6
    features, targets = theory.fixed.relu_features(n, width), theory.fixed.characters(2, n)
    fitted = features @ np.linalg.lstsq(features, targets, rcond=None)[0]
    wrong = fitted * targets <= 1e-12
    rank = np.linalg.matrix_rank(features)
    assert rank >= 1 / (2.0 ** (-n / 2) + 2 * wrong.mean())
    # With the margin: of mean square 1, apart from the share that misses it.
    g = fitted / np.sqrt((fitted**2).mean(0))
    gamma = 0.5
    share = (g * targets < gamma).mean(0)
    gained = np.maximum(gamma * (1 - share) - np.sqrt(share), 0)
    assert rank >= 2**n * (gained**2).mean() - 1e-9


def test_low_degree_has_the_error_that_is_counted(theory):
    x = theory.fixed.questions(8).sum(1)
    for degree in range(9):
        best = min(
            np.mean(np.sign(_alternating(x, first, degree)) != (-1.0) ** (x - first))
            for first in range(9)
        )
        assert theory.fixed.degree_error(8, degree) == pytest.approx(best)
        hoeffding = 2 * math.exp(-2 * (degree // 2) ** 2 / 8)
        assert theory.fixed.degree_error(8, degree) <= hoeffding + 1e-12
    assert theory.fixed.sign_upper(8) >= theory.fixed.sign_lower(2**8, theory.fixed.ERROR)


def _alternating(x, first, degree):
    """A polynomial, positive at `first`, with so many roots, one after each sum from there."""
    roots = first + 0.5 + np.arange(degree)
    return np.prod(x[:, None] - roots, axis=1) * np.prod(np.sign(first - roots))


@pytest.mark.parametrize(
    "report, arm, model, rank, targets",
    [
        ("depth", "one node of 4", "chars", 12, "all-linear"),
        ("depth", "one node of 8", "chars", 28, "all-linear"),
        ("trained-smollm2", "single", "smollm2-135m", 48, "q_proj,v_proj"),
    ],
)
def test_adapters_are_as_large_as_those_that_were_trained(
    theory, report, arm, model, rank, targets
):
    """By the parameters that the suite counted in its runs, the second column of their table."""
    text = (ROOT / "docs" / "results" / "experiments" / f"{report}.md").read_text()
    counted = re.findall(rf"(?m)^\| {arm} \| [\d.]+ \| ([\d,]+) \|", text)
    assert f"{theory.adapter_size(model, rank, targets):,}" in counted


def test_widths_of_the_character_model_are_its_own(theory):
    text = (ROOT / "neuromas_env/experiments/specs/pretrain_chars.py").read_text()
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers")
    hidden, inner, layers = (int(re.search(rf'"{key}": (\d+)', text)[1]) for key in keys)
    assert theory.WIDTHS["chars"] == (hidden, inner, hidden, layers)


@pytest.mark.slow
@pytest.mark.parametrize("gate, q", [("xor", 2), ("max", 2), ("max", 3)])
def test_signal_is_a_product_of_those_above_times_a_sum(training, gate, q):
    gate = {"xor": training.xor, "max": max}[gate]
    rng = np.random.default_rng(q)
    gains = dict(zip(training.NODES, rng.random(7), strict=True))
    for node in training.NODES:
        above = [(node[0] + up, node[1] >> up) for up in range(1, 3 - node[0])]
        others = [u for u in training.NODES if u != node and u not in above]
        total = 0.0
        for right in product((0.0, 1.0), repeat=len(others)):
            known = dict(zip(others, right, strict=True)) | dict.fromkeys(above, 1.0)
            chance = math.prod(gains[u] if known[u] else 1 - gains[u] for u in others)
            total = total + chance * training.signal(
                gate, q, 4, lambda u, k=known: k.get(u, 0.0), node
            )
        found = training.signal(gate, q, 4, gains.__getitem__, node)
        assert np.allclose(found, math.prod(gains[u] for u in above) * total)
        if gate is max and node[0] == 0:
            silent = dict.fromkeys(above, 1.0)
            left = training.signal(gate, q, 4, lambda u, k=silent: k.get(u, 0.0), node)
            assert np.abs(left).max() > 1e-3  # nobody else is heard, and yet there is a signal


def test_signal_is_the_slope_of_the_mean_reward(training):
    """Of `2-1` on XOR and max, all outcomes listed one by one."""
    for gate, q in ((training.xor, 2), (max, 3)):
        p_right = 0.7
        sends = np.full((q, q), (1 - p_right) / (q - 1)) + np.eye(q) * (
            p_right - (1 - p_right) / (q - 1)
        )
        slope = np.zeros((q, q))
        for a, b, m, n, answer in product(range(q), repeat=5):
            if answer == gate(a, b):
                slope[a, m] += sends[b, n] * sends[gate(m, n), answer] / q**2
        gain = (p_right - 1 / q) / (1 - 1 / q)
        found = training.signal(gate, q, 2, lambda _, g=gain: g, (0, 0))
        assert np.allclose(found, slope - slope.mean(1, keepdims=True))


def test_gradient_of_a_majority_tree_is_that_of_all_questions(training):
    rng = np.random.default_rng(0)
    x = np.array(list(product((-1, 1), repeat=9)))
    place = ((x.reshape(-1, 3, 3) + 1) // 2) @ (4, 2, 1)
    for gate in (training.majority, training.parity):
        tables = [rng.uniform(-1, 1, (3, 8)), rng.uniform(-1, 1, (1, 8))]
        target = gate(gate(x.reshape(-1, 3, 3)))

        def reward(tables, target=target):
            means = np.stack([tables[0][i][place[:, i]] for i in range(3)], 1)
            chance = ((1 + training.TRIPLES * means[:, None]) / 2).prod(2)
            return (1 + (chance @ tables[1][0] * target).mean()) / 2

        found, slopes = training.gradient(gate, tables)
        assert found.item() == pytest.approx(reward(tables))
        for level, node, row in [(0, i, z) for i in range(3) for z in range(8)] + [(1, 0, 3)]:
            ends = []
            for shift in (1, -1):  # the reward is linear in every entry
                moved = [table.copy() for table in tables]
                moved[level][node, row] += shift
                ends.append(reward(moved))
            assert slopes[level][node, row] == pytest.approx((ends[0] - ends[1]) / 2, abs=1e-12)


def test_family_is_hard_for_fixed_features(training, theory):
    x = 2 * theory.fixed.questions(9) - 1
    tree = lambda rows: training.majority(training.majority(rows.reshape(-1, 3, 3)))  # noqa: E731
    family = np.stack([tree(x * signs) for signs in x], 1)  # all 512 targets
    scale = np.linalg.svd(family / 2**9, compute_uv=False) ** 2
    needed = training.majority_features(2)
    assert 1 - scale[:needed].sum() <= training.ERROR < 1 - scale[: needed - 1].sum()
    for k in range(1, 6):
        counts = training.spectrum(k)
        assert sum(count / 4**i for i, count in counts.items()) == pytest.approx(1)
        kept, features = 0.0, 0
        for i, count in sorted(counts.items()):
            kept, features = kept + count / 4**i, features + count
            assert 1 - kept >= 1 / 8 - features / 2 ** (1.5 ** (k - 1)) - 1e-12
    votes = np.sign(x.sum(1)) != tree(x)
    assert training.vote_error(2) == votes.mean()


@pytest.mark.parametrize("k", [2, 3])
def test_majorities_learn_as_proved(training, k):
    """All slopes point the right way at every step; the constants of the proof bound them."""
    a = training.ADVANTAGE
    right = training.majority(training.TRIPLES)
    logits = training.start(training.majority, k, a)
    tau = (a / 4) ** (k - 1) / 64
    tables = [np.tanh(level / 2) for level in logits]
    _, slopes = training.gradient(training.majority, tables)
    # By samples: first input nodes alone are above the threshold, then all others.
    assert (slopes[0] * right / 2).min() >= 2 * tau - 1e-15
    assert all(np.allclose(slope, 0) for slope in slopes[1:])
    set_below = [np.tile(right, (3 ** (k - 1), 1)).astype(float), *tables[1:]]
    _, later = training.gradient(training.majority, set_below)
    assert min((slope * right).min() for slope in later[1:]) * (1 - a**2) / 2 >= 2 * tau
    for _ in range(20):
        tables = [np.tanh(level / 2) for level in logits]
        _, slopes = training.gradient(training.majority, tables)
        assert min((slope * right).min() for slope in slopes) >= -1e-15
        assert (slopes[0] * right).min() >= (a / 4) ** (k - 1) / 16 - 1e-15
        logits = [
            level + training.RATE * slope * (1 - table**2)
            for level, slope, table in zip(logits, slopes, tables, strict=True)
        ]


def test_from_uniform_tables_and_for_parities_nothing_moves(training):
    for gate, advantage in (
        (training.majority, 0.0),
        (training.parity, 0.0),
        (training.parity, 0.5),
    ):
        tables = [np.tanh(level / 2) for level in training.start(gate, 2, advantage)]
        reward, slopes = training.gradient(gate, tables)
        assert reward.item() == pytest.approx(0.5)
        assert all(np.allclose(slope, 0, atol=1e-15) for slope in slopes)


def test_errors_add_up_at_most(training):
    """Of a majority tree each of whose nodes is wrong at random."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        wrong = [rng.uniform(0, 0.3, (3, 8)), rng.uniform(0, 0.3, (1, 8))]
        right = training.majority(training.TRIPLES)
        reward, _ = training.gradient(training.majority, [(1 - 2 * w) * right for w in wrong])
        # On right inputs a node of level 2 reads each triple alike, as the leaves are read.
        assert 1 - reward.item() <= sum(w.mean(1).sum() for w in wrong) + 1e-12


def test_random_functions_have_no_two_equal_halves():
    n, rng = 8, np.random.default_rng(0)
    bound = 2.0 ** (n - 1 - 2 ** (n // 2))
    tables = rng.integers(2, size=(2000, 2 ** (n // 2), 2 ** (n // 2)))
    codes = tables @ (1 << np.arange(2 ** (n // 2)))
    equal = np.mean([len(set(row)) < len(row) for row in codes.tolist()])
    assert equal <= bound + 3 * math.sqrt(bound / 2000)


def test_no_lossy_message_beats_the_bound():
    """Two parts of four values each, and all messages of one bit: the answer is both parts."""
    maps = list(product(range(2), repeat=4))
    best = max(
        len({(a[x], b[y]) for x, y in product(range(4), repeat=2)}) for a in maps for b in maps
    )
    assert 1 - best / 16 >= (4 - 2 * 1 - 1) / 4
