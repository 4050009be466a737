"""The prompt: role-free, structure-aware.

The system turn says where the node stands, whom it reads, who reads it and in which
form to answer; the user turn holds the question and, last, the messages. Rows of one
question so share the longest possible beginning. Outside of the two controls a node is never
told to be a planner, a critic or anything else. The line of structure is terse because small
models lose the question behind a wordy one (`docs/first-run.md` has the figures).

The first round's turns are those of a network without rounds. A node with memory then continues
the same conversation: its own message, and a user turn that names the round and tells what is
new. So each of its prompts begins with the one before. A node without memory reads the question
and its news, and the round last.
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
        A system and a user turn; of a node that remembers earlier rounds then each of its own
        messages with the user turn that follows it. They depend on the node's place, the
        question, the messages and the answer format alone.
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
    return ("system", f"[{structure}]\n{answer_format}"), *_conversation(observation)


def _conversation(observation: Observation) -> Turns:
    """Write what a node has read and said, its turns of earlier rounds first."""
    place, own = observation["place"], _remembered(observation)
    turns: list[tuple[str, str]] = []
    news: list[str] = []

    def user(number: int) -> tuple[str, str]:
        marker = [f"[round {number + 1} of {place['rounds']}]"] if number else []
        lines = [*marker, *news] if turns else [observation["question"], *news, *marker]
        return "user", "\n".join(lines)

    for message in observation["inbox"]:
        if message["source"] == own:
            turns += [user(message["round"]), ("assistant", message["text"])]
            news.clear()
        else:
            news.append(f"{message['source']}: {message['text']}")
    return (*turns, user(place.get("round", 0)))


def _remembered(observation: Observation) -> str | None:
    """Return as whose the inbox holds the node's own earlier messages, None without memory."""
    place = observation["place"]
    return f"node_{place['node']}" if place.get("memory") else None


def short_news(
    observation: Observation, answer_format: str, prompt: Callable[..., Turns], max_news: int
) -> Turns:
    """Write the turns of another prompt with the first `max_news` characters of each message read.

    What a node itself said stays whole.
    """
    own = _remembered(observation)
    inbox = [
        message if message["source"] == own else {**message, "text": message["text"][:max_news]}
        for message in observation["inbox"]
    ]
    return prompt({**observation, "inbox": inbox}, answer_format)


def unplaced_prompt(observation: Observation, answer_format: str) -> Turns:
    """Write the same turns without the line of structure: a control."""
    return ("system", answer_format), *_conversation(observation)


def role_prompt(observation: Observation, answer_format: str) -> Turns:
    """Write the same turns with a role in place of the line of structure: a control."""
    place = observation["place"]
    if not any(place["readers"]):
        role = "You are the judge: you weigh what you read and decide."
    elif not any(place["sources"]):
        role = "You are a specialist: you solve what you are shown."
    else:
        role = "You are a reviewer: you check the messages that you read and correct them."
    return ("system", f"{role}\n{answer_format}"), *_conversation(observation)


PROMPTS: dict[str, Callable[..., Turns]] = {
    "place": build_prompt,
    "none": unplaced_prompt,
    "roles": role_prompt,
}
"""What a node reads of itself: its place, nothing, or a role."""
