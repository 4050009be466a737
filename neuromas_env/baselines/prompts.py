"""The prompts that baselines share: how a question is put to a node that reads nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from neuromas_env.agents.prompt import build_prompt
from neuromas_env.baselines.method import Prompt, Turns
from neuromas_env.errors import unknown
from neuromas_env.policy import Observation
from neuromas_env.tasks.base import Task

STYLES = ("cot", "direct")
_LONE = {"node": 0, "layer": 0, "index": 0, "sources": (), "readers": ()}


def reasoned(task: Task) -> str:
    """Ask for reasoning, then an answer in the task's form."""
    return (
        "Reason step by step in a few short sentences, then write 'The answer is' and the "
        f"answer. For the answer alone this holds: {task.answer_format}"
    )


def solve(task: Task, style: str = "cot") -> Prompt:
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


def numbered(items: Iterable[str]) -> str:
    """List texts under numbers."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(items, 1))
