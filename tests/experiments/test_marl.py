"""`neuromas bench-marl` against kills and torn files, its tables, and growth of tables."""

import json
import re

import numpy as np
import pytest
import scipy.stats
from support.paths import ROOT

from neuromas_env.agents.tables.growth import grow_table, nearest
from neuromas_env.agents.tables.play import play
from neuromas_env.cli import marl as command
from neuromas_env.cli.app import main
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.tasks import list_discrete_tasks
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.experiments import marl, marl_report

SOME = {"GRPO": marl.ALGORITHMS["GRPO"], "COMA": marl.ALGORITHMS["COMA"]}
LEVELS = {name: marl.LEVELS[name] for name in ("xor-easy-v0", "lewis-easy-v0")}


@pytest.fixture
def small(monkeypatch):
    for module in (marl, marl_report):
        monkeypatch.setattr(module, "LEVELS", LEVELS)
        monkeypatch.setattr(module, "CHAINS", {"xor": ("2-1", "2-2-1")})
    some = SOME | {marl.GROWN_BY: marl.ALGORITHMS[marl.GROWN_BY]}
    monkeypatch.setattr(marl, "ALGORITHMS", some)
    monkeypatch.setattr(marl_report, "ALGORITHMS", some)
    monkeypatch.setattr(command, "QUICK", (2, 2, 3))


def bench_marl(*args):
    with pytest.raises(SystemExit) as end:
        main(["bench-marl", *map(str, args)])
    return end.value.code


def records(folder):
    lines = (folder / marl.FILE).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_a_killed_benchmark_goes_on_and_ends_the_same(small, tmp_path, monkeypatch, capsys):
    assert bench_marl("--quick", "--out", tmp_path / "whole") == 0
    printed = capsys.readouterr().out
    whole = records(tmp_path / "whole")
    # Two seeds of three algorithms on two levels, and of growth from four starts.
    assert len(whole) == len({record["key"] for record in whole}) == 2 * (3 * 2 + 4)

    calls = []

    def stop(job):
        calls.append(job)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return done_by(job)

    done_by = marl.run
    monkeypatch.setattr(command, "run", stop)
    assert bench_marl("--quick", "--out", tmp_path / "cut") == 130
    assert "give the command again" in capsys.readouterr().err
    assert records(tmp_path / "cut") == whole[:5]
    with (tmp_path / "cut" / marl.FILE).open("a") as file:
        file.write('{"kind": "level", "meth')
    monkeypatch.setattr(command, "run", done_by)
    assert bench_marl("--quick", "--out", tmp_path / "cut") == 0
    assert records(tmp_path / "cut") == whole
    report = (tmp_path / "cut" / "report.md").read_text()
    assert "| GRPO | " in report and "`neuromas bench-marl --quick`" in printed
    assert (tmp_path / "cut" / "marl-curves.svg").read_text().startswith("<?xml")
    for link in re.findall(r"\]\((.*?)\)", report):
        assert (tmp_path / "cut" / link).is_file()
    rows = (tmp_path / "cut" / "marl-levels.csv").read_text().splitlines()
    assert rows[0] == "algorithm,level,mean,low,high,seeds" and len(rows) == 1 + 3 * 2


def test_the_settings_are_printed_with_the_defaults_that_count():
    table = marl_report.settings_table()
    for row in (
        "| REINFORCE, leave-one-out | 0.3 | 0.01 |  | 1 |  |  |  | credit leave_one_out |",
        "| IPPO | 0.3 | 0.01 |  | 4 | 0.2 | 0.2 |  | credit own |",
        "| MAPPO | 0.1 | 0.01 |  | 4 | 0.2 | 0.01 | 1 | credit central |",
        "| hysteretic IQL | 0.1 |  | 0.3 |  |  |  |  | negative 0.2 |",
    ):
        assert row in table


def test_what_the_example_scripts_print_is_reported_too(small, tmp_path, capsys):
    line = {"trainer": "QMIX", "level": "xor-easy-v0", "steps": 2000, "normalised": 1.0}
    lines = [line | {"seed": 1}, line | {"seed": 0, "normalised": 0.5}]
    others = tmp_path / marl_report.TRAINERS
    others.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert bench_marl("--quick", "--seeds", 1, "--out", tmp_path) == 0
    report = (tmp_path / "report.md").read_text()
    assert "| trainer | `xor-easy-v0` | steps |" in report
    assert "| QMIX | 0.75 (0.50, 1.00) | 2,000 |" in report
    others.write_text('{"trainer": "QMIX"}\n')
    assert bench_marl("--quick", "--seeds", 1, "--out", tmp_path) == 2
    assert "trainers.jsonl, line 1: not what a script" in capsys.readouterr().err


def test_broken_lines_and_two_at_a_time_are_refused(small, tmp_path, capsys):
    path = tmp_path / marl.FILE
    path.write_text('{"key": "a"}\nnonsense\n')
    assert bench_marl("--quick", "--out", tmp_path) == 2
    assert "runs.jsonl, line 2: no record of a run" in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert path.read_text() == '{"key": "a"}\nnonsense\n'
    with marl.store(tmp_path / "other"), pytest.raises(InputError, match="another process"):
        with marl.store(tmp_path / "other"):
            pass


def test_a_changed_setting_is_another_run(monkeypatch):
    job = marl.Job("level", "GRPO", "xor-easy-v0", 0, 10)
    key = job.key()
    assert key == marl.Job("level", "GRPO", "xor-easy-v0", 0, 10).key()
    assert key != marl.Job("level", "GRPO", "xor-easy-v0", 1, 10).key()
    assert key != marl.Job("level", "GRPO", "xor-easy-v0", 0, 20).key()
    monkeypatch.setitem(marl.ALGORITHMS, "GRPO", marl.ALGORITHMS["GRPO"] | {"rate": 0.1})
    assert key != job.key()


def test_the_full_table_is_as_large_as_it_says():
    todo = marl.jobs(*command.FULL)
    levels = [job for job in todo if job.kind == "level"]
    assert len({job.method for job in levels}) >= 5
    assert len({job.problem for job in levels}) >= 8
    assert {job.seed for job in levels} == set(range(10))
    assert {job.seed for job in todo if job.kind == "growth"} == set(range(30))
    assert len({job.key() for job in todo}) == len(todo)


def test_growth_has_its_own_number_of_seeds(small, tmp_path):
    def seeds(*args):
        assert bench_marl("--quick", "--out", tmp_path, *args) == 0
        report = (tmp_path / "report.md").read_text()
        return re.search(r"seeds of the levels (.*?), of growth (.*?),", report).groups()

    assert seeds("--seeds", 1) == ("0 to 0", "0 to 0")
    assert seeds("--seeds", 1, "--growth-seeds", 3) == ("0 to 0", "0 to 2")


def test_comparisons_without_any_difference_do_not_dilute_the_others(monkeypatch):
    monkeypatch.setattr(marl_report, "CHAINS", {"xor": ("2-1", "2-2-1")})
    scores = {"scratch": [0.0] * 8, "zero": [1.0] * 8, "copy": [0.0] * 8, "noise": [0.0] * 8}
    table = marl_report.growth_table(
        [
            {"method": start, "problem": "xor", "seed": seed, "normalised": score}
            for start, found in scores.items()
            for seed, score in enumerate(found)
        ]
    )
    # Alone in its family: 2 of the 256 sign patterns are as extreme, 0.0078, not 3 times that.
    assert "1.00 (+1.00 [+0.26, +1.00], p 0.0078)" in table
    assert table.count("0.00 (no difference)") == 2


def test_the_interquartile_mean_and_its_interval():
    rng = np.random.default_rng(0)
    tasks = [rng.normal(level, 0.1, 40) for level in (0.2, 0.5, 0.8)]
    value, low, high = marl_report.iqm_interval(tasks)
    middle = np.sort(np.concatenate(tasks))[30:90]
    assert np.isclose(value, middle.mean()) and low < value < high < low + 0.15
    assert marl_report.iqm_interval([np.array([0.3])])[0] == 0.3


def test_a_mean_over_runs_has_students_interval_and_p():
    runs = np.random.default_rng(0).normal(0.3, 0.2, 8)
    value, low, high = marl_report.mean_interval(runs)
    expected = scipy.stats.ttest_1samp(runs, 0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()))
    assert marl_report.over_runs(runs).p() == pytest.approx(expected.pvalue)
    assert value == pytest.approx(runs.mean())
    assert np.isnan(marl_report.mean_interval(runs[:1])[1])


def test_training_learns_and_records_its_curve(monkeypatch):
    record = marl.run(marl.Job("level", "IQL", "xor-easy-v0", 0, 80))
    assert record["return"] == record["normalised"] == record["curve"][-1][1] == 1.0
    episodes = [point[0] for point in record["curve"]]
    assert episodes == sorted(set(episodes)) and episodes[-1] == 80 * 512
    monkeypatch.setattr(marl, "CHAINS", {"xor": ("2-1", "2-2-1", "2-2-2-1")})
    grown = marl.run(marl.Job("growth", "zero", "xor", 0, 91))
    assert grown["curve"][-1][0] == 91 * 512 and grown["normalised"] == 1.0


def answers(layout, table):
    parts, query = layout.task.every()
    network = VectorNetwork(
        layout.task, layout.topology, layout.codebook, layout.bandwidth, batch=parts.shape[1]
    )
    network.reset(questions=(parts, query))
    return play(network, lambda seen: table.argmax(1)[seen]).sent[-1]


WIDER = [
    ("xor", "2-1", "4-1"),
    ("routing:leaves=2,values=3", "2-1-1", "3-2-1"),
    ("lewis:objects=5,candidates=3", "1-1", "3-1"),
    ("modsum:parts=2,modulus=3", "2-2-1", "3-4-1"),
    ("modsum:parts=2,modulus=3", "2-1", "2-1"),
    ("xor", "2-1-1:skip", "3-1-1:skip"),
    ("routing:leaves=2,values=3", "2-1-1:skip", "3-2-1:skip"),
]


@pytest.mark.parametrize(("task", "small", "large"), WIDER)
@pytest.mark.parametrize("init", ["zero", "copy", "noise"])
def test_a_network_that_grows_wider_answers_as_before(task, small, large, init):
    old, new = make_layout(task, small), make_layout(task, large)
    rng, before = np.random.default_rng(0), np.zeros(1)
    while len(set(before.tolist())) == 1:  # a constant answer would show nothing
        table = rng.normal(size=(sum(old.sizes), old.messages))
        before = answers(old, table)
    grown = grow_table(old, new, table, init=init)
    assert grown.shape == (sum(new.sizes), new.messages)
    assert np.array_equal(answers(new, grown), before)


def test_a_reader_follows_the_heirs_of_its_sources():
    old, new = (
        make_layout("modsum:parts=2,modulus=3", "2-1"),
        make_layout("modsum:parts=2,modulus=3", "3-1"),
    )
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    mapping = {"node_0": "node_2", "node_1": "node_0", "node_2": "node_3"}
    grown = grow_table(old, new, table, mapping=mapping)
    # Rows by messages, 0 for none yet: `[first, second]` and `[first, second, third]`.
    before = table[old.offsets[2] :].reshape(4, 4, 3)
    after = grown[new.offsets[3] :].reshape(4, 4, 4, 3)
    for first, second, third in np.ndindex(4, 4, 4):
        assert np.array_equal(after[first, second, third], before[third, first])


def test_a_network_that_grows_deeper_answers_as_before_when_new_nodes_pass_on():
    old, new = make_layout("relay:values=3", "1-1"), make_layout("relay:values=3", "1-1-1")
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    grown = grow_table(old, new, table)
    middle = slice(new.offsets[1], new.offsets[1] + new.sizes[1])
    assert not grown[middle].any()
    grown[middle][1:] = np.eye(3)  # row 0 is for no message yet
    assert np.array_equal(answers(old, table), answers(new, grown))


def test_new_nodes_start_uniform_copied_or_random():
    old, new = make_layout("xor", "2-1"), make_layout("xor", "4-1")
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 2))
    rows = slice(new.offsets[3], new.offsets[3] + 2)
    assert not grow_table(old, new, table, init="zero")[rows].any()
    assert np.array_equal(grow_table(old, new, table, init="copy")[rows], table[2:4])
    noise = grow_table(old, new, table, init="noise", seed=1)[rows]
    assert noise.all() and not np.array_equal(
        noise, grow_table(old, new, table, init="noise", seed=2)[rows]
    )
    swapped = grow_table(old, new, table, mapping={"node_0": "node_3", "node_2": "node_4"})
    assert np.array_equal(swapped[rows], table[0:2])
    assert nearest(new.topology, "node_3", ("node_0", "node_1", "node_4")) == "node_1"


def test_growth_refuses_what_does_not_fit():
    old, new = make_layout("xor", "2-1"), make_layout("xor", "3-1", 3)
    table = np.zeros((sum(old.sizes), 2))
    with pytest.raises(InputError, match="on its own task and code book only"):
        grow_table(old, new, table)
    with pytest.raises(InputError, match="unknown initialisation 'zeros'. Did you mean 'zero'"):
        grow_table(old, make_layout("xor", "3-1"), table, init="zeros")
    with pytest.raises(InputError, match="cannot grow"):
        grow_table(make_layout("xor", "3-1"), old, table)


def test_the_page_shows_the_levels_as_they_are_and_its_code_runs(capsys):
    page = ROOT.joinpath("docs", "marl.md").read_text()
    assert marl_report.level_table() in page
    assert all(f"| `{name}` | {what} |" in page for name, what in list_discrete_tasks().items())
    for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(block, {"__name__": "docs"})
    assert capsys.readouterr().out == "1.0\n"
