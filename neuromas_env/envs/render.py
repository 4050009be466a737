"""Pictures of an episode so far, for the terminal."""

from __future__ import annotations

from neuromas_env.drawing import picture, plain, said
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.schedules import WORLD


def draw_episode(episode: Episode) -> str:
    """Draw the network of an episode, with the question, the messages and replies so far."""
    layers, sources, write = episode.wiring.layers, episode.wiring.sources, episode.channel.write
    question, rounds = episode.channel.question(episode.example), episode.horizon
    lines = [picture(layers, sources, {}), "", said("question", question)]
    number = -1
    for turn in episode.history:
        if rounds > 1 and turn.round > number:
            number = turn.round
            lines.append(f"[round {number + 1} of {rounds}]")
        text = turn.message if turn.node == WORLD else write(turn.message)
        lines.append(said(turn.node, text))
    if episode.done:
        answer, reason = plain(write(episode.answer)), episode.score.reason
        lines.append(f"answer: {answer} ({reason}, reward {episode.reward:g})")
    else:
        lines.append(f"to act: {', '.join(episode.active)}")
    return "\n".join(lines)
