"""Pictures of an episode so far, for the terminal."""

from __future__ import annotations

from neuromas_env.drawing import picture, plain, said
from neuromas_env.envs.episode import Episode


def draw_episode(episode: Episode) -> str:
    """Draw the network of an episode, with the question and the messages so far."""
    layers, sources, write = episode.wiring.layers, episode.wiring.sources, episode.channel.write
    question = episode.channel.question(episode.example)
    lines = [picture(layers, sources, {}), "", said("question", question)]
    lines += [said(turn.node, write(turn.message)) for turn in episode.turns]
    if episode.done:
        answer, reason = plain(write(episode.answer)), episode.score.reason
        lines.append(f"answer: {answer} ({reason}, reward {episode.reward:g})")
    else:
        lines.append(f"to act: {', '.join(episode.active)}")
    return "\n".join(lines)
