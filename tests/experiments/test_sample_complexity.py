"""Sample complexity: when a return was reached, its rise with size, and what bounds leave open."""

import json
import re

import numpy as np
import pytest
import scipy.stats
import yaml

from neuromas_env.errors import InputError
from neuromas_env.experiments.backends import tables
from neuromas_env.experiments.load import load
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.sample_complexity import Measured, judge_slopes, reach
from neuromas_env.experiments.spec import HOME, SampleComplexity
from neuromas_env.experiments.verdict import FAILS, HOLDS, OPEN

pytestmark = pytest.mark.usefixtures("one_thread")
SIZES = [2, 4, 8]


def test_when_a_return_was_reached():
    curve = [(10, 0.2), (20, 0.9), (30, 0.4), (40, 0.8), (50, 0.8)]
    assert reach(curve, 0.8) == (20, False, False)
    assert reach(curve, 0.2) == (10, False, True)
    assert reach(curve, 0.95) == (50, True, False)
    # A single high point is not enough where the mean of several counts.
    assert reach(curve, 0.8, smooth=2) == (50, False, False)
    assert reach(curve, 0.55, smooth=2) == (20, False, True)
    assert reach(curve, 0.5, smooth=9) == (50, True, False)


def measured(rule, seeds=6, noise=0.1, seed=0):
    wobble = np.exp(noise * np.random.default_rng(seed).standard_normal((len(SIZES), seeds)))
    questions = np.array([rule(size) for size in SIZES], float)[:, None] * wobble
    none = np.zeros(questions.shape, bool)
    return Measured(questions, none.copy(), none.copy())


def claim(steeper="one", than="tree", **options):
    curves = {name: {size: f"{name} {size}" for size in SIZES} for name in ("tree", "one")}
    return SampleComplexity(curves, steeper, than, 0.5, **options)


def exponential(size):
    return 5 * 3.0**size


def power(size):
    return 40 * size**1.5


def test_lines_find_the_rule_that_made_them():
    found = {"tree": measured(power, noise=0), "one": measured(exponential, noise=0)}
    rise = judge_slopes(claim(), found)
    one, tree = rise.fits["one"]["exponential"], rise.fits["tree"]["power law"]
    assert one.slope == pytest.approx(np.log(3)) and np.exp(one.start) == pytest.approx(5)
    assert tree.slope == pytest.approx(1.5) and np.exp(tree.start) == pytest.approx(40)
    assert one.explained == pytest.approx(1) and tree.explained == pytest.approx(1)
    assert one.better == tree.better == 1
    assert rise.fits["one"]["power law"].better == rise.fits["tree"]["exponential"].better == 0
    assert rise.fits["one"]["power law"].explained < 0.99


def test_the_slopes_decide():
    found = {"tree": measured(power), "one": measured(exponential, seed=1)}
    rise = judge_slopes(claim(), found)
    low, high = rise.interval
    assert rise.verdict == HOLDS and 0.1 < low < rise.difference < high
    slopes = [
        np.polyfit(SIZES, np.log(found[name].questions), 1)[0] for name in ("one", "tree")
    ]  # fmt: skip
    expected = scipy.stats.ttest_1samp(slopes[0] - slopes[1], 0.1, alternative="greater")
    assert rise.p == pytest.approx(expected.pvalue) and rise.p_not == pytest.approx(1 - rise.p)
    # A difference that is there and smaller than the margin does not count.
    assert judge_slopes(claim(margin=2 * rise.difference), found).verdict == FAILS
    assert judge_slopes(claim("tree", "one"), found).verdict == FAILS
    # Of two alike neither is steeper, and with a margin as small as the noise that is not known.
    alike = {"tree": measured(power), "one": measured(power, seed=1)}
    assert judge_slopes(claim(margin=0.2), alike).verdict == FAILS
    assert judge_slopes(claim(margin=0.001), alike).verdict == OPEN
    # Of ten seeds four rise much faster and six a little slower.
    tree, mixed = (measured(power, seeds=10, noise=0) for _ in range(2))
    mixed.questions[:, :4] = measured(exponential, seeds=4, noise=0).questions
    mixed.questions[-1, 4:] *= 0.99
    rise = judge_slopes(claim(), {"tree": tree, "one": mixed})
    assert rise.difference > 0.1 and rise.verdict == OPEN
    # One run, or runs that are all alike, show no spread.
    for seeds in (1, 6):
        flat = {"tree": measured(power, seeds, 0), "one": measured(exponential, seeds, 0)}
        assert judge_slopes(claim(), flat).verdict == OPEN


def bounded(one, mask, size, seed=0):
    getattr(one, mask)[SIZES.index(size), seed] = True
    return one


@pytest.mark.parametrize(
    ("curve", "mask", "size", "verdict"),
    [
        ("one", "never", 8, HOLDS),  # it rises even faster than it was seen to
        ("one", "at_once", 2, HOLDS),
        ("one", "never", 2, OPEN),
        ("one", "at_once", 8, OPEN),
        ("tree", "never", 8, OPEN),  # it might rise as fast
        ("tree", "at_once", 2, OPEN),
        ("tree", "never", 2, HOLDS),
        ("tree", "at_once", 8, HOLDS),
    ],
)
def test_a_verdict_that_bounds_could_turn_is_not_given(curve, mask, size, verdict):
    found = {"tree": measured(power), "one": measured(exponential, seed=1)}
    bounded(found[curve], mask, size)
    assert judge_slopes(claim(), found).verdict == verdict
    # Turned around: what kept the one claim safe makes the opposite one unsafe, and the reverse.
    other = judge_slopes(claim("tree", "one"), found).verdict
    assert other == {HOLDS: FAILS, OPEN: OPEN}[verdict]


def test_a_relative_step_between_evaluations():
    run = {"topology": "1", "updates": 300, "questions": 2, "rollouts": 2}
    known = {
        how: [x for x, _ in tables.train(
            DiscreteOptions.from_mapping(run | {"evaluated": how}), "knockout:leaves=2", 0, 0.1
        ).curve]
        for how in ("evenly", "relatively")
    }  # fmt: skip
    assert known["evenly"] == list(range(30, 601, 30))
    often = np.array(known["relatively"])
    assert often[:40].tolist() == list(range(2, 82, 2)) and often[-1] == 600
    assert (np.diff(often) <= np.maximum(2, often[:-1] / 20)).all() and len(often) < 120


ARMS = {
    f"{name} {size}": {"topology": topology.format(size), "task": f"knockout:leaves={size}"}
    for name, topology in (("tree", "tree-{}"), ("one", "1"))
    for size in SIZES[:2] + [3]
}
CODED = {
    "options": {"updates": 40, "questions": 4, "rollouts": 4, "evaluated": "relatively"},
    "arms": ARMS,
    "compare": [{"better": "tree 4", "than": "one 4"}],
    "sample_complexity": {
        "curves": {
            name: {size: f"{name} {size}" for size in (2, 4, 3)} for name in ("tree", "one")
        },
        "steeper": "one", "than": "tree", "reach": 0.5, "over": "leaves",
    },
}  # fmt: skip
TEXT = {"title": "Mine", "claim": "It rises.", "refuted_if": "it does not.", "scales": ["mini"]}
SCALE = {"kind": "discrete", "seeds": 2, "pilots": 1, "rates": [0.03, 0.3], "tasks": ["relay"]}


NAMES = {"discrete": "coded", "language": "language"}


def write(folder, part, more=()):
    scale = SCALE | dict(more)
    folder.mkdir(exist_ok=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(TEXT | {scale["kind"]: part}))
    (folder / "scales.yaml").write_text(yaml.safe_dump({"mini": {NAMES[scale["kind"]]: scale}}))
    return folder


@pytest.mark.slow
def test_arms_have_tasks_of_their_own_and_the_report_shows_both_curves(tmp_path):
    experiment = load(write(tmp_path / "mine", CODED), "mini")
    [study] = experiment.studies
    assert {study.arms[name].tasks for name in ("tree 4", "one 4")} == {("knockout:leaves=4",)}
    assert "relay" not in study.tasks and len(study.tasks) == 3
    text = run_experiment(experiment, tmp_path / "out").read_text()
    # The slopes decide, the comparison does not.
    verdict = re.search(r"\| one rises faster than tree \|.*\| ([a-z ]+) \|$", text, re.M)[1]
    assert f"**Verdict.** coded: **{verdict}**. With 2 seeds this is a hint." in text
    assert "Exploratory comparisons" in text and "| tree 4 - one 4 |" in text
    assert "until the return is 50 % of the way from random to optimal" in text
    rows = re.findall(
        r"^\| (tree|one) \| (\d) \| (\S+) \| (\S+) \| (≥ |≤ )?([\d,]+) \\\[", text, re.M
    )
    assert [row[:2] for row in rows] == [(c, s) for c in ("one", "tree") for s in "234"]
    assert {row[2:4] for row in rows} == {("33.3", "66.7")}
    # By hand, from the runs' own curves.
    needed, never = [], 0
    for seed in (0, 1):
        held = json.loads((tmp_path / f"out/coded/one-4/seed_{seed}/result.json").read_text())
        there = [x for x, score in held["curve"] if score >= 2 / 3]
        needed.append(there[0] if there else 160)
        never += not there
    shown = next(row for row in rows if row[:2] == ("one", "4"))
    assert int(shown[5].replace(",", "")) == round(float(np.exp(np.log(needed).mean())))
    assert re.search(rf"^\| one \| 4 \|.*\| {never} of 2 \| 0 of 2 \|", text, re.M)
    for name in ("sample-complexity", "curves"):
        assert (tmp_path / "out" / f"mine-mini-coded-{name}.svg").read_text().startswith("<?xml")
    for form in ("exponential", "power law"):
        assert len(re.findall(rf"^\| (?:tree|one) \| {form} \|", text, re.M)) == 2
    assert not list((tmp_path / "out" / "coded").glob("tree-4/*leaves*"))  # one task, no folder


@pytest.mark.slow
def test_rates_are_chosen_by_the_whole_curve_where_sample_complexity_is_measured(tmp_path):
    run_experiment(load(write(tmp_path / "mine", CODED), "mini"), tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Learning-rate search: mean of the learning curve in %, pilot seeds: 1" in text
    for arm in ("one 2", "tree 4"):
        means = {}
        for rate in ("0.03", "0.3"):
            folder = tmp_path / "out/coded/pilots" / arm.replace(" ", "-") / f"rate_{rate}"
            held = json.loads((folder / "seed_1000" / "result.json").read_text())
            means[rate] = float(np.mean([score for _, score in held["curve"]]))
        chosen = max(means, key=lambda rate: (means[rate], -float(rate)))
        shown = [f"{100 * means[rate]:.1f}" for rate in ("0.03", "0.3")]
        assert f"| {arm} | {shown[0]} | {shown[1]} | {chosen} |" in text


@pytest.mark.slow
def test_a_folder_holds_the_keys_that_folders_have_had(tmp_path):
    part = {
        "options": {"updates": 1}, "arms": {"a": {"topology": "1"}, "b": {"topology": "1-1"}},
        "compare": [{"better": "a", "than": "b"}],
    }  # fmt: skip
    run_experiment(load(write(tmp_path / "mine", part), "mini"), tmp_path / "out")
    held = json.loads((tmp_path / "out" / "experiment.json").read_text())["study coded"]
    assert not {"need", "sample_complexity", "table"} & held.keys()
    assert held["kind"] == "coded" and held["tasks"] == ["relay"]
    assert held["arms"]["a"].keys() == {
        "name",
        "kind",
        "options",
        "source",
        "budget",
        "node",
        "how",
    }
    run_experiment(load(write(tmp_path / "sized", CODED), "mini"), tmp_path / "more")
    held = json.loads((tmp_path / "more" / "experiment.json").read_text())["study coded"]
    assert held["need"]["steeper"] == "one" and "sample_complexity" not in held


def test_a_language_task_without_a_known_guess_is_refused(tmp_path):
    part = {
        "arms": {
            f"{name}{size}": {"topology": topology, "task": f"signal:symbols={size}"}
            for name, topology in (("a", "1"), ("b", "1-1"))
            for size in (2, 3, 4)
        },
        "sample_complexity": {
            "curves": {name: {size: f"{name}{size}" for size in (2, 3, 4)} for name in "ab"},
            "steeper": "a", "than": "b", "reach": 0.5,
        },
    }  # fmt: skip
    folder = write(tmp_path / "mine", part, {"kind": "language", "model": "none"})
    experiment = load(folder, "mini")
    with pytest.raises(InputError, match="what a guess scores on signal.* is not known"):
        run_experiment(experiment, tmp_path / "out")


def curves(part):
    return part["sample_complexity"]["curves"]


def by_size(**changes):
    return lambda part: part["sample_complexity"].update(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["arms"]["tree 4"].update(task=4), "task must be a text or nothing, got 4"),
        (lambda p: p["arms"]["tree 2"].update(task="knockout:leafs=2"), "Did you mean 'leaves'"),
        (lambda p: p["arms"].update(v={"vote": "one 4", "tokens_of": "tree 4", "task": "xor"}),
         "unknown key 'task'"),
        (lambda p: p["arms"].update(v={"vote": "one 4", "tokens_of": "tree 2"}),
         "an arm of its tasks"),
        (lambda p: p["compare"].append({"better": "tree 4", "than": "one 2"}),
         "must have the tasks of 'tree 4'"),
        (by_size(curve={}), "unknown option 'curve'. Did you mean 'curves'"),
        (by_size(reach=None), "reach must be a number, got None"),
        (by_size(reach=1.5), "reach must be above 0 and at most 1, got 1.5"),
        (by_size(margin="x"), "margin must be a number, got 'x'"),
        (by_size(smooth=0), "smooth must be at least 1, got 0"),
        (by_size(steeper="on"), "unknown curve 'on'. Did you mean 'one'"),
        (by_size(steeper="tree"), "'tree' must be compared with another curve"),
        (by_size(curves=3), "curves must be a mapping, got 3"),
        (lambda p: curves(p)["one"].update({4: "one 5"}), "unknown arm 'one 5'"),
        (lambda p: curves(p)["one"].update({"x": "one 4"}),
         "each key of curves.one must be a whole number, got 'x'"),
        (lambda p: curves(p)["one"].pop(2), "the same on all curves"),
        (lambda p: [curve.pop(2) for curve in curves(p).values()], "three or more"),
        (lambda p: p["options"].update(evaluated="often"), "unknown value of evaluated"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_file(tmp_path, change, said):
    part = json.loads(json.dumps(CODED))
    part["sample_complexity"]["curves"] = {
        name: {int(size): arm for size, arm in points.items()}
        for name, points in part["sample_complexity"]["curves"].items()
    }
    change(part)
    with pytest.raises(InputError) as caught:
        load(write(tmp_path / "mine", part), "mini")
    assert said in str(caught.value) and "experiment.yaml" in str(caught.value)


def test_depth_gives_both_arms_of_a_size_the_same_task_and_training():
    assert (HOME / "depth" / "README.md").is_file()
    for study in load("depth").studies:
        curves = study.sample_complexity.curves
        assert study.sample_complexity.sizes == sorted(curves["tree"])
        for size in study.sample_complexity.sizes:
            tree, one = (study.arms[curves[curve][size]] for curve in ("tree", "one node"))
            assert tree.tasks == one.tasks and f"leaves={size}" in tree.tasks[0]
            for key in ("updates", "steps", "questions", "rollouts"):
                assert tree.options.get(key) == one.options.get(key)
