"""`check_task` on interactive tasks: silent on sound worlds, one line for each way to break one."""

import itertools
import re

import pytest
from support.toy_tasks import Echo

from neuromas_env.errors import InputError
from neuromas_env.tasks.base import Score
from neuromas_env.tasks.interactive import Response
from neuromas_env.testing import check_task


def broken(**changes):
    """Make an echo apart from what is changed; its class stands where pickle looks for it."""
    globals()["Broken"] = type("Broken", (Echo,), {**changes, "__module__": __name__})
    return Broken()  # noqa: F821


def sound(example, actions):
    return Echo().reply(example, actions)


def never_ends(self, example, actions):
    return Response(done=actions[-1] == example.target)


def ends_at_once(self, example, actions):
    return Response(done=True)


calls = itertools.count()


def counts_calls(self, example, actions):
    response = sound(example, actions)
    return Response(f"{next(calls)}", done=response.done)


def batch_says_other(self, examples, actions):
    return [Response("other", done=True) for _ in examples]


def batch_loses_one(self, examples, actions):
    return [sound(e, taken) for e, taken in zip(examples, actions, strict=True)][1:]


def batch_raises(self, examples, actions):
    raise ZeroDivisionError("at once")


def raises_at_odd(self, example, actions):
    return sound(example, actions) if 1 / len(actions[-1]) else None


def deals_parts_at_the_end(self, example, actions):
    done = sound(example, actions).done
    return Response("x y", ("x", "y") if done else (), done=done)


def hides_a_part(self, example, actions):
    return Response("x", ("x", "y"), done=sound(example, actions).done)


def pays_nan(self, example, actions):
    return Response(reward=float("nan"), done=True)


def half(self, example, actions):
    return Score(0.5, 0.5, "wrong", actions[-1])


scores = itertools.cycle((Score(1.0, 1.0, "ok", "a"), Score(1.0, 1.0, "ok", "b")))


def test_a_sound_world_has_no_faults():
    check_task(Echo())
    check_task(broken())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 0}, "rounds must be an integer of at least 1, not 0"),
        ({"reply": never_ends}, "must be done after 3 actions, as rounds says, but goes on"),
        ({"reply": counts_calls}, "it must depend on example and actions alone"),
        ({"reply": lambda self, example, actions: None}, "it must be a Response, not None"),
        ({"reply": pays_nan}, "reward must be a finite number, not nan"),
        ({"reply": deals_parts_at_the_end}, "replies deal 2 parts, then 0"),
        ({"reply": hides_a_part}, "a reply's text must hold every part, not 'y'"),
        ({"reply": raises_at_odd}, "reply() must never raise: ZeroDivisionError"),
        ({"reply_many": batch_says_other}, "asked at once by reply_many()"),
        ({"reply_many": batch_loses_one}, "reply_many() returns"),
        ({"reply_many": batch_raises}, "must never raise: ZeroDivisionError('at once')"),
        ({"play": lambda self, e: (e.target, "x")}, "2 actions, but the world is done after 1"),
        ({"play": lambda self, e: ("x",)}, "1 actions, but the world goes on after 1"),
        ({"play": lambda self, e: ()}, "play() must return 1 to 3 texts in a tuple, not ()"),
        ({"play": lambda self, e: "x"}, "play() must return 1 to 3 texts in a tuple, not 'x'"),
        ({"play": lambda self, e: e.no}, "play() raises AttributeError"),
        ({"outcome": half}, "its own play must score 1.0, strict and extracted, not Score"),
        ({"outcome": lambda self, e, actions: next(scores)}, "the same play scores Score"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line(changes, said):
    with pytest.raises(InputError) as caught:
        check_task(broken(**changes))
    first, *faults = str(caught.value).splitlines()
    assert first == "task 'echo':" and any(said in fault for fault in faults), caught.value
    assert all(re.match("- ", fault) for fault in faults)
