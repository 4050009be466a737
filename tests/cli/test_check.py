"""`neuromas check`: every kind of thing, from a file or by its name; all faults, exit code 1."""

from __future__ import annotations

import shutil
from textwrap import dedent

import pytest

from neuromas_env.cli.app import main
from neuromas_env.tasks import TASKS, register_task

SOURCE = """
    from neuromas_env import Learner, MockEngine, Policy, QuestionAnswer


    def sums(most: int = 30):
        rows = [{"question": f"{n}+{n}?", "answer": 2 * n} for n in range(most)]
        return QuestionAnswer("any", rows, "number")


    class Unsteady(QuestionAnswer):
        def __init__(self):
            super().__init__("any", [{"question": f"{n}?", "answer": n} for n in range(30)])

        def score(self, example, reply):
            return len(reply) / 0

        def majority(self, split):
            return 2.0


    class Saying(Policy):
        def __init__(self, size: int):
            self.size = size

        def request(self, observation, seed):
            return "7" * self.size


    class Silent(Policy):
        scripted = "yes"

        def request(self, observation, seed):
            return None


    def engine(model):
        return MockEngine(lambda request: "7")


    class Learns(Learner):
        def __init__(self, engine, nodes, config):
            self.seen = 0

        def update(self, trajectories):
            return {"seen": 1.0}

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass


    class Counts(Learns):
        def update(self, trajectories):
            return {"seen": 1}


    class Needs(Learns):
        def __init__(self, engine, nodes, config):
            self.adapters = engine.adapters


    number = 3


    def raising():
        raise ValueError("two\\nlines")
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with the file; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(dedent(SOURCE))

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(["check", *args])
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mine.py:sums", "task"),
        ("mine.py:sums:most=25", "task"),
        ("mine.py:Saying:size=3", "policy"),
        ("mine.py:engine", "engine"),
        ("mine.py:Learns", "learner"),
        ("signal", "task"),
        ("signal:symbols=3", "task"),
        ("tabular", "learner"),
        ("mock", "engine"),
    ],
)
def test_what_is_sound_has_no_fault(name, kind, check):
    assert check(name) == (0, f"{kind} {name}: no faults\n", "")


@pytest.mark.parametrize("name", ["sums", "sums:most=25", "Saying:size=3"])
def test_a_file_may_have_any_path(name, check, tmp_path):
    folder = tmp_path / "my tasks"
    folder.mkdir()
    file = shutil.move(tmp_path / "mine.py", folder / "mine.py")
    code, out, _ = check(f"{file}:{name}")
    assert (code, out.partition(" ")[2]) == (0, f"{file}:{name}: no faults\n")


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("mine.py:Unsteady", ["task 'mine.py:Unsteady':", "majority('train') must be a share",
                              "score() raises ZeroDivisionError('division by zero') in", "line 15",
                              "must never raise"]),
        ("mine.py:Silent", ["policy Silent:", "scripted must be True or False, not 'yes'",
                            "request() must return a text or a Request, not None"]),
        ("mine.py:Counts", ["learner Counts:", "a metric is a finite float", "(checked on a tab"]),
        ("joint", ["learner Reinforce trains adapters: give it a model with --model"]),
        ("mine.py:Needs", ["learning raises AttributeError", "--model gives a model"]),
    ],
)  # fmt: skip
def test_all_faults_are_said_and_the_command_ends_with_one(name, faults, check):
    code, out, err = check(name)
    assert code == 1 and not err
    for fault in faults:
        assert fault in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:smus", "unknown name in mine.py: 'smus'. Did you mean 'sums'"),
        ("mine.py:number", "must be a task, policy, learner or engine, or make one, not 3"),
        ("mine.py:Saying", "needs 'size', as in mine.py:Saying:size=VALUE"),
        ("mine.py:Saying:sise=3", "unknown parameter of mine.py:Saying: 'sise'. Did you mean"),
        ("mine.py:raising", "mine.py, line 68: ValueError: two lines"),
        ("none.py:x", "cannot read"),
        ("mine.py", "give what is meant in the file, too"),
        ("signl", "unknown task, learner or engine 'signl'. Did you mean 'signal'"),
        ("hierarchy/mix", "Did you mean 'hierarchy/max'"),
    ],
)
def test_what_cannot_be_checked_is_one_line(name, message, check):
    code, out, err = check(name)
    assert code == 2 and not out and message in err
    assert err.count("\n") == 1


def test_a_registered_name_is_checked_under_its_parameters(check, monkeypatch, tmp_path):
    from neuromas_env import QuestionAnswer

    monkeypatch.setattr(TASKS, "registered", {})
    rows = [{"question": f"{n}?", "answer": n} for n in range(30)]
    register_task("mine", lambda most=30: QuestionAnswer("mine", rows[:most], "number"))
    assert check("mine:most=25")[:2] == (0, "task mine:most=25: no faults\n")


def test_every_broken_row_is_named_unless_it_is_to_be_left_out(check, tmp_path):
    with (tmp_path / "mine.py").open("a") as file:
        file.write(
            "\n\ndef read(skip_bad_rows=False):\n"
            "    return QuestionAnswer(\n"
            "        'r', 'r.csv', 'number', skip_bad_rows=skip_bad_rows\n    )\n"
        )
    rows = [f"what is {n}?,{n}" for n in range(30)]
    rows[3], rows[7] = "alone", "what is 7?,"
    (tmp_path / "r.csv").write_text("\n".join(["question,answer", *rows]))
    code, out, _ = check("mine.py:read")
    assert code == 1 and "- r.csv, line 5: has 1 cells" in out and "- r.csv, line 9: column" in out
    assert check("mine.py:read", "--skip-bad-rows")[0] == 0
