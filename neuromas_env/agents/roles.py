"""Learners that come with roles for the nodes, as their sources have them.

Networks are role-free unless their learner is named here. A node with a role is told what
to do in place of where it stands and, as in published methods, reads the whole question,
also where the task deals parts.
"""

from __future__ import annotations

from collections.abc import Callable

from neuromas_env.agents.prompts import build_prompt, role_prompt, unplaced_prompt
from neuromas_env.policy import Observation

Prompt = Callable[[Observation, str], tuple[tuple[str, str], ...]]
"""Writes the chat turns of a node's turn from what it sees and the task's answer format."""


def malt(observation: Observation, answer_format: str) -> tuple[tuple[str, str], ...]:
    """Tell the first layer to solve, the second to criticise, the third to do it better.

    The wording is ours. Question first, messages last, so that rows of one question share
    the longest possible beginning.
    """
    system = (
        f"You solve a task. {answer_format}",
        "You check a draft of a solution: say in a few words what is wrong with it, or that it "
        "is right. Give no solution of your own.",
        f"You write the final solution: heed the critique of the draft. {answer_format}",
    )[int(observation["place"]["layer"])]
    said = zip(("Draft", "Critique"), observation["inbox"], strict=False)
    messages = [f"{name}: {message['text']}" for name, message in said]
    return ("system", system), ("user", "\n".join([observation["question"], *messages]))


ROLES: dict[str, Prompt] = {"malt": malt}
CONTROLS: dict[str, Prompt] = {
    "joint_unplaced": unplaced_prompt,
    "joint_roles": role_prompt,
    "joint_whole": build_prompt,
}
"""The joint learner on networks that read something else and are otherwise the same."""


def prompt_of(learner: str) -> Prompt:
    """Return how the nodes of a learner's networks are prompted."""
    return {**ROLES, **CONTROLS}.get(learner, build_prompt)


def reads_whole(learner: str) -> bool:
    """Say whether every node of a learner's networks reads the whole question, dealt or not."""
    return learner in ROLES or learner == "joint_whole"
