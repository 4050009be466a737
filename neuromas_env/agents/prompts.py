"""The prompt: role-free, structure-aware.

The system turn says where the node stands, whom it reads, who reads it and in which
form to answer; the user turn holds the question and, last, the messages. Rows of one
question so share the longest possible beginning. Outside of the two controls a node is never
told to be a planner, a critic or anything else. The line of structure is terse because small
models lose the question behind a wordy one (`docs/first-run.md` has the figures).
"""

from __future__ import annotations

from collections.abc import Callable

from neuromas_env.policy import Observation

Turns = tuple[tuple[str, str], ...]
Prompt = Callable[[Observation], Turns | str]
"""Writes the chat turns of a call from what the node sees, and from nothing else; a text in
place of turns is the node's message, said without a call."""


def build_prompt(observation: Observation, answer_format: str) -> Turns:
    """Write the chat turns for one node's turn.

    Args:
        observation: What the environment shows the node.
        answer_format: The task's sentence on the form of an answer.

    Returns:
        A system and a user turn. They depend on the node's place, the question, the
        messages and the answer format alone.
    """
    place = observation["place"]
    reads = ["question", *(f"node_{i}" for i, edge in enumerate(place["sources"]) if edge)]
    readers = [f"node_{i}" for i, edge in enumerate(place["readers"]) if edge]
    structure = " | ".join(
        [
            f"node_{place['node']}",
            f"layer {place['layer']}",
            f"index {place['index']}",
            f"reads {', '.join(reads)}",
            f"read by {', '.join(readers)}" if readers else "gives the answer",
        ]
    )
    messages = [f"{message['source']}: {message['text']}" for message in observation["inbox"]]
    return (
        ("system", f"[{structure}]\n{answer_format}"),
        ("user", "\n".join([observation["question"], *messages])),
    )


def unplaced_prompt(observation: Observation, answer_format: str) -> Turns:
    """Write the same turns without the line of structure: a control."""
    _, user = build_prompt(observation, answer_format)
    return ("system", answer_format), user


def role_prompt(observation: Observation, answer_format: str) -> Turns:
    """Write the same turns with a role in place of the line of structure: a control."""
    place, (_, user) = observation["place"], build_prompt(observation, answer_format)
    if not any(place["readers"]):
        role = "You are the judge: you weigh what you read and decide."
    elif not any(place["sources"]):
        role = "You are a specialist: you solve what you are shown."
    else:
        role = "You are a reviewer: you check the messages that you read and correct them."
    return ("system", f"{role}\n{answer_format}"), user


PROMPTS: dict[str, Callable[..., Turns]] = {
    "place": build_prompt,
    "none": unplaced_prompt,
    "roles": role_prompt,
}
"""What a node is told of itself: its place, nothing, or a role."""
