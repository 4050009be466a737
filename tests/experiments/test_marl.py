"""The table of MARL algorithms: chosen, killed and gone on with, and what its report says."""

import csv
import json
import re

import numpy as np
import pytest
import scipy.stats
from support.paths import ROOT

from neuromas_env.agents.tables import registry
from neuromas_env.agents.tables.registry import ALGORITHMS, list_algorithms
from neuromas_env.cli.app import main
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.discrete.tasks import list_discrete_tasks
from neuromas_env.errors import InputError
from neuromas_env.experiments import marl_experiment, table_report
from neuromas_env.experiments.backends import discrete, tables
from neuromas_env.experiments.backends.discrete import Discrete
from neuromas_env.experiments.load import load
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.study import Running
from neuromas_env.experiments.verify import remake
from neuromas_env.progress import Reporter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SOME = (
    "--updates", 3, "--levels", "xor-easy-v0,lewis-easy-v0",
    "--algorithms", "GRPO,COMA,REINFORCE, leave-one-out",
)  # fmt: skip


def bench_marl(*args):
    with pytest.raises(SystemExit) as end:
        main(["bench-marl", "--quick", *map(str, args)])
    return end.value.code


def results(folder):
    """What every run has reached, by its folder, but for the time that it took."""
    found = {}
    for file in sorted(folder.rglob("result.json")):
        held = {k: v for k, v in json.loads(file.read_text()).items() if k != "seconds"}
        found[str(file.parent.relative_to(folder))] = held
    return found


@pytest.mark.parametrize("text", ["", ","])
def test_no_name_is_not_all_names(text, tmp_path, capsys):
    assert bench_marl("--algorithms", text, "--out", tmp_path / "out") == 2
    assert "--algorithms must have at least one name" in capsys.readouterr().err


def test_a_killed_table_goes_on_and_ends_the_same(tmp_path, monkeypatch, capsys):
    assert bench_marl(*SOME, "--out", tmp_path / "whole") == 0
    printed = capsys.readouterr().out
    whole = results(tmp_path / "whole")
    assert len(whole) == 2 * 3 * 2  # seeds, algorithms, levels; growth is left out

    trained, calls = tables.train, []

    def stop(*args):
        calls.append(args)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return trained(*args)

    monkeypatch.setattr(tables, "train", stop)
    assert bench_marl(*SOME, "--out", tmp_path / "cut") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(results(tmp_path / "cut")) == 5
    monkeypatch.setattr(tables, "train", trained)
    assert bench_marl(*SOME, "--out", tmp_path / "cut") == 0
    assert results(tmp_path / "cut") == whole
    report = (tmp_path / "cut" / "report.md").read_text()
    assert "| GRPO | " in report and "| GRPO | " in printed
    assert "| neuromas bench-marl --quick" in (tmp_path / "cut" / "log.md").read_text()
    assert (tmp_path / "cut" / "marl-levels.svg").read_text().startswith("<?xml")
    for link in re.findall(r"\]\((.*?)\)", report):
        assert (tmp_path / "cut" / link).is_file()
    rows = (tmp_path / "cut" / "marl-levels.csv").read_text().splitlines()
    assert rows[0] == "algorithm,level,mean,low,high,seeds" and len(rows) == 1 + 3 * 2
    assert remake(tmp_path / "cut").read_text() == report  # of the chosen levels alone


def test_more_of_everything_may_be_added_to_a_folder_and_a_changed_setting_is_another_run(tmp_path):
    def runs(*args):
        assert bench_marl("--out", tmp_path, *args) == 0
        return set(results(tmp_path))

    one = ("--levels", "xor-easy-v0", "--seeds", 1, "--updates")
    first = runs("--algorithms", "IQL", *one, 2)
    assert len(first) == 1
    second = runs("--algorithms", "IQL,VDN", *one, 2)
    assert first < second and len(second) == 2
    third = runs("--algorithms", "IQL:rate=0.2,VDN", *one, 2)
    assert second < third and len(third) == 3
    assert len(runs("--algorithms", "IQL", *one, 3) - third) == 1


def test_a_changed_default_of_an_algorithm_is_another_run(tmp_path, monkeypatch):
    def folder():
        [study] = marl_experiment(
            "quick", algorithms=["IQL"], levels=["xor-easy-v0"], seeds=1
        ).studies
        running = Running(study, Discrete(study), tmp_path, Reporter())
        return running.path(running.runs()[0])

    before = folder()
    assert before == folder() and before.parts[-2:] == ("xor-easy-v0", "seed_0")
    monkeypatch.setattr(registry, "iql", registry.vdn)
    assert folder() != before


def test_two_at_a_time_are_refused(tmp_path, monkeypatch, capsys):
    chosen = marl_experiment(
        "quick", algorithms=["IQL"], levels=["xor-easy-v0"], updates=1, seeds=1
    )
    said = []

    def train(*args):
        with pytest.raises(InputError, match="another process") as refused:
            run_experiment(chosen, tmp_path)
        said.append(refused)
        raise KeyboardInterrupt

    monkeypatch.setattr(discrete.tables, "train", train)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(chosen, tmp_path)
    assert said


def test_the_full_table_is_as_large_as_it_says():
    levels, growth = marl_experiment().studies
    assert (levels.seeds, growth.seeds) == (10, 30)
    of_one_round = {name for name in LEVELS if not name.startswith("index")}
    assert set(levels.arms) == set(ALGORITHMS.built_in) and set(levels.tasks) == of_one_round
    assert all(arm.options["updates"] == 400 for arm in levels.arms.values())
    for arm in growth.arms.values():
        options = DiscreteOptions.from_mapping(arm.options)
        assert sum(updates for _, updates in options.layouts(arm.tasks[0])) == 600
    assert len(growth.claims) == 15 and not any(claim.decides for claim in growth.claims)
    assert load("marl").studies == (levels, growth)


def test_growth_has_its_own_seeds_and_updates():
    def said(**options):
        studies = {study.name: study for study in marl_experiment("quick", **options).studies}
        return {name: study.seeds for name, study in studies.items()}, studies

    assert said(seeds=1)[0] == {"levels": 1, "growth": 1}
    assert said(seeds=1, growth_seeds=3)[0] == {"levels": 1, "growth": 3}
    assert said(algorithms=["IQL"])[0] == {"levels": 2}
    seeds, studies = said(levels=["xor-easy-v0"], growth_seeds=3, updates=41)
    assert seeds == {"levels": 2, "growth": 3}
    arm = studies["growth"].arms["relay, zero"]
    assert arm.options["schedule"] == "1-1:20, 1-1-1:20, 1-1-1-1:21"


THEIRS = """
import numpy as np

class Same:
    def __init__(self, layout, *, seed, updates, message=0):
        self.layout, self.table = layout, np.zeros((sum(layout.sizes), layout.messages))
        self.table[:, message] = 1

    def act(self, seen, rng):
        return self.table.argmax(1)[seen]

    def update(self, batch):
        assert batch.seen.shape == batch.sent.shape and len(batch.rewards) == 512
"""


def test_an_algorithm_of_an_installed_package_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(THEIRS)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neuromas_env.algorithms]\nsame = theirs:Same\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "theirs" in list_algorithms()["same"]
    chosen = ("--algorithms", "same,same:message=1,IQL", "--levels", "relay-easy-v0")
    assert bench_marl(*chosen, "--updates", 2, "--out", tmp_path / "out") == 0
    with (tmp_path / "out" / "marl-levels.csv").open() as file:
        means = {row["algorithm"]: row["mean"] for row in csv.DictReader(file)}
    # One message answers one of four questions, as random ones do.
    assert means["same"] == means["same:message=1"] == "0.0000" and "IQL" in means


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--algorithms", "IQL, VDN"), "unknown algorithm 'IQL, VDN'"),
        (("--algorithms", "IQL:rte=1"), "Did you mean 'rate'"),
        (("--levels", "xor-esy-v0"), "Did you mean 'xor-easy-v0'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(tmp_path, capsys, args, said):
    assert bench_marl("--out", tmp_path / "out", *args) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_a_table_takes_trained_discrete_arms_alone(tmp_path):
    def write(part, kind="discrete"):
        (tmp_path / "experiment.yaml").write_text(
            json.dumps({"title": "Mine", "table": "it.", "scales": ["s"], "study": part})
        )
        (tmp_path / "scales.yaml").write_text(
            json.dumps({"s": {"study": {"kind": kind, "seeds": 1, "tasks": ["xor-easy-v0"]}}})
        )
        return load(tmp_path, "s")

    [study] = write({"arms": {"IQL": {"learner": "IQL"}}}).studies
    assert study.table and study.rates == () and not study.claims
    for part, kind, said in (
        ({"arms": {"a": {}}, "tasks": ["xor"], "options": {"stream": 0}}, "discrete", "at least 1"),
        ({"arms": {"a": {"topology": "1"}}}, "discrete", "has a network of its own"),
        (
            {"arms": {"a": {}, "v": {"vote": "a", "tokens_of": "a"}}},
            "discrete",
            "a table must have",
        ),
        ({"arms": {"a": {}}, "probes": "a"}, "discrete", "unknown key 'probes'"),
    ):
        with pytest.raises(InputError, match=said):
            write(part, kind)


def test_an_arm_is_compared_on_each_of_its_tasks(tmp_path):
    part = {
        "tasks": ["xor-easy-v0", "lewis-easy-v0"],
        "options": {"start": "own", "evaluated_on": "all", "updates": 2, "questions": 4},
        "arms": {"IQL": {"learner": "IQL"}, "VDN": {"learner": "VDN"}},
        "compare": [{"better": "IQL", "than": "VDN"}],
    }
    text = {"title": "Mine", "table": "it.", "scales": ["s"], "study": part}
    (tmp_path / "experiment.yaml").write_text(json.dumps(text))
    scales = {"s": {"study": {"kind": "discrete", "seeds": 2}}}
    (tmp_path / "scales.yaml").write_text(json.dumps(scales))
    page = run_experiment(load(tmp_path, "s"), tmp_path / "out").read_text()
    for task in part["tasks"]:
        assert f"| IQL ({task}) | VDN | " in page


def test_training_learns_and_records_its_curve():
    options = {"learner": "IQL", "updates": 80, "start": "own", "evaluated_on": "all"}
    done = tables.train(DiscreteOptions.from_mapping(options), "xor-easy-v0", 0, None)
    assert done.score == done.curve[-1][1] == 1.0
    questions = [point[0] for point in done.curve]
    assert questions == list(range(4 * 64, 81 * 64, 4 * 64))


def test_other_libraries_runs_are_reported_too(tmp_path, capsys):
    line = {"trainer": "QMIX", "level": "xor-easy-v0", "steps": 2000, "normalised": 1.0}
    lines = [line | {"seed": 1}, line | {"seed": 0, "normalised": 0.5}]
    others = tmp_path / table_report.TRAINERS
    others.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    small = ("--algorithms", "IQL", "--levels", "xor-easy-v0", "--updates", 1, "--seeds", 1)
    assert bench_marl(*small, "--out", tmp_path) == 0
    report = (tmp_path / "report.md").read_text()
    assert "| QMIX | xor-easy-v0 | 0.75 | 0.50, 1.00 | 2,000 |" in report
    others.write_text('{"trainer": "QMIX"}\n')
    assert bench_marl(*small, "--out", tmp_path) == 2
    assert "trainers.jsonl cannot be read: line 1: it must hold" in capsys.readouterr().err


def reached(scores):
    """A study of one task and what its arms have reached, made up."""
    tasks = dict.fromkeys(scores, ("relay:values=8",))
    study = next(study for study in marl_experiment("quick").studies if study.name == "growth")
    kept = {name: study.arms[name] for name in scores}
    claims = tuple(claim for claim in study.claims if {claim.better, claim.than} <= set(scores))
    running = Running(
        type(study)(**vars(study) | {"arms": kept, "claims": claims}), None, None, Reporter()
    )
    return running, table_report.Reached(
        {(arm, tasks[arm][0]): np.array(found) for arm, found in scores.items()}, {}, {}, 1, 1
    )


def test_comparisons_without_any_difference_do_not_dilute_the_others():
    gain = np.random.default_rng(0).normal(0.1, 0.2, 8)
    running, found = reached(
        {"relay, scratch": [0.5] * 8, "relay, zero": 0.5 + gain, "relay, copy": [0.5] * 8}
    )
    grid = table_report.differences(running, found)
    rows = {row[0]: row for row in grid.rows}
    assert rows["relay, copy"][2:4] == ("0.50", "0.50") and rows["relay, copy"][5:] == ("-", "-")
    expected = scipy.stats.ttest_1samp(gain, 0)
    # Alone in its family, so that Holm's correction changes nothing.
    assert rows["relay, zero"][5] == rows["relay, zero"][6] == f"{expected.pvalue:.3f}"
    low, high = expected.confidence_interval()
    assert rows["relay, zero"][4] == f"{gain.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def test_the_interquartile_mean_and_its_interval():
    rng = np.random.default_rng(0)
    tasks = [rng.normal(level, 0.1, 40) for level in (0.2, 0.5, 0.8)]
    value, low, high = table_report.iqm_interval(tasks)
    middle = np.sort(np.concatenate(tasks))[30:90]
    assert np.isclose(value, middle.mean()) and low < value < high < low + 0.15
    assert table_report.iqm_interval([np.array([0.3])])[0] == 0.3


def test_a_mean_over_runs_has_students_interval_and_p():
    runs = np.random.default_rng(0).normal(0.3, 0.2, 8)
    value, low, high = table_report.mean_interval(runs)
    expected = scipy.stats.ttest_1samp(runs, 0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()))
    assert table_report.over_runs(runs).p == pytest.approx(expected.pvalue)
    assert value == pytest.approx(runs.mean())
    assert np.isnan(table_report.mean_interval(runs[:1])[1])


def test_tables_have_eight_columns_at_most(tmp_path):
    few = ("--algorithms", "IQL", "--updates", 1, "--seeds", 1, "--growth-seeds", 1)
    assert bench_marl(*few, "--out", tmp_path) == 0
    report = (tmp_path / "report.md").read_text()
    widths = [line.count(" | ") + 1 for line in report.splitlines() if line.startswith("| ")]
    assert max(widths) == 7 and "## Growth" in report
    with (tmp_path / "marl-growth.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + 20


def test_the_page_shows_algorithms_levels_and_tasks_as_they_are():
    page = ROOT.joinpath("docs", "marl.md").read_text()
    for name, arguments in LEVELS.items():
        layout = make_layout(**arguments)
        known, power = layout.returns, f"^{layout.bandwidth}" if layout.bandwidth > 1 else ""
        row = (
            f"`{name}`", f"`{arguments['task']}`", f"`{arguments['topology']}`",
            f"{layout.codebook}{power}", layout.task.questions(),
            *(f"{one:.3f}" for one in (known.optimal, known.random, known.silent)),
        )  # fmt: skip
        assert f"| {' | '.join(map(str, row))} |" in page
    assert all(f"| `{name}` | {what} |" in page for name, what in list_discrete_tasks().items())
    built_in = list_algorithms()
    assert all(f"| `{name}` | {built_in[name]} |" in page for name in ALGORITHMS.built_in)
