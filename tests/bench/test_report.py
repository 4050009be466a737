"""What a benchmark's report says: lines, comparisons, tables, plots, page."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support.stored import SAID, answers, cell, fill

from neuromas_env.bench import tables
from neuromas_env.bench.page import make_page
from neuromas_env.bench.report import write_report
from neuromas_env.bench.statistics import Estimand, compare, holm
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.errors import InputError

pytestmark = pytest.mark.slow

ODD = "we_ird|<me>thod & 100% $x$ {y}"


def lines_of(folder, *parts, **options):
    with fill(folder, *parts) as store:
        return summarise(store, **options)


RIGHT, MOST, FEW = [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0]


def test_a_line_is_what_its_answers_say(tmp_path):
    rows = answers(MOST, tie=True)
    rows[0] = replace(rows[0], strict=1.0, tie=False)
    rows[4] = replace(rows[4], reason="unparsable")
    rows[5] = replace(rows[5], error="node_0: no", reason=None, tie=None, completion_tokens=0)
    [line] = lines_of(tmp_path, (cell("direct", facts={"prices": [1.0, 3.0]}), rows))
    assert (line.n, line.asked, line.seeds) == (6, 6, (None,))
    assert line.score == {"extracted": pytest.approx(4 / 6), "strict": pytest.approx(1 / 6)}
    assert line.parse_failures == pytest.approx(1 / 5)
    assert line.ties == pytest.approx(4 / 5)
    assert line.errors == pytest.approx(1 / 6)
    assert (line.calls, line.prompt_tokens, line.completion_tokens, line.seconds) == (2, 4, 2, 0.5)
    assert line.money == pytest.approx((4 * 1 + 2 * 3) / 1e6)
    assert (line.majority, line.blind, line.against) == (0.25, None, {})


def test_seeds_of_a_method_are_one_line(tmp_path):
    lines = lines_of(
        tmp_path,
        (cell("sc", 0), answers(MOST)),
        (cell("sc", 1), answers(FEW)),
        (cell("direct"), answers(FEW)),
    )
    assert [(line.method, line.seeds) for line in lines] == [("sc", (0, 1)), ("direct", (None,))]
    assert lines[0].score["extracted"] == pytest.approx(5 / 12)
    ours, theirs = np.array([MOST, FEW], float).T, np.array([FEW], float).T
    expected = compare(theirs, ours, Estimand.METHOD)
    found = lines[1].against["sc"]
    assert (found.difference, found.p) == (expected.difference, expected.p)


def test_holm_goes_over_the_whole_table(tmp_path):
    parts = [
        (cell(method, task=task), answers(scores))
        for task in "tu"
        for method, scores in (("direct", FEW), ("a", RIGHT), ("b", MOST))
    ]
    lines = lines_of(tmp_path, *parts)
    found = [line.against["direct"] for line in lines if line.against]
    assert len(found) == 4
    assert [f.p_holm for f in found] == holm([f.p for f in found])
    assert found[0].p_holm > found[0].p


def test_the_reference_and_the_score_can_be_chosen(tmp_path):
    parts = [(cell("direct"), answers(FEW)), (cell("a"), answers(RIGHT))]
    lines = lines_of(tmp_path, *parts, against="a")
    assert [list(line.against) for line in lines] == [["a"], []]
    assert lines[0].against["a"].difference == pytest.approx(-4 / 6)
    with Store(tmp_path) as store:
        assert summarise(store, "a", "strict")[0].against["a"].difference == 0
        with pytest.raises(InputError, match="'b'.*Did you mean|unknown method 'dirct'"):
            summarise(store, "dirct")
        with pytest.raises(InputError, match="unknown score 'strickt'. Did you mean 'strict'"):
            summarise(store, None, "strickt")


def test_a_pair_is_compared_once(tmp_path):
    """A network that was trained again has the name of the former one and other adapters."""
    lines = lines_of(
        tmp_path,
        (cell("neuromas@a", adapters={"node_0": "1"}), answers(RIGHT)),
        (cell("neuromas@a", adapters={"node_0": "2"}), answers(FEW)),
        (cell("direct"), answers(MOST)),
    )
    first = "neuromas@a [adapters.node_0=1]"
    assert [line.reference for line in lines] == [None, first, first]
    assert {one.family for line in lines for one in line.against.values()} == {2}


def test_runs_with_other_settings_are_told_apart_and_never_mixed(tmp_path):
    lines = lines_of(
        tmp_path,
        (cell("direct", length=64), answers(FEW)),
        (cell("direct", length=128), answers(RIGHT)),
        (cell("a", length=128), answers(MOST)),
    )
    names = [line.method for line in lines]
    assert names == ["direct [length=64]", "direct [length=128]", "a"]
    # `a` is compared with the run of its own settings; by its label with any other.
    assert list(lines[2].against) == ["direct [length=128]"]
    with Store(tmp_path) as store:
        named = summarise(store, "direct [length=64]")
    assert [list(line.against) for line in named] == [[], *[["direct [length=64]"]] * 2]


def test_unfinished_methods_are_compared_on_common_questions(tmp_path):
    lines = lines_of(
        tmp_path,
        (cell("direct"), answers(MOST)),
        (cell("a", 0), answers(RIGHT)[:4]),
        (cell("a", 1), answers(RIGHT)[1:]),
    )
    assert [line.n for line in lines] == [6, 3]
    assert lines[1].against["direct"].n == 3
    [grid, *_] = tables.make_grids(lines, "extracted")
    assert grid.rows[1][1] == "3 of 6"


def test_a_budget_matched_row_is_a_comparison_of_its_own(tmp_path):
    parts = [
        (cell("direct"), answers(FEW)),
        (cell("debate", 0), answers(RIGHT)),
        (cell("sc:k=6", 0), answers(MOST)),
    ]
    fill(tmp_path, *parts).close()
    with Store(tmp_path, write=True) as store:
        store.match(parts[1][0], "sc:k=6")
        lines = summarise(store)
    assert lines[1].matched == "sc:k=6"
    assert list(lines[1].against) == ["direct", "sc:k=6"]
    assert lines[1].against["sc:k=6"].difference == pytest.approx(1 / 6)
    *_, grid = tables.make_grids(lines, "extracted")
    assert [row[1] for row in grid.rows] == ["direct", "sc:k=6 (same budget)", "direct"]


def test_a_matched_row_that_missed_the_budget_says_so(tmp_path):
    parts = [
        (cell("debate", 0), answers(RIGHT)),
        (cell("sc:k=6", 0), answers(MOST, completion_tokens=3)),
    ]
    fill(tmp_path, *parts).close()
    with Store(tmp_path, write=True) as store:
        store.match(parts[0][0], "sc:k=6")
        lines = summarise(store)
    assert lines[0].budget_ratio == pytest.approx(1.5)
    *_, grid = tables.make_grids(lines, "extracted")
    assert grid.rows[0][1] == "sc:k=6 (1.50 of the budget)"


def test_what_was_only_tried_enters_neither_table_nor_correction(tmp_path):
    tried = {"tried": True}
    lines = lines_of(
        tmp_path,
        (cell("direct"), answers(FEW)),
        (cell("debate", 0), answers(RIGHT)),
        (cell("sc:k=1", 0, facts=tried), answers(MOST)),
        (cell("sc:k=1", 1, facts=tried), answers(MOST)),
    )
    assert [line.method for line in lines] == ["direct", "debate"]
    found = lines[1].against["direct"]
    assert found.p_holm == found.p
    fill(tmp_path, (cell("sc:k=1", 1), [])).close()  # one of its seeds is asked for
    with fill(tmp_path, (cell("sc:k=1", 1, facts=tried), [])) as store:
        assert [(line.method, line.seeds) for line in summarise(store)][2:] == [("sc:k=1", (1,))]


def test_a_line_says_what_it_speaks_about(tmp_path):
    trained = {"trainable": 9, "training": {"steps": 3}}
    run = {"study": "chars", "adapters": {"arm": "x"}}
    lines = lines_of(
        tmp_path,
        (cell("direct"), answers(FEW)),
        (cell("sc", 0), answers(MOST)),
        (cell("sc", 1), answers(RIGHT)),
        (cell("neuromas@a", facts=trained), answers(RIGHT)),
        *((cell("arm", seed, facts=trained, **run), answers(MOST)) for seed in (0, 1)),
        *((cell("tables", seed, facts=trained, **run | {"model": "coded"}), answers(MOST))
          for seed in (0, 1)),
        (cell("direct", task="u"), answers(FEW)[:1]),
    )  # fmt: skip
    found = {line.method.split(" ")[0]: (line.estimand, line.alone) for line in lines[:-1]}
    assert found == {
        "direct": (Estimand.METHOD, False), "sc": (Estimand.METHOD, False),
        "neuromas@a": (Estimand.METHOD, True), "arm": (Estimand.TRAINING, False),
        "tables": (Estimand.FINITE, False),
    }  # fmt: skip
    assert lines[-1].estimand == Estimand.ANSWERS and lines[-1].interval["extracted"] is None
    grids = tables.make_grids(lines, "extracted")
    titles = [grid.title for grid in grids]
    assert "t: scores, this way of training on new questions" in titles
    assert "t: scores, all questions of a finite set" in titles
    assert "u: scores, these answers" in titles
    [alone] = [
        grid.note for grid in grids if grid.title.endswith("scores, this method on new questions")
    ]
    assert alone.startswith("A single training run: neuromas@a;")
    assert all(len(grid.head) <= 8 for grid in grids)


def test_what_training_took_is_the_mean_of_several_trainings(tmp_path):
    run = {"study": "chars", "adapters": {"arm": "x"}}

    def trained(name, *calls, **settings):
        each = [{"calls": count, "steps": 4} if count else None for count in calls]
        return [
            (cell(name, seed, facts={"trainable": 9, "training": took}, **settings), answers(MOST))
            for seed, took in enumerate(each)
        ]

    lines = lines_of(
        tmp_path,
        *trained("arm", 1001, 3001, 5002, **run),
        *trained("unknown", 1001, None, **run),
        *trained("neuromas@a", 70, 70),
        (cell("direct"), answers(FEW)),
    )
    assert [line.training and line.training["calls"] for line in lines] == [9004 / 3, None, 70, {}]
    [grid] = [g for g in tables.make_grids(lines, "extracted") if "cost of training" in g.title]
    rows = [dict(zip(grid.head, row, strict=True)) for row in grid.rows]
    assert [(row["calls"], row["steps"]) for row in rows] == [
        ("3,001", "4"), ("?", "?"), ("70", "4"),
    ]  # fmt: skip
    assert grid.note == "The mean of a row's training runs."


def test_trainings_are_paired_by_their_seeds(tmp_path):
    run = {"study": "chars", "adapters": {"arm": "x"}}
    lines = lines_of(
        tmp_path,
        *((cell("a", seed, **run), answers(scores)) for seed, scores in
          ((2, MOST), (0, RIGHT), (1, FEW))),
        *((cell("b", seed, **run), answers(scores)) for seed, scores in
          ((1, RIGHT), (2, FEW), (0, MOST))),
        *((cell("c", seed, **run), answers(scores)) for seed, scores in
          ((5, RIGHT), (2, FEW), (0, MOST))),
    )  # fmt: skip
    a, b = np.array([RIGHT, FEW, MOST], float).T, np.array([MOST, RIGHT, FEW], float).T
    c = np.array([MOST, FEW, RIGHT], float).T
    assert lines[1].against["a"].p == compare(b, a, paired=True).p
    assert lines[2].against["a"].p == compare(c, a, paired=False).p
    assert lines[1].against["a"].estimand == Estimand.TRAINING


def test_cached_calls_and_rows_left_out_are_shown_where_there_are_any(tmp_path):
    lines = lines_of(
        tmp_path,
        (cell("direct"), answers(FEW)),
        (cell("a", facts={"skipped_rows": ["x", "y"]}), answers(MOST, cached=1)),
        (cell("direct", task="u"), answers(RIGHT)),
    )
    results, costs, _, _, others = tables.make_grids(lines, "extracted")
    assert "cached %" not in others.head
    assert [row[-1] for row in costs.rows] == ["0.0", "50.0"] and costs.head[-1] == "cached %"
    assert [row[1] for row in results.rows[:2]] == ["6", "6 (2 left out)"]


def test_an_empty_store_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no answers yet"):
        lines_of(tmp_path)


def sample(folder):
    return lines_of(
        folder,
        (cell("direct"), answers(FEW)),
        (cell(ODD, 0, facts={"trainable": 1234}), answers(MOST)),
        (cell(ODD, 1, facts={"trainable": 1234}), answers(RIGHT)),
        (cell("direct", task="u"), answers(RIGHT)),
    )


def test_markdown_keeps_its_shape_whatever_the_names(tmp_path):
    grids = tables.make_grids(sample(tmp_path), "extracted")
    for grid in grids:
        rows = tables.to_markdown(grid).strip().splitlines()[2:]
        body = rows[: 2 + len(grid.rows)]
        cells = [len(re.findall(r"(?<!\\)\|", line)) - 1 for line in body]
        assert set(cells) == {len(grid.head)}


def test_latex_is_escaped(tmp_path):
    [grid, *_] = tables.make_grids(sample(tmp_path), "extracted")
    text = tables.to_latex(grid)
    line = next(line for line in text.splitlines() if line.startswith("we"))
    assert line.startswith(
        r"we\_ird\textbar{}\textless{}me\textgreater{}thod \& 100\% \$x\$ \{y\} & 6 & 2 &"
    )
    assert len(re.findall(r"(?<!\\)&", line)) == len(grid.head) - 1
    assert text.count(r"\begin{tabular}{l" + "r" * (len(grid.head) - 1) + "}") == 1


def test_csv_holds_every_number(tmp_path):
    lines = sample(tmp_path)
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(lines))))
    assert [row["method"] for row in rows] == ["direct", ODD, "direct"]
    assert float(rows[1]["extracted"]) == lines[1].score["extracted"]
    assert float(rows[1]["reference_p_holm"]) == lines[1].against["direct"].p_holm
    assert (rows[1]["seeds"], rows[1]["trainable"], rows[0]["seeds"]) == ("0 1", "1234", "")
    assert rows[0]["reference_p"] == "" and rows[0]["majority"] == "0.25"


def test_terminal_table_cuts_nothing_off(tmp_path):
    text = io.StringIO()
    sample(tmp_path)
    write_report(Console(file=text, width=40), tmp_path)
    assert "…" not in text.getvalue()
    assert ODD in text.getvalue()
    for name in ("report.md", "report.csv", "report.tex", "report.html", "accuracy-tokens.svg"):
        assert (tmp_path / name).stat().st_size > 200 and name in text.getvalue()
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_other_forms_print_what_is_written(tmp_path, capsys, form):
    sample(tmp_path)
    write_report(Console(), tmp_path, form=form)
    ending = {"markdown": "md", "latex": "tex", "csv": "csv"}[form]
    assert capsys.readouterr().out == (tmp_path / f"report.{ending}").read_text()
    with pytest.raises(InputError, match="unknown format 'html'"):
        write_report(Console(), tmp_path, form="html")


def test_a_missing_package_or_a_locked_file_is_said(tmp_path, monkeypatch):
    sample(tmp_path)
    (tmp_path / "report.md").mkdir()
    with pytest.raises(InputError, match="cannot write .*report.md"):
        write_report(Console(file=io.StringIO()), tmp_path)
    assert not list(tmp_path.glob(".*.part"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'neuromas-env\[bench\]'"):
        write_report(Console(), tmp_path)


def test_page_is_one_file_that_asks_for_nothing(tmp_path):
    lines = sample(tmp_path)
    with Store(tmp_path) as store:
        grids = tables.make_grids(lines, "extracted")
        page = make_page(store, lines, {}, grids, {"p": "<svg/>"}, "notes & more")
        short = make_page(store, lines, {}, grids, {}, "", limit=2)
    targets = re.findall(r"""(?:src|href)=["']?([^"' >]+)|url\(([^)]+)""", page)
    assert targets and all("".join(target).startswith(("data:", "#")) for target in targets)
    assert "default-src 'none'" in page
    assert page.count("</script>") == 2 and "<b>hi" not in page
    assert "&lt;me&gt;thod &amp; 100%" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [run["method"] for run in data["runs"]] == [
        "direct", f"{ODD}, seed 0", f"{ODD}, seed 1", "direct",
    ]  # fmt: skip
    assert data["runs"][1]["answers"][3]["said"] == json.loads(SAID)
    assert data["questions"]["t"]["q3"] == ["Why 3?", "x"]
    assert data["networks"][data["runs"][0]["network"]].startswith("<svg")
    data = json.loads(re.search(r'id="data">(.*?)</script>', short, re.S)[1])
    assert {len(run["answers"]) for run in data["runs"]} == {2}
    assert list(data["questions"]["t"]) == ["q0", "q1"]
