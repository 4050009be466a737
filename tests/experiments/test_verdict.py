"""Verdicts on constructed data, the choice of learning rates, votes, ablations and probes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env.bench.statistics import Estimand, estimate
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.tasks import make_discrete_task
from neuromas_env.errors import InputError
from neuromas_env.experiments import answers
from neuromas_env.experiments.backends import tables
from neuromas_env.experiments.curves import band
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.probes import (
    message_agreement,
    message_entropy,
    table_similarity,
)
from neuromas_env.experiments.rates import choose
from neuromas_env.experiments.spec import Arm, Claim, Study
from neuromas_env.experiments.verdict import (
    ALL,
    FAILS,
    HOLDS,
    OPEN,
    Scores,
    judge,
    overall,
    parts_of_gain,
)


def scores(share, n=80, seeds=5, parsed=1.0, seed=0):
    """0/1 scores of about a share, on replies of which about a share can be read."""
    rng = np.random.default_rng(seed)
    read = rng.random((n, seeds)) < parsed
    right = read & (rng.random((n, seeds)) < share)
    return Scores(right.astype(float), right.astype(float), read.astype(float))


def study(*claims, tasks=("t",), kind="language"):
    return Study("s", kind, tasks, 5, (0.1,), {}, claims)


def verdict(better, than, kind="language", **options):
    one = study(Claim("a", "b", **options), kind=kind)
    findings = judge(one, {("a", "t"): better, ("b", "t"): than})
    assert overall(findings) == findings[0].verdict
    return findings[0].verdict


def test_the_difference_is_held_against_the_margin():
    assert verdict(scores(0.8), scores(0.5, seed=1)) == HOLDS
    assert verdict(scores(0.5), scores(0.8, seed=1)) == FAILS
    assert verdict(scores(0.5, n=20), scores(0.5, n=20, seed=1)) == OPEN
    # A true difference of five points, seen for sure, is one of two points and none of ten.
    better, than = scores(0.55, n=20_000), scores(0.5, n=20_000, seed=1)
    assert verdict(better, than, margin=0.02) == HOLDS
    assert verdict(better, than, margin=0.1) == FAILS


def test_not_worse_holds_where_better_does_not():
    better, than = scores(0.5, n=2000), scores(0.5, n=2000, seed=1)
    assert verdict(better, than, margin=0.05) == FAILS
    assert verdict(better, than, margin=0.05, test="not_worse") == HOLDS
    worse, than_few = scores(0.4, n=2000), scores(0.5, n=300, seed=1)
    assert verdict(worse, than, margin=0.05, test="not_worse") == FAILS
    assert verdict(scores(0.44, n=300), than_few, margin=0.05, test="not_worse") == OPEN


def test_equal_answers_and_one_seed_decide_nothing():
    same = scores(0.5)
    assert verdict(same, same) == OPEN
    assert verdict(scores(0.9, seeds=1), scores(0.2, seeds=1, seed=1)) == OPEN
    assert verdict(scores(1.0, n=1), scores(0.0, n=1)) == OPEN


def test_what_is_said_of_new_trainings_needs_runs_that_agree():
    """Of ten seeds three are much better and seven a little worse."""
    than = np.zeros((400, 10))
    than[:40] = 1
    better = than.copy()
    better[100:, :3] = 1
    better[:4, 3:] = 0
    for kind in ("language", "discrete"):
        assert verdict(Scores(*[better] * 3), Scores(*[than] * 3), kind) == OPEN
    better[100:] = 1
    better[100, ::2] = 0
    for kind in ("language", "discrete"):
        found = Scores(*[better[:, :5]] * 3), Scores(*[than[:, :5]] * 3)
        assert verdict(*found, kind) == HOLDS


def test_the_questions_of_discrete_networks_are_all_that_there_are():
    """A difference on few questions, the same in every run but for some answers."""
    than = np.zeros((12, 6))
    better = than.copy()
    better[:2] = 1
    better[2, ::2] = 1
    found = Scores(*[better] * 3), Scores(*[than] * 3)
    assert verdict(*found, kind="discrete") == HOLDS and verdict(*found) == OPEN


def test_unpaired_runs_do_not_depend_on_their_order():
    luck = 0.2 * np.arange(5) - 0.4
    rng = np.random.default_rng(0)
    better, than = (
        Scores(*[(rng.random((300, 5)) < share + luck).astype(float)] * 3) for share in (0.55, 0.45)
    )
    turned = Scores(*[than.extracted[:, ::-1]] * 3)
    assert verdict(better, than) == HOLDS and verdict(better, turned) == OPEN
    assert verdict(better, than, seeds="unpaired") == OPEN


def test_the_untrained_networks_own_drop_is_subtracted():
    found = {("a", "t"): scores(0.8), ("b", "t"): scores(0.4, seed=1),
             ("c", "t"): scores(0.6, seed=2), ("d", "t"): scores(0.2, seed=3)}  # fmt: skip
    [plain] = judge(study(Claim("a", "b")), found)
    [less] = judge(study(Claim("a", "b", minus=("c", "d"))), found)
    assert plain.verdict == HOLDS and less.verdict == OPEN
    drops = [found[one, "t"].extracted.mean() for one in "abcd"]
    assert less.found.difference == pytest.approx(drops[0] - drops[1] - drops[2] + drops[3])
    # Arms of one run stay together where runs are unpaired.
    arms = {
        "a": Arm("a", "train", {}), "b": Arm("b", "ablate", {}, "a"),
        "c": Arm("c", "train", {}), "d": Arm("d", "ablate", {}, "c"),
    }  # fmt: skip
    one = study(Claim("a", "b", minus=("c", "d"), seeds="unpaired"))
    parts = judge(replace(one, arms=arms), found)[0].found.estimate
    drops = [found[x, "t"].extracted - found[y, "t"].extracted for x, y in ("ab", "cd")]
    expected = estimate([drops[0], -drops[1]], Estimand.TRAINING, (-2, 2))
    assert parts.error == pytest.approx(expected.error)
    assert parts.bounds() == pytest.approx(expected.bounds())


@settings(max_examples=25)
@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.integers(0, 99))
def test_of_two_opposite_claims_at_most_one_holds(one, other, seed):
    a, b = scores(one, 30, 3, seed=seed), scores(other, 30, 3, seed=seed + 1)
    assert (verdict(a, b), verdict(b, a)) != (HOLDS, HOLDS)


def test_every_deciding_comparison_counts_and_others_do_not():
    found = {("a", "t"): scores(0.8), ("b", "t"): scores(0.5, seed=1),
             ("c", "t"): scores(0.95, seed=2), ("d", "t"): scores(0.8, seed=3)}  # fmt: skip
    holds, fails, undecided = Claim("a", "b"), Claim("a", "c"), Claim("a", "d")
    others = Claim("a", "c", decides=False)
    assert overall(judge(study(holds, others), found)) == HOLDS
    assert overall(judge(study(holds, fails), found)) == FAILS
    assert overall(judge(study(holds, undecided), found)) == OPEN
    assert overall(judge(study(undecided, fails), found)) == FAILS
    assert overall([]) == OPEN


def test_what_must_all_hold_is_not_corrected_and_what_any_refutes_is():
    found = {("a", "t"): scores(0.6, 60), ("b", "t"): scores(0.5, 60, seed=1)}
    [one] = judge(study(Claim("a", "b")), found)
    nine = judge(study(*[Claim("a", "b")] * 9), found)
    assert {each.p for each in nine} == {one.p}
    assert all(each.p_not == min(1, 9 * each.found.estimate.p_below(0.02, cautious=True))
               for each in nine)  # fmt: skip
    assert nine[0].detectable > one.detectable > 0.02


def test_all_questions_of_several_tasks_decide_together():
    found = {
        ("a", "t"): scores(0.9),
        ("b", "t"): scores(0.5, seed=1),
        ("a", "u"): scores(0.5, n=20, seed=2),
        ("b", "u"): scores(0.5, n=20, seed=3),
    }
    findings = judge(study(Claim("a", "b"), tasks=("t", "u")), found)
    assert [one.task for one in findings] == ["t", "u", ALL]
    assert [one.verdict for one in findings] == [HOLDS, OPEN, HOLDS]
    assert [one.decides for one in findings] == [False, False, True]
    assert findings[-1].found.n == 100 and findings[-1].family == 1
    assert overall(findings) == HOLDS


def test_form_and_answers_are_told_apart():
    before, after = scores(0.5, parsed=0.4), scores(0.5, parsed=1.0, seed=1)
    assert verdict(after, before) == HOLDS
    assert verdict(after, before, score="parsed") == HOLDS
    assert verdict(after, before, score="not_wrong") != HOLDS
    form, better = parts_of_gain(after, before)
    gain = after.extracted.mean() - before.extracted.mean()
    assert form + better == pytest.approx(gain)
    assert form > 0.25 and abs(better) < 0.06


def test_the_best_rate_on_validation_is_chosen_the_smaller_of_equals():
    assert choose({0.1: [0.5, 0.7], 0.3: [0.9, 0.2]}) == 0.1
    assert choose({0.3: [0.5], 0.1: [0.5]}) == 0.1
    assert choose({0.3: [0.6], 0.1: [0.5]}) == 0.3
    with pytest.raises(InputError, match="validation scores of every rate"):
        choose({0.1: []})


def test_the_halves_share_no_question_and_leave_none_out():
    task = make_discrete_task("routing:leaves=2,values=4")
    validation, test = tables.halves(task)
    assert sorted([*validation, *test]) == list(range(task.questions()))
    assert len(answers.examples(task.name)) == len(test)


def test_a_discrete_network_learns_and_a_table_of_few_rows_cannot():
    options = {"topology": "1", "updates": 60}
    free = tables.train(DiscreteOptions.from_mapping(options), "routing:leaves=2,values=4", 0, 0.3)
    tight = tables.train(
        DiscreteOptions.from_mapping(options | {"parameters_of": "1"}), "relay:values=4", 0, 0.3
    )
    test = tables.halves(free.layout.task)[1]
    assert tables.greedy(free.layout, free.table, test).mean() > 0.9
    assert free.parameters == 32 * 4 and tight.parameters == 16
    assert free.counters == {
        "updates": 60, "questions": 60 * 64, "episodes": 60 * 512, "calls": 60 * 512,
        "tokens": 60 * 512,
    }  # fmt: skip
    few = DiscreteOptions.from_mapping({"topology": "1", "parameters_of": "1-1", "updates": 1})
    assert tables.train(few, "relay:values=4", 0, 0.3).parameters == 16
    few = DiscreteOptions.from_mapping({"topology": "1", "parameters_of": "tree-4", "updates": 60})
    held = tables.train(few, "routing:leaves=4,values=4", 0, 0.1)
    assert held.parameters == 316 * 4
    assert tables.greedy(held.layout, held.table, test).mean() < 0.9


def test_shared_tables_and_starts():
    run = {"topology": "tree-4", "updates": 0}
    plain, shared = (
        tables.train(DiscreteOptions.from_mapping(run | more), "routing:leaves=4,values=4", 0, 0.1)
        for more in ({}, {"shared": True})
    )
    assert plain.parameters == 1264 and shared.parameters == 416
    told = tables.train(
        DiscreteOptions.from_mapping({"topology": "1-1", "updates": 0, "start": "repeat"}),
        "relay:values=4", 0, 0.1,
    )  # fmt: skip
    rows = np.arange(4)
    assert tables.greedy(told.layout, told.table, rows).mean() == 1.0
    once, again = (
        tables.train(
            DiscreteOptions.from_mapping({"topology": "2-1", "updates": 0, "start": "noise"}),
            "xor", s, 0.1,
        ).table
        for s in (0, 1)
    )  # fmt: skip
    assert (once != again).any()


def test_growing_spends_the_updates_on_all_networks():
    options = DiscreteOptions.from_mapping({"schedule": "2-1:6, 2-2-1:4"})
    grown = tables.train(options, "xor", 0, 0.1)
    assert grown.layout.topology.name == "2-2-1"
    assert grown.counters["updates"] == 10
    assert grown.counters["calls"] == 512 * (6 * 3 + 4 * 5)
    assert [x for x, _ in grown.curve] == [64 * (i + 1) for i in range(10)]


def relay():
    layout = make_layout("relay:values=4", "1-1")
    options = DiscreteOptions.from_mapping({"topology": "1-1", "updates": 0, "start": "repeat"})
    return layout, tables.train(options, "relay:values=4", 0, 0.1).table


def test_answers_do_not_depend_on_the_chunk_and_votes_cost_what_they_take():
    layout, table = relay()
    whole = answers.answer(layout, table, np.array([0, 1]), seed=3, samples=5)
    parts = [answers.answer(layout, table, np.array([i]), seed=3, samples=5)[0] for i in (0, 1)]
    assert whole == parts
    assert [one.calls for one in whole] == [10, 10] and whole[0].completion_tokens == 10
    [greedy] = answers.answer(layout, table, np.array([1]))
    assert (greedy.calls, greedy.strict, greedy.reason) == (2, 1.0, "ok")
    assert answers.answer(layout, table, np.array([1]), seed=3, samples=40)[0].strict == 1.0


@pytest.mark.parametrize("how", ["blank", "shuffle", "base"])
def test_without_its_message_a_relay_is_lost(how):
    layout, table = relay()
    change = answers.ablation(layout, 0, how, seed=0)
    rows = np.arange(4)
    found = tables.messages(layout, lambda seen: table.argmax(1)[seen], rows, change)
    assert found[1].mean() < 1
    if how == "shuffle":
        assert sorted(found[0][0]) == [0, 1, 2, 3] and found[1].sum() == 0
    if how == "blank":
        assert found[0][0].tolist() == [0, 0, 0, 0] and found[1].sum() == 1


def test_nodes_that_swap_speak_with_one_anothers_table():
    """node_0 says its part, node_1 its own in a code that the output node expects of node_1."""
    layout, code = make_layout("modsum:parts=2,modulus=3", "2-1"), np.array([0, 2, 1])
    table = np.zeros((sum(layout.sizes), 3))
    table[[0, 1, 2], [0, 1, 2]] = table[[3, 4, 5], code] = 1
    for first, second in np.ndindex(3, 3):
        seen = 6 + 4 * (first + 1) + code[second] + 1
        table[seen, (first + second) % 3] = 1
    parts, rows = layout.task.every()[0], np.arange(9)

    def heard(table):
        return tables.messages(layout, lambda seen: table.argmax(1)[seen], rows)

    swapped = answers.swapped(layout, table, "node_0", "node_1")
    assert heard(table)[1].all() and heard(swapped)[1].mean() < 0.5
    assert np.array_equal(heard(swapped)[0][:2], [code[parts[0]], parts[1]])
    assert np.array_equal(answers.swapped(layout, swapped, "node_1", "node_0"), table)
    with pytest.raises(InputError, match="node_1 and node_2 must see the same sort"):
        answers.check_alike(layout, "node_1", "node_2")


def test_a_gain_by_form_alone_is_none_where_unread_replies_count_as_right():
    before = scores(0.5, parsed=0.4)
    # The same answers, and in place of replies that could not be read some that are right.
    more = (before.parsed == 0) & (np.random.default_rng(1).random(before.parsed.shape) < 0.7)
    right = before.extracted + more
    after = Scores(right, right, np.ones_like(right))
    assert (after.extracted - before.extracted).mean() > 0.3
    assert (after.not_wrong <= before.not_wrong).all()
    assert np.array_equal(after.not_wrong, after.extracted)


def test_messages_that_cannot_be_an_answer_are_not_readable():
    layout = make_layout("relay:values=4", "1", codebook=6)
    table = np.zeros((4, 6))
    table[:, 5] = 1
    assert {one.reason for one in answers.answer(layout, table, np.array([0, 1]))} == {"unparsable"}


def test_probes_by_hand():
    said = [{"node_0": "a", "node_1": "a"}, {"node_0": "a", "node_1": "b"}]
    assert message_agreement(said)["node_0"] == {"node_0": 1.0, "node_1": 0.5}
    assert message_entropy(said) == {"node_0": 0.0, "node_1": 1.0}
    layout = make_layout("xor", "2-1")
    table = np.zeros((sum(layout.sizes), 2))
    table[0], table[1] = [9, 0], [0, 9]  # node_0 says its bit
    table[2], table[3] = [0, 9], [9, 0]  # node_1 says the other one
    found = table_similarity(layout, table)
    assert found[0][1] == pytest.approx(-1) and found[0][0] == pytest.approx(1)
    assert found[0][2] is None and found[2][2] is None


def test_a_band_is_as_wide_as_the_runs_are_apart():
    runs = [[(x, x + shift) for x in range(40)] for shift in (0, 2)]
    where, mean, half = band(runs)
    assert len(where) == 20 and where[-1] == 39
    assert mean.tolist() == [2 * i + 1.5 for i in range(20)]
    assert half == pytest.approx(12.706, rel=1e-3)  # t with 1 degree of freedom
    assert band(runs[:1])[2].tolist() == [0.0] * 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"topolgy": "1"}, "Did you mean 'topology'"),
        ({"updates": -1}, "updates must be at least 0, got -1"),
        ({"questions": 0}, "questions must be at least 1, got 0"),
        ({"updates": "3"}, "updates must be a whole number, got '3'"),
        ({"learner": "grpo"}, "unknown algorithm 'grpo'"),
        ({"schedule": "2-1"}, "as in '1:10, 2-1:10', got '2-1'"),
        ({"schedule": "2-2-1:1, 2-1:1"}, "2-1"),
        ({"shaping": "lenght=1"}, "Did you mean 'length'"),
        ({"learner": "VDN", "credit": "leave_one_node_out"}, "VDN, which is no policy gradient"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(InputError, match=said):
        DiscreteOptions.from_mapping(options)
