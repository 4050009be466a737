"""Tasks that answer back: a world reads a network's action after each round and replies.

A world keeps no state. What it says is a pure function of the example and of all actions so far,
so that episodes fork, replay and resume, and many are answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Real
from typing import Any

from neuromas_env.checks import shown
from neuromas_env.errors import InputError
from neuromas_env.scripts import blamed
from neuromas_env.tasks.base import Example, Score, Task

MAX_RESPONSE = 20_000
"""Characters of a world's text, and of each of its parts."""


@dataclass(frozen=True)
class Response:
    """What a world says to an action.

    Attributes:
        text: All that it says, for nodes that read the whole; holds what the parts hold.
        parts: What can be dealt to the input nodes, one text each, as an example's parts are;
            empty when all input nodes read the text.
        reward: What the action earns beside the outcome, which is scored at the end.
        done: Whether it was the last action.
    """

    text: str = ""
    parts: tuple[str, ...] = ()
    reward: float = 0.0
    done: bool = False


class InteractiveTask(Task):
    """A task that takes several actions, the answers of the rounds, and replies to each.

    Subclasses set `rounds` and implement `reply`; a network of fewer rounds may play, too.

    Attributes:
        rounds: After how many actions it is over at the latest.
    """

    rounds: int

    def reply(self, example: Example, actions: tuple[str, ...]) -> Response:
        """Return what the world says to the last action.

        Pure, for any text as an action, and never raises.

        Args:
            example: The question.
            actions: All actions so far, at least one.
        """
        raise NotImplementedError

    def reply_many(
        self, examples: Sequence[Example], actions: Sequence[tuple[str, ...]]
    ) -> list[Response]:
        """Return a response for each example, as `reply` does; some tasks do it at once.

        Args:
            examples: The question of each episode.
            actions: All actions so far of each.
        """
        return [self.reply(e, taken) for e, taken in zip(examples, actions, strict=True)]

    def outcome(self, example: Example, actions: tuple[str, ...]) -> Score:
        """Score an episode by its actions; by default the last one is the answer.

        Never raises.

        Args:
            example: The question.
            actions: All actions of the episode, at least one.
        """
        return self.score(example, actions[-1])

    def outcome_many(
        self, examples: Sequence[Example], actions: Sequence[tuple[str, ...]]
    ) -> list[Score]:
        """Score the episode of each example, as `outcome` does; some tasks do it at once.

        Args:
            examples: The question of each episode.
            actions: All actions of each.
        """
        return [self.outcome(e, taken) for e, taken in zip(examples, actions, strict=True)]

    def play(self, example: Example) -> tuple[str, ...]:
        """Return actions that must score 1 on an example, one for each round that is needed.

        By default it is the reference answer at once.
        """
        return (self.gold(example),)

    def one_round_accuracy(self, split: str) -> float | None:
        """Best accuracy on a split of a network that acts once, None where it is not known."""
        return None


def responses(
    task: InteractiveTask, examples: Sequence[Example], actions: Sequence[tuple[str, ...]]
) -> list[Response | InputError]:
    """Ask a world for its response to each episode, checked.

    Args:
        task: The world.
        examples: The question of each episode.
        actions: All actions so far of each, the last one unanswered.

    Returns:
        Of each episode the response, with a plain float as its reward, or the error that names
        what is wrong with it; the other episodes continue.
    """
    try:
        found: Sequence[Any] = task.reply_many(examples, actions)
    except Exception:
        found = ()
    if not isinstance(found, list | tuple) or len(found) != len(examples):
        found = [_alone(task, e, taken) for e, taken in zip(examples, actions, strict=True)]
    return [_checked(task, example, one) for example, one in zip(examples, found, strict=True)]


def unfit(response: object) -> str | None:
    """Return what is wrong with what a world said, None if nothing is."""
    if not isinstance(response, Response):
        return f"it must be a Response, not {shown(response)}"
    if not isinstance(response.parts, tuple):
        return f"parts must be a tuple of texts, not {shown(response.parts)}"
    for text in (response.text, *response.parts):
        if not isinstance(text, str):
            return f"text and parts must be texts, not {shown(text)}"
        if len(text) > MAX_RESPONSE:
            return f"a text has {len(text)} characters, at most {MAX_RESPONSE} are allowed"
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"a text is not valid Unicode: lone surrogate at {error.start}"
    reward = response.reward
    if isinstance(reward, bool) or not isinstance(reward, Real) or not isfinite(reward):
        return f"reward must be a finite number, not {shown(reward)}"
    if not isinstance(response.done, bool):
        return f"done must be True or False, not {shown(response.done)}"
    return None


def _alone(task: InteractiveTask, example: Example, actions: tuple[str, ...]) -> Any:
    try:
        with blamed():
            return task.reply(example, actions)
    except Exception as error:
        return error


def _checked(task: InteractiveTask, example: Example, found: Any) -> Response | InputError:
    place = f"task {task.name!r}: reply to example {example.id!r}"
    if isinstance(found, InputError):
        return InputError(f"{place}: {found}")
    if isinstance(found, Exception):
        return InputError(f"{place} must never raise, got {shown(found)}")
    if wrong := unfit(found):
        return InputError(f"{place}: {wrong}")
    return replace(found, reward=float(found.reward))
