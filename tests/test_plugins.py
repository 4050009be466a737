"""Each thing that has a name is added by a package in one file, and by a call in one function."""

from __future__ import annotations

import sqlite3
from textwrap import dedent

import pytest
from support.plugins import install
from support.tiny_models import make_tiny
from support.tiny_runs import lines

from neuromas_env.agents.engines.base import ENGINES, make_engine, register_engine
from neuromas_env.agents.learners.base import LEARNERS, register_learner
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines import BASELINES, Setup, register_baseline
from neuromas_env.cli.app import main
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.tasks import (
    DISCRETE_TASKS,
    list_discrete_tasks,
    make_discrete_task,
    register_discrete_task,
)
from neuromas_env.errors import InputError
from neuromas_env.tasks import TASKS, make_task, register_task
from neuromas_env.testing import check_engine, check_learner, check_policy, check_task

FILES = {
    "learners": ("watching", "Watching", '''
        from neuromas_env import Learner

        class Watching(Learner):
            """Learns nothing and counts episodes."""

            def __init__(self, engine, nodes, config):
                self.seen = 0

            def update(self, trajectories):
                self.seen += len(trajectories)
                return {"reward": 0.5, "seen": float(self.seen)}

            def state_dict(self):
                return {"seen": self.seen}

            def load_state_dict(self, state):
                self.seen = state["seen"]
        '''),
    "baselines": ("twice", "twice", '''
        from neuromas_env.baselines import Net, Vote, solve

        def twice(setup, times: int = 2):
            """Ask so many times, then vote."""
            net = Net()
            asked = [net.add(f"ask {i}", setup.ask(solve(setup.task, "direct"), 0.7))
                     for i in range(times)]
            net.add("vote", Vote(setup.task), asked)
            return net.method()
        '''),
    "tasks": ("doubling", "Doubling", '''
        from neuromas_env.errors import unknown
        from neuromas_env.tasks import SPLITS, Example, Task
        from neuromas_env.tasks.answers import extract_number, grade

        class Doubling(Task):
            """Double a number."""

            name, answer_format = "doubling", "Answer with the number only."

            def __init__(self, most: int = 9):
                self.most = most

            def examples(self, split):
                if split not in SPLITS:
                    raise unknown("split", split, SPLITS)
                first = self.most * SPLITS.index(split)
                return [Example(f"{split}/{i}", f"What is twice {i}?", str(2 * i))
                        for i in range(first, first + self.most)]

            def score(self, example, reply):
                return grade(reply, example.target, extract_number(reply))

            def majority(self, split):
                return 1 / self.most
        '''),
    "discrete_tasks": ("majority", "majority", '''
        from neuromas_env.envs.discrete.tasks import DiscreteTask, Dtype

        def majority(name, bits=3):
            """Whether most bits are set."""
            return DiscreteTask(name, (2,) * bits, (), "later", 2,
                                lambda parts, query: (2 * parts.sum(0) > bits).astype(Dtype))
        '''),
    "engines": ("adding", "Adding", '''
        import re

        from neuromas_env.agents.engines.mock import MockEngine

        class Adding(MockEngine):
            """Doubles the number of the question."""

            def __init__(self, model):
                super().__init__(lambda request: str(
                    2 * int(re.findall(r"twice (\\d+)", str(request.turns))[-1])
                    if "twice" in str(request.turns) else 0))
                self.name = f"adding-{model}"
        '''),
}  # fmt: skip


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Install a package of one file for each kind, and go where it is not."""
    folder = tmp_path / "site"
    folder.mkdir()
    points = {
        f"neuromas_env.{kind}": {name: f"more_{kind}:{attribute}"}
        for kind, (name, attribute, _) in FILES.items()
    }
    modules = {f"more_{kind}": dedent(source) for kind, (_, _, source) in FILES.items()}
    install(monkeypatch, folder, "more-of-all", points, modules)
    monkeypatch.chdir(tmp_path)
    assert len(list(folder.glob("*.py"))) == len(FILES) == 5
    return tmp_path


def neuromas(*args: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    assert not end.value.code


@pytest.mark.slow
def test_names_of_a_package_are_listed_with_it(package, capsys):
    for kind in ("tasks", "learners", "baselines", "engines"):
        name, attribute, _ = FILES[kind]
        neuromas("list", kind)
        line = next(li for li in capsys.readouterr().out.splitlines() if li.split()[0] == name)
        assert line.endswith(f"; the package more-of-all (more_{kind}:{attribute})")
        doc = FILES[kind][2].split('"""')[1]
        assert doc.rstrip(".") in line and not doc.count("\n")
    assert list_discrete_tasks()["majority"].startswith("Whether most bits are set; the package")


@pytest.mark.slow
def test_a_task_a_baseline_and_an_engine_of_a_package_meet_in_a_benchmark(package, capsys):
    neuromas("eval", "--policy", "gold", "--task", "doubling:most=5")
    assert "5/5 right" in capsys.readouterr().out
    neuromas("bench", "--methods", "twice:times=3,direct", "--tasks", "doubling",
             "--engine", "adding", "--model", "fast", "--out", "out")  # fmt: skip
    with sqlite3.connect(package / "out" / "bench.sqlite") as db:
        rows = set(db.execute("SELECT DISTINCT method, task, extracted, calls FROM results"))
    assert rows == {("twice:times=3", "doubling", 1.0, 3), ("direct", "doubling", 1.0, 1)}


@pytest.mark.slow
def test_a_learner_of_a_package_trains(package):
    model = make_tiny("llama", package)
    neuromas("train", "--learner", "watching", "--task", "doubling", "--model", model,
             "--dtype", "float32", "--topology", "1-1", "--steps", "1", "--questions", "2",
             "--rollouts", "2", "--eval-questions", "0", "--max-new-tokens", "2", "--rank", "2",
             "--out", "run")  # fmt: skip
    steps = lines(package / "run" / "metrics.jsonl")
    assert [step["seen"] for step in steps if "seen" in step] == [4.0]


def test_a_discrete_task_of_a_package_is_played(package):
    task = make_discrete_task("majority:bits=5")
    assert task.name == "majority:bits=5" and task.parts == (2,) * 5
    assert make_layout("majority", "3-1").task.name == "majority"
    with pytest.raises(InputError, match="Did you mean 'bits'"):
        make_discrete_task("majority:bit=5")


def test_all_keep_their_contracts(package):
    check_task(make_task("doubling"))
    check_engine(engine := ENGINES.find("adding")("fast"))
    check_learner(LEARNERS.find("watching"))
    method = BASELINES.find("twice")
    for policy in method(Setup("twice", make_task("doubling"), engine)).team.values():
        check_policy(policy)


def test_each_is_added_by_a_call(monkeypatch, package):
    registered = {
        "tasks": (TASKS, register_task),
        "learners": (LEARNERS, register_learner),
        "baselines": (BASELINES, register_baseline),
        "engines": (ENGINES, register_engine),
        "discrete_tasks": (DISCRETE_TASKS, register_discrete_task),
    }
    assert registered.keys() == FILES.keys()
    for kind, (registry, register) in registered.items():
        monkeypatch.setattr(registry, "registered", {})
        made = registry.find(FILES[kind][0])
        register("mine", about="of this test")(made)
        assert registry.find("mine") is made and registry.abouts()["mine"] == "of this test"
    assert make_task("mine:most=3").name == "mine:most=3"
    TrainConfig(engine="mine").validate()
    with pytest.raises(InputError, match="unknown engine 'mein'. Did you mean 'mine'"):
        TrainConfig(engine="mein").validate()


def test_an_engine_says_what_it_needs_and_what_it_must_be(monkeypatch, tmp_path):
    monkeypatch.setattr(ENGINES, "registered", {})
    register_engine("greedy", lambda model, spoons: None)
    with pytest.raises(InputError, match="'greedy' needs spoons, which no option gives"):
        make_engine("greedy", {"model": "m"})
    register_engine("none", lambda: None)
    with pytest.raises(InputError, match="'none': its function must return a .*Engine, got None"):
        make_engine("none", {})
    with pytest.raises(InputError, match="'no.such:x' cannot be loaded"):
        make_engine("no.such:x", {})
    (tmp_path / "odd_engine.py").write_text("def make():\n    raise RuntimeError('no key')\n")
    (tmp_path / "odd_syntax.py").write_text("def make(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="'odd_engine:make' cannot be made: RuntimeError: no key"):
        make_engine("odd_engine:make", {})
    with pytest.raises(InputError, match=r"cannot be loaded: .*odd_syntax.py, line 1"):
        make_engine("odd_syntax:make", {})
