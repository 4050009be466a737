"""Tasks of a Python file that is not installed, by `path/file.py:Name`."""

from __future__ import annotations

import json
import pickle
import sqlite3
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_runs import run as bench
from support.tiny_models import make_tiny

from neuromas_env import make_task
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.scripts import parse_script
from neuromas_env.testing import check_task

SOURCE = '''
    """Tasks of mine."""
    from dataclasses import dataclass

    from helper_of_mine import double
    from neuromas_env import QuestionAnswer


    def sums(most: int = 50, word="plus"):
        """Add a number to itself."""
        rows = [{"question": f"{n} {word} {n}?", "answer": double(n)} for n in range(most)]
        return QuestionAnswer("any", rows, "number")


    class Sums(QuestionAnswer):
        def __init__(self, most: int = 50):
            rows = [{"question": f"{n}+{n}?", "answer": double(n)} for n in range(most)]
            super().__init__("any", rows, "number")


    class Raising(Sums):
        def score(self, example, reply):
            return {}[reply]


    made = Sums(20)
    number = 3


    def failing(most=1):
        return 1 / (most - 1)


    def choosing(rows):
        return rows
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a file of tasks and one that it imports, and where commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.py").write_text(dedent(SOURCE))
    (tmp_path / "sub" / "helper_of_mine.py").write_text("def double(n):\n    return 2 * n\n")
    return tmp_path


@pytest.fixture
def command(capsys):
    """Run a command; return its exit code, output and errors."""

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("name", "file", "attribute", "options"),
    [
        ("a.py:B", "a.py", "B", ""),
        ("./x/a.py:B:depth=3,k=2", "x/a.py", "B", "depth=3,k=2"),
        ("/x y/a.py:B", "/x y/a.py", "B", ""),
        (r"C:\x\a.py:B:depth=3", r"C:\x\a.py", "B", "depth=3"),
        ("a.py.py:B", "a.py.py", "B", ""),
        ("a.py:B:c=d.py:e", "a.py", "B", "c=d.py:e"),
    ],
)
def test_a_name_in_a_file_is_taken_apart(name, file, attribute, options):
    script = parse_script(name)
    assert (script.file, script.attribute, script.options) == (file, attribute, options)
    assert parse_script(f"{script.name}:{options}").name == script.name


@given(st.text())
def test_other_names_are_none(name):
    if ".py" not in name:
        assert parse_script(name) is None


@pytest.mark.parametrize("file", ["a.py", "x/a.py:"])
def test_a_file_alone_is_refused(file):
    with pytest.raises(InputError, match="give what is meant in the file, too, as in file.py:Name"):
        parse_script(file)


def test_functions_classes_and_tasks_of_a_file_are_tasks(place):
    for name in ("sub/mine.py:sums", "sub/mine.py:Sums", "sub/mine.py:made"):
        task = make_task(name)
        check_task(task)
        assert task.name == name and list(task.origins) == ["sub/mine.py"]
        assert pickle.loads(pickle.dumps(task)).examples("test") == task.examples("test")
    task = make_task("./sub/mine.py:sums:word=and,most=30")
    assert task.name == "sub/mine.py:sums:most=30,word=and" == make_task(task.name).name
    assert sum(task.split_sizes().values()) == 30 and "and" in task.examples("test")[0].question
    assert make_task("sub/mine.py:sums", most=50).name == "sub/mine.py:sums"
    assert make_task(str(place / "sub/mine.py:made")).examples("train")
    assert type(make_task("sub/mine.py:Sums")) is type(make_task("sub/mine.py:Sums"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sub/mine.py:smus", "unknown name in sub/mine.py: 'smus'. Did you mean 'sums'"),
        ("sub/mine.py:sums:mst=3", "'mst'. Did you mean 'most'"),
        ("sub/mine.py:made:most=3", "takes no parameters, so no 'most'"),
        ("sub/mine.py:number", "must be a task, or a class or function that makes one, not 3"),
        ("sub/mine.py:dataclass", "its function must return a Task, got <function dataclass"),
        ("sub/mine.py:choosing", "needs 'rows', as in sub/mine.py:choosing:rows=VALUE"),
        ("sub/mine.py:failing", r"sub/mine.py, line \d\d: ZeroDivisionError: division by zero$"),
        ("sub/none.py:x", "cannot read .*sub/none.py: No such file or directory"),
        ("sub.py:x", "cannot read"),
    ],
)
def test_what_is_wrong_is_one_line(name, message, place):
    with pytest.raises(InputError, match=message) as error:
        make_task(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ny = = 2\n", "odd.py, line 2: SyntaxError: invalid syntax"),
        ("x = 1\nimport no_such_module\n", "odd.py, line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    raise ValueError('a\\nb')\n\nf()\n", "odd.py, line 2: ValueError: a b"),
        ("import sys\nsys.exit(3)\n", "odd.py, line 2: SystemExit: 3"),
        ("import json\njson.loads('{')\n", "odd.py, line 2: JSONDecodeError: Expecting property"),
        ("x = '\0'\n", "odd.py, line 1: .*Error: source code string cannot contain null"),
        ("def f(:\n", "odd.py, line 1: SyntaxError"),
        ("\tx = 1\n  y = 2\n", "odd.py, line 1: IndentationError: unexpected indent"),
    ],
)
def test_faults_of_a_file_name_its_line(source, message, place):
    (place / "odd.py").write_text(source)
    for _ in range(2):  # a file that failed is not taken for loaded
        with pytest.raises(InputError, match=message) as error:
            make_task("odd.py:f")
        assert "\n" not in str(error.value)


def test_a_changed_file_is_read_again(place):
    file = place / "sub" / "mine.py"
    first = make_task("sub/mine.py:sums")
    file.write_text(file.read_text().replace("most: int = 50", "most: int = 40"))
    second = make_task("sub/mine.py:sums")
    assert sum(second.split_sizes().values()) == 40
    assert first.origins != second.origins


def test_faults_while_a_command_runs_name_the_line_too(place, command):
    code, out, err = command("eval", "--policy", "gold", "--task", "sub/mine.py:Sums")
    assert code == 0 and "gold on sub/mine.py:Sums" in out
    code, _, err = command("eval", "--policy", "gold", "--task", "sub/mine.py:Raising")
    line = dedent(SOURCE).split("return {}[reply]")[0].count("\n") + 1
    assert code == 2 and "Traceback" not in err
    assert f"sub/mine.py, line {line}: KeyError: " in err.replace("\n", "")


def test_a_benchmark_knows_the_file_and_refuses_a_changed_one(place):
    name = "sub/mine.py:sums:most=20"
    bench(place / "out", tasks=(name, "./sub/mine.py:Sums"), limit=4)
    bench(place / "out", tasks=(name,), limit=6)
    with sqlite3.connect(place / "out" / "bench.sqlite") as db:
        counts = dict(db.execute("SELECT task, count(*) FROM results GROUP BY task"))
        [facts] = db.execute("SELECT facts FROM cells WHERE task = ?", (name,)).fetchone()
    assert counts == {name: 6, "sub/mine.py:Sums": 4}
    assert json.loads(facts)["origins"] == dict(make_task(name).origins)
    with (place / "sub" / "mine.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(InputError, match=r"most=20': sub/mine.py is not what it was when .*sqlite"):
        bench(place / "out", tasks=(name,), limit=6)


@pytest.mark.slow
def test_training_goes_on_with_the_same_file_alone(place, command):
    model = make_tiny("llama", place / "model")
    args = ["train", "--task", "sub/mine.py:sums:most=20", "--model", model, "--dtype", "float32",
            "--topology", "1-1", "--steps", 1, "--questions", 2, "--rollouts", 2, "--rank", 2,
            "--eval-questions", 0, "--max-new-tokens", 2]  # fmt: skip
    assert command(*args)[0] == 0
    [run] = (place / "runs").iterdir()
    head = json.loads((run / "run.json").read_text())
    assert head["task"] == "sub/mine.py:sums:most=20" and run.name.startswith("sub-mine-py-sums")
    (run / "result.json").unlink()
    assert command("train", "--resume", run)[0] == 0
    (run / "result.json").unlink()
    file = place / "sub" / "mine.py"
    source = file.read_text()
    file.write_text(f"{source}# changed\n")
    code, _, err = command("train", "--resume", run)
    assert code == 2 and "sub/mine.py is not what it was when" in err
    file.unlink()
    code, _, err = command("train", "--resume", run)
    assert code == 2 and "cannot read" in err and "Traceback" not in err
    file.write_text(source)
    assert command("eval", "--run", run, "--limit", 2)[0] == 0
