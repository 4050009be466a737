"""Nothing that is reported, nor anything near to it, is trained on: over the real rows."""

import gzip
import random

import pytest
from support.nearness import (
    NEAR,
    NO_TEMPLATE,
    SMALL_VOCABULARY,
    found,
    found_in_code,
    near,
    pool_and_reported,
    same_words,
)
from support.paths import DATA, WHOLE, folders

from neuromas_env.tasks import SPLITS, make_task
from neuromas_env.tasks.bbh import variants
from neuromas_env.tasks.mmlu import GROUPS
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES

pytestmark = pytest.mark.slow

TABLES = list(variants(DATA)) if DATA else []
NAMES = [["mmlu"], ["arc/challenge", "arc/easy"], ["mbpp", "humaneval"]]
NAMES += [[f"bbh/{table}"] for table in TABLES]
REAL = [pytest.param(DATA, id="real", marks=WHOLE)] if DATA else []
real = pytest.mark.parametrize("data", REAL)


@real
@pytest.mark.parametrize("names", NAMES, ids="+".join)
def test_no_reported_row_is_in_a_pool(names, data):
    pool, reported = pool_and_reported(*names, data=data)
    asked = {tuple(same_words(example.question)) for example in reported}
    assert not [e.id for e in pool if tuple(same_words(e.question)) in asked]
    assert not {e.id for e in pool} & {e.id for e in reported}


@real
@pytest.mark.parametrize("benchmark", NEAR_DUPLICATES)
def test_all_near_to_a_reported_row_is_listed_and_in_no_pool(benchmark, data, monkeypatch):
    listed = NEAR_DUPLICATES[benchmark]
    pool, _ = pool_and_reported(*names_of(benchmark), data=data)
    assert not listed & {example.id.rpartition("/")[2] for example in pool}
    monkeypatch.setitem(NEAR_DUPLICATES, benchmark, frozenset())
    monkeypatch.setattr("neuromas_env.tasks.arc._NEAR", frozenset())
    if benchmark == "mbpp":
        ids = found_in_code("mbpp", "humaneval", data=data)
    elif benchmark == "bbh":
        names = [f"bbh/{table}" for table in TABLES if table not in SMALL_VOCABULARY]
        ids = set().union(*(found(name, data=data, common=NO_TEMPLATE) for name in names))
    else:
        ids = found(*names_of(benchmark), data=data)
    ids = {id.rpartition("/")[2] for id in ids}
    # The list was made from all 57 subjects of MMLU; the rows at hand may lack some.
    assert ids <= listed and len(listed - ids) <= 3


def names_of(benchmark):
    names = {"mmlu": ["mmlu"], "arc": ["arc/challenge", "arc/easy"], "mbpp": ["mbpp", "humaneval"]}
    return names.get(benchmark) or [f"bbh/{table}" for table in TABLES]


@real
def test_a_subject_s_pool_is_that_of_its_group_in_all(data):
    whole = make_task("mmlu", data=data)
    for group, subjects in GROUPS.items():
        task = make_task(f"mmlu/{group}", data=data)
        for split in SPLITS:
            mine = [e for e in whole.examples(split) if e.extra["subject"] in subjects]
            assert task.examples(split) == mine and mine


@pytest.mark.parametrize("name", ["mmlu", "arc/easy", "bbh/navigate", "bbh/word_sorting"])
@folders
def test_a_subset_of_the_rows_is_divided_in_the_same_way(name, folder, tmp_path):
    family = name.partition("/")[0]
    for file in (folder / family).rglob("*.jsonl*"):
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        lines = content.decode().splitlines()
        copy = tmp_path / str(file.relative_to(folder)).removesuffix(".gz")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("\n".join(random.Random(0).sample(lines, len(lines) // 2)))
    whole, half = make_task(name, data=folder), make_task(name, data=tmp_path)
    where = {e.id: split for split in SPLITS for e in whole.examples(split)}
    found = {e.id: split for split in SPLITS for e in half.examples(split)}
    assert found.items() <= where.items() and 0 < len(found) < len(where)


def test_nearness_sees_a_repeated_question_and_no_other():
    pool = [
        "Which gas do plants give off?\nA. oxygen\nB. helium\nC. carbon dioxide",
        "Which planet is nearest to the sun?\nA. Mars\nB. Mercury",
        "Who wrote the play about the prince of Denmark?\nA. Marlowe\nB. Shakespeare",
    ]
    reported = [
        "Who wrote the play about the prince of Denmark?\n1. Shakespeare\n2. Marlowe",
        "Which gas do green plants give off?\nA. helium\nB. oxygen\nC. carbon dioxide",
        "Which river is the longest?\nA. Nile\nB. Rhine",
    ]
    pairs = near(pool, reported, common=1.0)
    assert {(i, j) for i, j, _ in pairs} == {(0, 1), (2, 0)}
    assert all(NEAR <= nearness <= 1 for *_, nearness in pairs)
    assert dict(((i, j), n) for i, j, n in pairs)[2, 0] == 1
