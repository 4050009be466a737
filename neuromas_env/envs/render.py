"""Pictures of an episode so far, for the terminal."""

from __future__ import annotations

from neuromas_env.drawing import picture, plain, said
from neuromas_env.envs.episode import Episode


def draw_episode(episode: Episode) -> str:
    """Draw the network of an episode, with the question and the messages so far."""
    layers, sources = episode.wiring.layers, episode.wiring.sources
    lines = [picture(layers, sources, {}), "", said("question", episode.example.question)]
    lines += [said(node, text) for node, text in episode.messages.items()]
    if episode.done:
        reason = episode.score.reason
        lines.append(f"answer: {plain(episode.answer)} ({reason}, reward {episode.reward:g})")
    else:
        lines.append(f"to act: {', '.join(episode.active)}")
    return "\n".join(lines)
