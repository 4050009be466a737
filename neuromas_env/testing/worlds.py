"""Check the world of an interactive task: that it is pure, that it ends, and that it can be won."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from neuromas_env.envs.spaces import MAX_MESSAGE
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.interactive import InteractiveTask, Response, unfit
from neuromas_env.testing.faults import guarded, raised, short
from neuromas_env.text import valid

Actions = tuple[str, ...]
Asked = dict[tuple[str, Actions], tuple[Example, Response]]
_FEW = 20


def world_faults(
    task: InteractiveTask, examples: Sequence[Example], odd: Mapping[str, str]
) -> Iterator[str]:
    """Yield what is wrong with a world.

    Args:
        task: The world.
        examples: Rows of all splits; some of them, evenly spread, are played.
        odd: Actions that no world may raise at or go on after for ever, by what they are.
    """
    if type(task.rounds) is not int or task.rounds < 1:
        yield f"rounds must be an integer of at least 1, not {task.rounds!r}"
        return
    few = examples[:: -(-len(examples) // _FEW)]
    asked: Asked = {}
    faults = [*guarded("play()", lambda: _first(few, lambda e: _won(task, e, asked)))]
    if not faults:
        ended = [*odd.items(), ("the play of another row", task.play(few[0])[-1])]
        faults += _first(
            [(what, valid(action)[:MAX_MESSAGE]) for what, action in ended],  # as messages are
            lambda one: _endless(task, few[-1], one[0], one[1], asked),
        )
    yield from faults
    yield from _dealt(asked)
    yield from _impure(task, asked)


def _first(things: Iterable, fault: Callable[..., str | None]) -> list[str]:
    """Return what is wrong with the first faulty thing; mostly the others have the same fault."""
    return next(([wrong] for thing in things if (wrong := fault(thing))), [])


def _won(task: InteractiveTask, example: Example, asked: Asked) -> str | None:
    play, place = task.play(example), f"example {example.id!r}"
    texts = isinstance(play, tuple) and all(isinstance(action, str) for action in play)
    if not texts or not 1 <= len(play) <= task.rounds:
        return f"{place}: play() must return 1 to {task.rounds} texts in a tuple, not {short(play)}"
    for count in range(1, len(play) + 1):
        found = _reply(task, example, play[:count], asked)
        if isinstance(found, str):
            return found
        if not found.done and count == task.rounds:
            return _no_end(task, example, "its own play")
        if found.done != (count == len(play)) and example.id not in task.flaws:
            ends = "is done" if found.done else "goes on"
            return f"{place}: its play has {len(play)} actions, but the world {ends} after {count}"
    score = task.outcome(example, play)
    if (score.strict, score.extracted) != (1.0, 1.0) and example.id not in task.flaws:
        return f"{place}: its own play must score 1.0, strict and extracted, not {score}"
    again = task.outcome(example, play)
    return None if again == score else f"{place}: the same play scores {score}, then {again}"


def _endless(
    task: InteractiveTask, example: Example, what: str, action: str, asked: Asked
) -> str | None:
    """Return what is wrong where every action is the same."""
    for count in range(1, task.rounds + 1):
        found = _reply(task, example, (action,) * count, asked)
        if isinstance(found, str):
            return f"{found} for {what}"
        if found.done:
            return None
    return _no_end(task, example, f"so many times {what}")


def _no_end(task: InteractiveTask, example: Example, after: str) -> str:
    return (
        f"example {example.id!r}: the world must be done after {task.rounds} actions, as rounds "
        f"says, but goes on after {after}"
    )


def _reply(
    task: InteractiveTask, example: Example, actions: Actions, asked: Asked
) -> Response | str:
    """Return the response to an episode, or what is wrong with it."""
    try:
        found = task.reply(example, actions)
    except Exception as error:
        return f"reply() must never raise: {raised(error)}"
    if wrong := unfit(found):
        return f"example {example.id!r}: reply to {short(actions)}: {wrong}"
    asked[example.id, actions] = example, found
    return found


def _dealt(asked: Asked) -> Iterator[str]:
    counts: dict[str, int] = {}
    for example, found in asked.values():
        count = counts.setdefault(example.id, len(found.parts))
        if count != len(found.parts):
            yield f"example {example.id!r}: replies deal {count} parts, then {len(found.parts)}"
            return
        lost = next((part for part in found.parts if part not in found.text), None)
        if lost is not None:
            yield f"example {example.id!r}: a reply's text must hold every part, not {short(lost)}"
            return


def _impure(task: InteractiveTask, asked: Asked) -> Iterator[str]:
    """Ask all once more, in another order, at once and from a copy."""
    episodes = [(example, actions) for (_, actions), (example, _) in reversed(asked.items())]
    given = [example for example, _ in episodes], [actions for _, actions in episodes]
    ways: dict[str, Callable[[], Sequence[Response]]] = {
        "asked again in another order": lambda: [task.reply(*one) for one in episodes],
        "asked at once by reply_many()": lambda: task.reply_many(*given),
    }
    try:
        copied = pickle.loads(pickle.dumps(task))
        ways["asked of a copied task"] = lambda: copied.reply_many(*given)
    except Exception:  # which is said of every task
        pass
    for how, ask in ways.items():
        try:
            again = ask()
        except Exception as error:
            yield f"reply() must never raise: {raised(error)}, {how}"
            return
        if len(again) != len(episodes):
            yield f"reply_many() returns {len(again)} responses to {len(episodes)} episodes"
            return
        for (example, actions), new in zip(episodes, again, strict=True):
            if new != (old := asked[example.id, actions][1]):
                yield (
                    f"example {example.id!r}: the reply to {short(actions)} is {short(old)}, and "
                    f"{short(new)} {how}; it must depend on example and actions alone"
                )
                return
