"""Worlds that answer: what passes the border, and what fails one episode alone."""

import numpy as np
import pytest
from support.toy_tasks import Echo

from neuromas_env.errors import InputError
from neuromas_env.tasks.interactive import MAX_RESPONSE, Response, responses

ROWS = Echo.rows["train"]


class Answering(Echo):
    """Answers the second example with whatever it was given."""

    def __init__(self, response):
        self.response = response

    def reply(self, example, actions):
        if example.target != "b":
            return super().reply(example, actions)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


def ask(task):
    return responses(task, ROWS, [("x", "a"), ("b",), ("a", "b", "a")])


def test_a_world_answers_each_episode_by_its_actions():
    assert ask(Echo()) == [
        Response("a: True", done=True),
        Response("b: True", done=True),
        Response("a: False", done=True),
    ]


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (ZeroDivisionError("by zero"), "must never raise, got ZeroDivisionError('by zero')"),
        (InputError("no such thing"), "no such thing"),
        ("b", "it must be a Response, not 'b'"),
        (None, "it must be a Response, not None"),
        (Response(3), "text and parts must be texts, not 3"),
        (Response("", ["x"]), "parts must be a tuple of texts, not ['x']"),
        (Response("", (b"x",)), "text and parts must be texts, not b'x'"),
        (Response("x" * (MAX_RESPONSE + 1)), "has 20001 characters, at most 20000 are allowed"),
        (Response("\ud800"), "not valid Unicode: lone surrogate at 0"),
        (Response(reward=float("nan")), "reward must be a finite number, not nan"),
        (Response(reward="1"), "reward must be a finite number, not '1'"),
        (Response(reward=True), "reward must be a finite number, not True"),
        (Response(done=1), "done must be True or False, not 1"),
    ],
)  # fmt: skip
def test_nonsense_fails_its_episode_alone_in_one_line(response, said):
    first, second, third = ask(Answering(response))
    assert (first.text, third.text) == ("a: True", "a: False")
    assert isinstance(second, InputError) and str(second).endswith(said)
    assert str(second).startswith("task 'echo': reply to example 'train/b'") and "\n" not in str(
        second
    )


@pytest.mark.parametrize("raises", [True, False])
def test_a_batch_that_raises_or_loses_an_answer_is_asked_one_by_one(raises):
    class Batched(Echo):
        def reply_many(self, examples, actions):
            if raises:
                raise RuntimeError("the whole batch")
            return super().reply_many(examples, actions)[1:]

    assert ask(Batched()) == ask(Echo())


def test_rewards_are_plain_floats_at_the_border():
    response = ask(Answering(Response(reward=np.float32(0.5))))[1]
    assert response == Response(reward=0.5) and type(response.reward) is float


def test_the_last_action_is_the_answer_unless_a_task_says_otherwise():
    task = Echo()
    assert task.outcome(ROWS[0], ("b", "a")).strict == 1.0
    assert [s.strict for s in task.outcome_many(ROWS, [("a", "b"), ("b",), ("c",)])] == [0, 1, 1]
    assert task.outcome(ROWS[0], task.play(ROWS[0])).strict == 1.0
