"""The prompts that baselines share: how a question is put to a node that reads nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from neuromas_env.agents.prompts import Turns, build_prompt
from neuromas_env.errors import unknown
from neuromas_env.policy import Observation
from neuromas_env.tasks.base import Task

STYLES = ("cot", "direct")
AGGREGATORS = ("llm", "vote")
_LONE = {"node": 0, "layer": 0, "index": 0, "sources": (), "readers": ()}


def reasoned(task: Task) -> str:
    """Ask for reasoning, then an answer in the task's form."""
    return (
        "Reason step by step in a few short sentences, then write 'The answer is' and the "
        f"answer. For the answer alone this holds: {task.answer_format}"
    )


def answer_in(task: Task, style: str) -> str:
    """Ask for an answer in a style, in a word to a node that has been asked before."""
    return reasoned(task) if style == "cot" else task.answer_format


def solve(task: Task, style: str = "cot") -> Callable[[Observation], Turns]:
    """Return the prompt of a solver.

    Args:
        task: Gives the answer format.
        style: `direct` is the prompt of a network of one node; `cot` asks for reasoning first.

    Raises:
        InputError: There is no such style.
    """
    if style not in STYLES:
        raise unknown("value of prompt:", style, STYLES)

    def prompt(observation: Observation) -> Turns:
        if style == "cot":
            return ("system", reasoned(task)), ("user", observation["question"])
        alone = {"question": observation["question"], "inbox": (), "place": _LONE}
        return build_prompt(alone, task.answer_format)

    return prompt


def told(instruction: str, observation: Observation, *more: str) -> Turns:
    """Instruct a node in the system turn; the question and what more it reads are the user turn."""
    return ("system", instruction), ("user", "\n\n".join([observation["question"], *more]))


def numbered(items: Iterable[str]) -> str:
    """List texts under numbers."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(items, 1))


def list_items(reply: str, most: int) -> list[str]:
    """Return the different lines of a list, without their numbers and bullets, up to `most`."""
    lines = [re.sub(r"^\s*(?:\d+[.):]|[-*•])\s+", "", line).strip() for line in reply.splitlines()]
    return list(dict.fromkeys(filter(None, lines)))[:most]
