"""What holds for every task, and the names of tasks."""

import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plugins import install

from neuromas_env.errors import InputError
from neuromas_env.tasks import (
    SPLITS,
    TASKS,
    Example,
    Score,
    Task,
    list_tasks,
    make_task,
    register_task,
)

DATA_FREE = sorted(list_tasks(needs_data=False))
any_text = st.text(st.characters()) | st.text("AB()123 -.,:isTrueFalseanswer\\boxed{}*$\n\0\ud800")


@pytest.fixture(params=DATA_FREE)
def task(request):
    return make_task(request.param)


@pytest.mark.slow
def test_names_and_examples_are_valid(task):
    assert make_task(task.name).name == task.name
    assert pickle.loads(pickle.dumps(task.examples("test")))[0] == task.examples("test")[0]
    assert task.answer_format.endswith(".") and "\n" not in task.answer_format
    ids = []
    for split in SPLITS:
        examples = task.examples(split)[:600]
        ids += [example.id for example in examples]
        for example in examples:
            assert example.question and example.target
            # The whole question holds every part and the query.
            pieces = [example.query, *example.parts]
            assert all(piece in example.question for piece in pieces)
            assert bool(example.query) or not example.parts
    for split in ("validation", "test"):
        assert 0 < task.majority(split) <= task.blind_accuracy(split) <= 1
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in DATA_FREE if not n.startswith("games/")])
def test_gold_answer_scores_one_and_another_answer_zero(name):
    task = make_task(name)
    examples = task.examples("test")[:100]
    for example in examples:
        assert task.score(example, example.target) == Score(1.0, 1.0, "ok", example.target)
        other = next(e.target for e in examples if e.target != example.target)
        assert task.score(example, other) == Score(0.0, 0.0, "wrong", other)
        assert task.score(example, f"The answer is {example.target}.").extracted == 1.0
        assert task.score(example, " \n").reason == "no_answer"
        assert task.score(example, "I do not know").reason == "unparsable"


@pytest.mark.slow
@given(any_text)
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("name", DATA_FREE)
def test_any_text_can_be_scored(name, reply):
    task = make_task(name)
    example = task.examples("test")[0]
    score = task.score(example, reply)
    assert score.strict in (0.0, 1.0) and score.strict <= score.extracted <= 1.0
    assert (score.reason == "ok") == (score.extracted == 1.0)
    assert (score.answer is None) == (score.reason in ("no_answer", "unparsable"))


def test_signal_is_a_fair_guess_without_a_message():
    task = make_task("signal", symbols=5)
    assert task.name == "signal:symbols=5"
    examples = task.examples("train")
    assert [(e.parts, e.target) for e in examples] == [((s,), s) for s in "ABCDE"]
    assert len({e.query for e in examples}) == 1
    assert task.majority("test") == task.blind_accuracy("test") == 1 / 5
    with pytest.raises(InputError, match="symbols must be an integer from 2 to 26, not 27"):
        make_task("signal:symbols=27")
    with pytest.raises(InputError, match="unknown split 'dev'"):
        task.examples("dev")


def test_a_name_is_canonical():
    assert make_task("hierarchy/max:parts=0,leaves=4").name == "hierarchy/max:leaves=4,parts=0"
    assert make_task("hierarchy/max:leaves=8").name == "hierarchy/max"
    assert make_task("hierarchy/max", leaves=4).name == "hierarchy/max:leaves=4"


def test_a_task_passes_through():
    task = make_task("signal")
    assert make_task(task) is task
    with pytest.raises(InputError, match="made already"):
        make_task(task, symbols=3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("signl", "Did you mean 'signal'"),
        ("hierarchy", "unknown task 'hierarchy'. Did you mean 'hierarchy/"),
        ("bbh", "unknown task 'bbh'"),
        ("bbh/../x", "unknown task 'bbh/../x'. Known: .*bbh/navigate"),
        ("arc/easy:shot=3", "Did you mean 'shots'"),
        ("signal/x", "unknown task 'signal/x'"),
        ("signal:symbol=3", "Did you mean 'symbols'"),
        ("signal:symbols", "got 'symbols'"),
        ("signal:symbols=3,symbols=4", "each key once"),
        ("", "unknown task ''"),
    ],
)
def test_bad_names_say_what_would_be_right(name, message, monkeypatch):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    with pytest.raises(InputError, match=message):
        make_task(name)
    with pytest.raises(InputError, match="symbols is given twice"):
        make_task("signal:symbols=3", symbols=3)


class Echo(Task):
    """Repeat the word."""

    def __init__(self, word: str = "yes") -> None:
        self.name, self.word = "echo", word

    def examples(self, split):
        return [Example("0", self.word, self.word)]


@pytest.fixture
def plugins(monkeypatch, tmp_path):
    offered = {"echo": f"{__name__}:Echo", "broken": "no_such_module:Echo"}
    install(monkeypatch, tmp_path, "echoes", {"neuromas_env.tasks": offered})


@pytest.mark.slow
def test_other_packages_add_tasks(plugins):
    assert "echo" in list_tasks() and "echo" not in list_tasks(needs_data=False)
    assert make_task("echo:word=no").examples("test")[0].target == "no"
    with pytest.raises(InputError, match="unknown task 'echo/x'"):
        make_task("echo/x")
    with pytest.raises(InputError, match=r"package echoes \(no_such_module:Echo\) does not load"):
        make_task("broken")


class Budget(Task):
    """A task whose author forgot its parameters."""

    name = "budget"
    answer_format = "Answer with the number only."

    def __init__(self, nodes: int = 2, seed: int = 0, words="plain"):
        self.nodes = nodes

    def examples(self, split):
        return [Example(f"{split}/{n}", f"{split} {n} of {self.nodes}?", str(n)) for n in range(3)]


class Fixed(Budget):
    name = property(lambda self: "fixed")


KEPT = Budget(nodes=7)


@pytest.fixture
def forgetful(monkeypatch):
    makers = {"budget": Budget, "fixed": Fixed, "kept": lambda: KEPT, "no-task": lambda: "budget"}
    monkeypatch.setattr(TASKS, "registered", {})
    for name, make in makers.items():
        register_task(name, make)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("budget", "budget"),
        ("budget:nodes=2", "budget"),
        ("budget:nodes=3", "budget:nodes=3"),
        ("budget:words=rare,nodes=3", "budget:nodes=3,words=rare"),
        ("budget:nodes=3,words=rare", "budget:nodes=3,words=rare"),
        ("budget:seed=0,nodes=5", "budget:nodes=5"),
        ("kept", "kept"),
    ],
)
def test_a_task_is_known_by_what_was_asked_for(asked, name, forgetful):
    assert make_task(asked).name == name
    assert make_task(name).name == name


def test_parameters_given_apart_count_as_well(forgetful):
    assert make_task("budget", nodes=4).name == make_task("budget:nodes=4").name
    assert make_task("budget:nodes=4", words="rare").name == "budget:nodes=4,words=rare"
    assert KEPT.name == "budget" and make_task("kept").examples("test")[0].question.endswith("7?")


def test_what_cannot_be_named_or_is_no_task_is_said(forgetful):
    with pytest.raises(InputError, match="'fixed:nodes=3': its name cannot be set"):
        make_task("fixed:nodes=3")
    assert make_task("fixed").name == "fixed"
    with pytest.raises(InputError, match="'no-task': its function must return a Task, got 'budget"):
        make_task("no-task")


def test_plug_ins_are_known_by_what_was_asked_for(plugins):
    assert make_task("echo:word=no").name == "echo:word=no"
    assert make_task("echo").name == make_task("echo:word=yes").name == "echo"


@pytest.mark.slow
def test_tasks_import_no_heavy_library():
    code = (
        "import sys; from neuromas_env.tasks import make_task, list_tasks\n"
        f"for name in {DATA_FREE}: make_task(name).examples('test')[0]\n"
        "print({'torch', 'transformers', 'datasets', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
