"""Repair of code: which examples a question shows, and what a program is told of them."""

from dataclasses import replace

import pytest
from support.paths import DATA, ROWS

from neuromas_env import Method, Topology
from neuromas_env.baselines import Script
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import Example, make_task
from neuromas_env.tasks.code import SECONDS
from neuromas_env.tasks.repair import WRONG, shown_examples
from neuromas_env.testing import check_task

DOCTEST = '''def total(values, start=0):
    """Add numbers.
    >>> total([1, 2])
    3
    >>> total([])
    0
    total([1], 2) == 3
    total([5]) ==> 5, since it is alone
    total([2]) => 19 - 17
    total(values) == 1
    """
'''
MBPP = "Add numbers.\nYour code should pass this test:\nassert total([1, 2]) == 3"


def question(prompt=DOCTEST, tests="assert total([7]) == 7\n"):
    extra = {"prompt": prompt if "def" in prompt else "", "names": ("total",), "tests": tests}
    return Example("x", prompt, "x", extra=extra | {"setup": "", "seconds": SECONDS})


@pytest.fixture(scope="module")
def task():
    return make_task("code/repair", data=ROWS)


def told(task, body, prompt=DOCTEST):
    return task.reply(
        question(prompt), (f"def total(values, start=0):\n    {body}\n    return 0\n",)
    )


def test_the_examples_are_those_that_can_be_read_in_the_question():
    texts = ["total([1, 2]) == 3", "total([]) == 0", "total([1], 2) == 3", "total([5]) == 5"]
    assert [shown.text for shown in shown_examples(question())] == texts
    assert [shown.text for shown in shown_examples(question(MBPP))] == texts[:1]


def test_calls_without_results_are_run_and_without_calls_the_function_is_looked_for():
    calls = 'def total(values):\n    """total([1]) and total([2]) differ."""\n'
    assert [shown.text for shown in shown_examples(question(calls))] == ["total([1])", "total([2])"]
    none = 'def total(values):\n    """Add."""\n'
    assert [shown.text for shown in shown_examples(question(none))] == ["total"]
    wrong = replace(question(), id=sorted(WRONG)[0])
    assert [shown.text for shown in shown_examples(wrong)] == ["total"]


def test_a_program_is_told_of_each_example_in_a_line(task):
    response = told(task, "return 3 if values else {'b', 'a'}")
    assert response.text.split("\n") == [
        "total([1, 2]) == 3: passed",
        "total([]) == 0: wrong: got {'a', 'b'}",
        "total([1], 2) == 3: passed",
        "total([5]) == 5: wrong: got 3",
    ]
    assert not response.done and response.reward == 0


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return values[9]", "IndexError: list index out of range"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        pytest.param(
            "raise KeyError(object())", "KeyError: <object object at ...>", id="an address"
        ),
        ("raise OSError('no /home/me/key.txt')", "OSError: no ..."),
        ("return total", "wrong: got an object"),
        ("return [0] * 10**10", "out of memory"),
        ("return 9 **", "no function of this name is in the program"),
        pytest.param("while True: pass", "out of time", marks=pytest.mark.slow),
    ],
)
def test_what_goes_wrong_is_said_without_places(task, body, line):
    assert told(task, body, MBPP).text == f"total([1, 2]) == 3: {line}"


def test_it_is_over_when_all_examples_pass_or_after_the_last_round(task):
    right, wrong = "return sum(values) + start", "return 1"
    assert told(task, right).done and not told(task, wrong).done
    programs = tuple(f"def total(values, start=0):\n    {body}\n" for body in (wrong, right, wrong))
    responses = task.reply_many([question()] * 3, [programs[:1], programs[:2], programs])
    assert [response.done for response in responses] == [False, True, True]


def test_hidden_tests_score_the_last_program(task):
    programs = tuple(f"def total(values, start=0):\n    return {x}\n" for x in ("7", "0"))
    assert [s.strict for s in task.outcome_many([question()] * 2, [programs, programs[::-1]])] == [
        0.0,
        1.0,
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("code/repair:benchmark=gsm8k", "benchmark must be humaneval or mbpp, not 'gsm8k'"),
        ("code/repair:rounds=0", "rounds must be an integer from 1 to 20, not 0"),
        ("code/fix", "unknown task 'code/fix'"),
    ],
)
def test_parameters_are_checked(name, said):
    with pytest.raises(InputError, match=said):
        make_task(name, data=ROWS)


def test_names_say_what_differs():
    task = make_task("code/repair:rounds=5,benchmark=mbpp", data=ROWS)
    assert (task.name, task.rounds) == ("code/repair:benchmark=mbpp,rounds=5", 5)


def test_a_network_that_heeds_what_it_is_told_repairs_its_program(task):
    """The first program is wrong in each episode; all are run at once after each round."""

    def repair(observation):
        told = " ".join(m["text"] for m in observation["inbox"] if m["source"] == "world")
        body = "return sum(values) + start" if "got None" in told else "return None"
        return f"def total(values, start=0):\n    {body}\n"

    topology = Topology.parse("1:rounds=3:memory=none:feedback=none")
    method = Method(topology, {"node_0": Script(repair)})
    runs = run_episodes(method, task, [question(), question(MBPP)], rollouts=2)
    assert [run.reward for run in runs] == [1.0] * 4
    assert [len(run.turns) for run in runs] == [2] * 4 and not any(run.truncated for run in runs)
    [alone] = run_episodes(Method(Topology.parse("1"), method.team), task, [question()])
    assert alone.reward == 0 and alone.truncated


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp"])
def test_made_up_rows_have_no_faults(benchmark):
    check_task(make_task("code/repair", data=ROWS, benchmark=benchmark))


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.skipif(not DATA, reason="needs the benchmarks' rows")
@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp"])
def test_reference_solutions_pass_all_examples(benchmark):
    task = make_task("code/repair", data=DATA, benchmark=benchmark)
    rows = task.examples("test")
    responses = task.reply_many(rows, [task.play(row) for row in rows])
    assert [row.id for row, said in zip(rows, responses, strict=True) if not said.done] == []
