"""The prompt: role-free, structure-aware.

A node is told where it stands, whom it reads and who reads it, how to answer, the
question, and last the messages: rows of one question then share the longest
possible beginning. It is never told to be a planner, a critic or anything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuromas_env.policy import Observation


def build_prompt(observation: Observation, answer_format: str) -> tuple[tuple[str, str], ...]:
    """Write the chat turns for one node's turn.

    Args:
        observation: What the environment shows the node.
        answer_format: The task's sentence on the form of an answer.

    Returns:
        One user turn. It depends on the node's place, the question, the messages and
        the answer format alone.
    """
    place = observation["place"]
    sources = [f"node_{i}" for i, edge in enumerate(place["sources"]) if edge]
    readers = [f"node_{i}" for i, edge in enumerate(place["readers"]) if edge]
    reads = f"the question and the messages of {_listed(sources)}" if sources else "the question"
    lines = [
        f"You are node_{place['node']}, number {place['index']} in layer {place['layer']} of a "
        f"network. You read {reads}.",
        f"{_listed(readers)} will read your message." if readers else
        "Your message is the answer of the network.",
        answer_format,
        "",
        observation["question"],
    ]
    lines += [f"{message['source']}: {message['text']}" for message in observation["inbox"]]
    return (("user", "\n".join(lines)),)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
