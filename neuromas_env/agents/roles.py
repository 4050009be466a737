"""Prompts with roles, of learners whose sources have them.

A node with a role is told what to do in place of where it stands and, as in published methods,
reads the whole question, also where the task deals parts.
"""

from __future__ import annotations

from neuromas_env.agents.prompts import Turns
from neuromas_env.policy import Observation


def malt(observation: Observation, answer_format: str) -> Turns:
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
