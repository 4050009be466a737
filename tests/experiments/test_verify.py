"""Published results are checked against their own transcripts."""

import lzma
import shutil
import sqlite3
import tarfile

import pytest
import yaml
from rich.console import Console
from support.bench_runs import run
from support.paths import ROOT, ROWS

from neuromas_env.bench.report import write_report
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.experiments import verify as module
from neuromas_env.experiments.load import load
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.verify import verify

RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small benchmark with its report."""
    folder = tmp_path_factory.mktemp("bench")
    run(folder, methods=("direct", "sc:k=3"), seeds=(0, 1))
    write_report(Console(quiet=True), folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "bench")


def change(folder, query):
    with sqlite3.connect(folder / "bench.sqlite") as db:
        db.execute(query)
    db.close()


def test_what_a_benchmark_has_stored_gives_its_scores_and_tables_again(folder):
    found = verify(folder, page=folder / "report.md")
    assert not found.faults and not found.moved and not found.skipped
    assert (found.stores, found.cells, found.same) == (1, 3, 30)
    table = (folder / "report.md").read_text().splitlines()
    assert found.rows == sum(line.startswith("|") for line in table) > 4


@pytest.mark.parametrize(
    "query, fault",
    [
        ("UPDATE answers SET extracted = 1 - extracted WHERE row = 3", "scored again as"),
        ("UPDATE answers SET answer = '7' WHERE row = 3", "not the last message"),
        ("UPDATE answers SET row_id = 'test/9' WHERE row = 3", "'test/9' is not there"),
        ("UPDATE answers SET row = 5000 WHERE row = 3", "'test/3' is not there"),
        ("UPDATE answers SET transcript = '[]' WHERE row = 3", "not the last message"),
        ("UPDATE cells SET settings = json_set(settings, '$.model', 'x')", "hash"),
        ("UPDATE cells SET seed = 7 WHERE seed = 1", "hash"),
        ("UPDATE questions SET target = '1' WHERE row_id = 'test/3'", "is not the task's"),
    ],
    ids=["score", "answer", "name", "row", "transcript", "settings", "seed", "question"],
)
def test_what_was_changed_is_a_fault(folder, query, fault):
    change(folder, query)
    found = verify(folder)
    assert found.faults and all(fault in line for line in found.faults)


def test_a_table_with_another_number_is_a_fault(folder):
    page = folder / "report.md"
    page.write_text(page.read_text().replace("| direct | 10 |", "| direct | 11 |"))
    assert [line for line in verify(folder, page=page).faults if "| direct | 10 |" in line]


def test_scores_of_a_former_reader_are_counted_by_themselves(folder):
    change(folder, "UPDATE answers SET reader = 'neuromas 0', strict = 0.5 WHERE row = 3")
    found = verify(folder)
    assert dict(found.moved) == {"neuromas 0": 3} and found.same == 27 and not found.faults


def test_an_answer_by_more_nodes_than_were_trained_is_the_last_message(folder):
    change(folder, "UPDATE cells SET facts = json_set(facts, '$.topology.nodes', 1)")
    assert not verify(folder).faults


def test_an_archive_is_read_where_it_is(folder, tmp_path):
    packed = tmp_path / "answers.sqlite.xz"
    packed.write_bytes(lzma.compress((folder / "bench.sqlite").read_bytes()))
    assert verify(packed).same == 30
    archive = tmp_path / "bench.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(folder, "bench")
    assert verify(archive, page=folder / "report.md").same == 30


def test_archives_stay_in_their_folder_and_in_bounds(folder, tmp_path, monkeypatch):
    archive = tmp_path / "bench.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        file.add(folder / "bench.sqlite", "../outside.sqlite")
    with pytest.raises(InputError, match="cannot be unpacked"):
        verify(archive)
    assert not list(tmp_path.rglob("outside.sqlite"))
    monkeypatch.setattr(module, "MOST", 1000)
    for name in ("big.tar.xz", "big.sqlite.xz"):
        path = tmp_path / name
        if name.endswith(".tar.xz"):
            with tarfile.open(path, "w:xz") as file:
                file.add(folder / "bench.sqlite", "bench.sqlite")
        else:
            path.write_bytes(lzma.compress((folder / "bench.sqlite").read_bytes()))
        with pytest.raises(InputError, match="at most 1,000 bytes"):
            verify(path)


@pytest.mark.parametrize(
    "name, held, says",
    [
        ("bench.zip", b"PK", "must be a folder or an archive"),
        ("a.tar.xz", b"nothing", "cannot be unpacked"),
        ("a.sqlite.xz", b"nothing", "cannot be unpacked"),
        ("a.sqlite.xz", lzma.compress(b"nothing"), "not a database"),
        ("absent.tar.xz", None, "cannot be unpacked"),
    ],
    ids=["zip", "tar", "xz", "database", "absent"],
)
def test_what_is_no_result_is_one_line(tmp_path, name, held, says):
    if held is not None:
        (tmp_path / name).write_bytes(held)
    with pytest.raises(InputError, match=says):
        verify(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no results"):
        verify(tmp_path / "empty")


def test_the_command_ends_with_1_on_a_fault(folder, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(folder)])
    assert "30 answers have the score that is stored" in capsys.readouterr().out
    change(folder, "UPDATE answers SET strict = 0.25 WHERE row = 3")
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(folder)])
    assert "3 faults" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.parametrize(
    "archive", sorted(RESULTS.rglob("*.tar.xz")), ids=lambda path: path.name.partition(".")[0]
)
def test_a_published_experiment_gives_its_page_again(archive):
    found = verify(archive, page=archive.with_name(archive.name.replace(".tar.xz", ".md")))
    assert not found.faults and found.rows > 20


@pytest.mark.slow
def test_answers_of_several_rounds_and_of_games_give_their_scores_again(tmp_path):
    run(
        tmp_path,
        methods=("autogen:replies=4", "direct"),
        tasks=("hierarchy/max", "games/guess"),
        limit=4,
    )
    found = verify(tmp_path)
    assert not found.faults and not found.skipped and found.same == 16
    change(tmp_path, "UPDATE answers SET strict = 1 - strict WHERE row = 2 AND cell = 1")
    assert "scored again as" in verify(tmp_path).faults[0]


def own_table(mine):
    """A discrete experiment of one's own."""
    mine.mkdir()
    part = {"tasks": ["xor-easy-v0"], "arms": {"IQL": {"learner": "IQL", "start": "own"}}}
    text = {"title": "Mine", "table": "it.", "scales": ["tiny", "long"], "study": part}
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text))
    updates = {"tiny": 1, "long": 2}
    scales = {
        scale: {"study": {"kind": "discrete", "seeds": 3, "options": {"updates": count}}}
        for scale, count in updates.items()
    }
    (mine / "scales.yaml").write_text(yaml.safe_dump(scales))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_page_of_an_experiment_of_ones_own_is_made_again_from_its_folder(tmp_path, capsys):
    own_table(tmp_path / "mine")
    out = tmp_path / "out"
    page = run_experiment(load(tmp_path / "mine"), out)
    with pytest.raises(InputError, match="give the folder that holds its experiment.yaml"):
        verify(out, page=page)
    with pytest.raises(SystemExit, match="0"):
        main(["verify", str(out), "--page", str(page), "--experiment", str(tmp_path / "mine")])
    assert "rows of tables stand in" in capsys.readouterr().out
    with pytest.raises(InputError, match="experiment must be left out without a page"):
        verify(out, experiment=tmp_path / "mine")


@pytest.mark.slow
def test_what_could_not_be_checked_is_not_verified(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    run(tmp_path / "arc", methods=("direct",), tasks=("arc/easy",), limit=2, data=str(ROWS))
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(tmp_path / "arc")])
    assert "not verified: nothing could be checked" in capsys.readouterr().out
    for text, said in (("{", "experiment.json"), ("{}", "name must be a text, got None")):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / "experiment.json").write_text(text)
        with pytest.raises(InputError, match=said):
            verify(tmp_path / "broken")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_reports_do_not_overwrite_one_another(made, tmp_path):
    own_table(tmp_path / "mine")
    with pytest.raises(InputError, match="holds a benchmark"):
        run_experiment(load(tmp_path / "mine"), shutil.copytree(made, tmp_path / "bench"))
    run_experiment(load(tmp_path / "mine"), tmp_path / "out")
    with pytest.raises(InputError, match="holds another report"):
        run(tmp_path / "out", methods=("direct",))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_table_is_made_again_at_the_scale_and_with_the_seeds_of_its_last_run(
    tmp_path, monkeypatch
):
    own_table(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    run_experiment(load("mine", "long", 2), out, command="neuromas experiment --seeds 2")
    page = run_experiment(load("mine", "long"), out, command="neuromas experiment")
    first = page.read_text()
    assert "3 seeds; a run has 2 updates" in first
    assert module.remake(out).read_text() == first
