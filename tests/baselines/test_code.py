"""Votes on programs: by what they return for the inputs that a question shows, or by likeness."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Sums, Told, ask_one
from support.code_replies import BAD, TOTAL, fenced
from support.paths import ROWS

from neuromas_env.baselines.similarity import similarities
from neuromas_env.baselines.vote import Vote, most_similar
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task
from neuromas_env.tasks.code import CodeTask
from neuromas_env.tasks.sandbox import Sandbox

# Five that do the same, in as many words.
SAME = [
    "    return sum(numbers)",
    "def total(numbers):\n    return sum(numbers)",
    "So:\n" + fenced("def total(values):\n    result = 0\n    for value in values:\n"
                     "        result += value\n    return result"),
    fenced("from math import fsum\n\ndef total(numbers):\n    return fsum(numbers)"),
    fenced("total = lambda numbers: numbers[0] + total(numbers[1:]) if numbers else 0"),
]  # fmt: skip
CRASHES = fenced("def total(numbers):\n    return numbers.sum()")
LOOPS = fenced("def total(numbers):\n    while True: pass\n    return 0")
PROSE = "I would add them up."


@pytest.fixture(scope="module")
def tasks():
    return {name: make_task(name, data=ROWS) for name in ("humaneval", "mbpp")}


def test_programs_that_do_the_same_agree(tasks):
    task = tasks["humaneval"]
    keys = task.agreement(TOTAL, [*SAME, BAD, CRASHES, "", PROSE])
    assert len(set(keys[:5])) == 1 and None not in keys[:6]
    assert keys[5] != keys[0] and keys[6:] == [None, None, None]
    assert keys == task.agreement(TOTAL, [*SAME, BAD, CRASHES, "", PROSE])


@pytest.mark.parametrize(
    "name", ["sc:k=5", "debate:agents=5,rounds=1", "moa:layers=2,proposers=5,aggregator=vote"]
)
def test_methods_that_vote_count_programs_by_what_they_return(tasks, name):
    said = [fenced(BAD), *SAME[2:4], CRASHES, SAME[4], PROSE]
    engine = Told(lambda _, number: said[number])
    method, trajectory, _ = ask_one(name, engine, tasks["humaneval"])
    assert trajectory.answer == SAME[2].strip()
    assert method.tied(trajectory) is False
    assert trajectory.score.extracted == 1.0


@pytest.mark.slow
def test_a_vote_on_programs_is_one_batch_that_ends(tasks, monkeypatch):
    batches, judge = [], Sandbox.judge
    monkeypatch.setattr(Sandbox, "judge", lambda box, p: batches.append(list(p)) or judge(box, p))
    replies = [SAME[0], LOOPS, SAME[1], LOOPS + "\n", SAME[1], BAD]
    keys = tasks["humaneval"].agreement(TOTAL, replies)
    assert keys[1] is None and keys[3] is None and keys[0] == keys[2] == keys[4] != keys[5]
    [batch] = batches
    assert len(batch) < len(replies)  # what is the same is run once
    assert all(program.seconds == 1 and program.wall_seconds == 10 for program in batch)
    assert tasks["humaneval"].agreement(TOTAL, replies) == keys and len(batches) == 1
    assert tasks["humaneval"].agreement(TOTAL, [BAD] * 3 + [""])[::3] != [None, None]
    assert len(batches) == 1  # one program agrees with itself


def test_only_what_the_question_shows_is_run(tasks):
    for task in tasks.values():
        for split in ("train", "test"):
            for example in task.examples(split):
                shown = task.shown(example.question)
                if shown is None:
                    continue
                assert shown.extra["names"][0] == example.extra["names"][0]
                assert set(shown.extra["names"]) <= set(example.extra["names"])
                for call in shown.extra["calls"]:
                    plain = example.question.replace(" ", "").replace('"', "'")
                    inputs = call.partition("(")[2].rstrip(")").replace(" ", "")
                    assert inputs in plain, (call, example.question)
    assert tasks["humaneval"].shown(TOTAL).extra["calls"] == ("total([1, 2])",)


@pytest.mark.parametrize(
    ("document", "calls"),
    [
        (">>> f([1, 2], 'a)b')\n    3", ("f([1, 2], 'a)b')",)),
        ("f([1], 2) == 3, f([-1.5], (2, {})) ➞ 4", ("f([1], 2)", "f([-1.5], (2, {}))")),
        ("f([1], 2) => 3 and again f([1], 2) -> 3", ("f([1], 2)",)),
        ("round(f([1], 2), 2) is 3", ("f([1], 2)",)),
        ("For xs = [1, 2], n = 3 the output should be 6.", ("f([1, 2], 3)",)),
        ("Input: xs = ['a'], n = -2\n    Output: 'a'", ("f(['a'], -2)",)),
        ("For xs = [1] the output is 1; f(xs, n) is f(xs)", None),
        ("f() and f(1) and f(n, xs)", None),
        ("other([1], 2) == 3", None),
        ("nothing", None),
    ],
)
def test_calls_are_read_out_of_a_docstring(tasks, document, calls):
    prompt = f'def f(xs, n):\n    """ Do it.\n    {document}\n    """\n'
    shown = tasks["humaneval"].shown(prompt)
    assert (shown and shown.extra["calls"]) == calls
    assert tasks["humaneval"].shown("Do it.\n" + prompt) is None


def test_calls_are_read_out_of_an_assert(tasks):
    asked = "Do it.\nYour code should pass this test:\n"
    for test, names, calls in [
        ("assert f(1) == g", ("f", "g"), ("f(1)",)),
        ("assert set(f((3, 4))) == set(f((5, 6)))", ("f",), ("f((3, 4))", "f((5, 6))")),
        ("root = Node(4)\nassert (f(root, Node(1))) == 3", ("f", "Node"), ("f(root, Node(1))",)),
        ("assert math.isclose(f(1), 2.5)", ("f",), ("f(1)",)),
    ]:
        for task in tasks.values():
            shown = task.shown(
                f"Question: {asked}assert no(1)\nAnswer: x\n\nQuestion: {asked}{test}"
            )
            assert (shown.extra["names"], shown.extra["calls"]) == (names, calls)
    for broken in ("", "assert", "assert f", "assert len([1]) == 1", "(" * 5000):
        assert tasks["mbpp"].shown(f"{asked}{broken}") is None


def test_without_an_example_to_run_the_program_most_like_the_others_wins():
    class Total(CodeTask):
        name = "total"

    replies = [BAD, SAME[2], SAME[1], "total = sum", SAME[1].replace("numbers", "values")]
    assert Total().agreement("?", replies) is None
    inbox = [{"source": f"node_{i}", "text": text} for i, text in enumerate(replies)]
    seen = {"question": "?", "inbox": inbox}
    assert Vote(Total()).request(seen, 0) == SAME[1]
    assert Vote(Total()).tied(seen) is False


def test_similarity_is_a_vote_of_self_consistency():
    said = ["7", "The answer is 1008", "I say 1,008.", "1008, or 1009?", "7"]
    engine = Told(lambda _, number: said[number])
    method, trajectory, _ = ask_one("sc:k=5,vote=similarity", engine)
    assert trajectory.answer in ("7", said[1])  # of equal counts, as in any vote
    assert method.name == "sc:k=5,vote=similarity"
    with pytest.raises(InputError, match="unknown value of vote: 'similar'. Did you mean"):
        ask_one("sc:k=5,vote=similar", Told("1"))


TEXTS = [
    "def total(n):\n    return sum(n)", "def total(numbers):\n    return sum(numbers)",
    "a b c d e", "the cat", "The Cat sat on the mat.", "a b c d e f g a b c d",
    "for i in range(10):\n    x += i**2\nreturn x/2.5,-1", "", "x",
]  # fmt: skip
# From sacrebleu 2.6.0: `sentence_bleu(TEXTS[row], [TEXTS[column]], lowercase=True).score`.
SACREBLEU = {
    (0, 1): 48.326978, (4, 3): 13.134549, (3, 4): 8.2085, (6, 0): 4.319402, (5, 2): 35.084397,
    (0, 0): 100.0, (8, 8): 100.0, (7, 7): 0.0, (7, 8): 0.0, (2, 8): 0.0,
}  # fmt: skip


def test_similarity_is_sacrebleus():
    found = similarities(TEXTS)
    for (row, column), score in SACREBLEU.items():
        assert 100 * found[row][column] == pytest.approx(score, abs=1e-6)


@given(st.lists(st.none() | st.text("ab (", max_size=6), min_size=1, max_size=6), st.randoms())
def test_order_of_voters_matters_to_ties_of_similarity_alone(answers, random):
    tally = most_similar(answers)
    assert tally.abstained == answers.count(None)
    if tally.winner is None:
        assert set(answers) == {None}
        return
    other = random.sample(answers, len(answers))
    if not tally.tie:
        assert other[most_similar(other).winner] == answers[tally.winner]
    assert most_similar(answers, [1.0] * len(answers)) == tally


def test_weights_count_in_a_vote_by_similarity():
    assert most_similar(["a b c d", "a b c e", "x y z"]).winner == 0
    assert most_similar(["a b c d", "a b c e", "x y z"], [0.1, 0.1, 3.0]).winner == 2
    assert Sums().agreement("?", ["7", "no idea", "7.0"]) == ["7", None, "7"]
