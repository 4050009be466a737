"""Signs that a run learns nothing or collapses, and what to change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuromas_env.policy import Trajectory

IN_A_ROW = 5
"""Steps for which a sign must last before the user is told."""

Line = Mapping[str, float]


@dataclass(frozen=True)
class Sign:
    """Something that a run's figures may show.

    Attributes:
        name: What is told of once in a run.
        shows: Whether a step's line of figures shows it.
        says: What it means and what to change; may name figures of the line in braces.
    """

    name: str
    shows: Callable[[Line], bool]
    says: str


SIGNS = (
    Sign(
        "no difference",
        lambda line: line["equal_groups"] >= 0.9 and line["reward"] < 0.9,
        "{equal_groups:.0%} of the questions earn the same in all their episodes, so that the "
        "task's reward tells none of these apart: raise --rollouts or --temperature, or take an "
        "easier level",
    ),
    Sign(
        "one reply",
        lambda line: line["same_answer"] >= 0.8 and line["same_answer"] > line["same_target"] + 0.2,
        "{same_answer:.0%} of the episodes give one answer, which is the target of "
        "{same_target:.0%}: lower --learning-rate, or give --entropy-coef or --kl-coef",
    ),
    Sign(
        "cut off",
        lambda line: line["cut_off"] >= 0.5,
        "{cut_off:.0%} of the replies are cut off: raise --max-new-tokens, or let a price shorten "
        "them: --shaping length=0.1",
    ),
    Sign(
        "form",
        lambda line: line["strict"] < line["extracted"] - 0.3,
        "answers are right in {extracted:.0%} of the episodes and in the right form in "
        "{strict:.0%}: take --warm-up with --reward strict, or --shaping format=0.2",
    ),
    Sign(
        "no entropy",
        lambda line: line["entropy"] < 0.01 and line["reward"] < 0.9,
        "the entropy of the next token is {entropy:.3f}, so that episodes hardly differ: lower "
        "--learning-rate, or give --entropy-coef",
    ),
)
"""What is watched, in the order in which it is told."""
MEASURES = ("cut_off", "equal_groups", "same_answer", "same_target")
"""The figures of `measures`."""
_STEP = {"reward", "strict", "extracted", *MEASURES}


def summary(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return the mean reward and scores of a batch and the number of its sampled tokens."""
    scores = [t.score for t in trajectories if t.score is not None]
    # Episodes of a tree share replies.
    replies = {id(s.completion): s.completion for t in trajectories for s in t.turns}
    return {
        "reward": float(np.mean([t.reward for t in trajectories])),
        "strict": float(np.mean([score.strict for score in scores])),
        "extracted": float(np.mean([score.extracted for score in scores])),
        "rollout_tokens": sum(len(reply.ids) for reply in replies.values() if reply),
    }


def measures(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return shares of a step's batch.

    Returns:
        `cut_off`: of the replies that ended at the limit of tokens. `equal_groups`: of the
        questions whose episodes all earned the same. `same_answer`: of the episodes that gave the
        most common answer. `same_target`: of those whose target is the most common one.
    """
    calls = [turn.completion for t in trajectories for turn in t.turns if turn.completion]
    earned = defaultdict(set)
    for t in trajectories:
        earned[t.group].add(t.reward)
    answers = [(t.score and t.score.answer) or t.answer for t in trajectories]
    return {
        "cut_off": sum(not call.finished for call in calls) / len(calls) if calls else 0.0,
        "equal_groups": sum(len(rewards) == 1 for rewards in earned.values()) / len(earned),
        "same_answer": _most_common(answers),
        "same_target": _most_common([t.example.target for t in trajectories]),
    }


def _most_common(texts: Sequence[str]) -> float:
    [(_, count)] = Counter(texts).most_common(1)
    return count / len(texts)


class Watch:
    """Tells of every sign once, when it has lasted for `IN_A_ROW` steps."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._lasted: Counter[str] = Counter()
        self._told: set[str] = set()

    def resume(self, lines: Iterable[Line]) -> None:
        """Count the logged steps of a run that is resumed; their signs are not returned again."""
        for line in lines:
            if line.keys() >= _STEP:  # other lines are events
                self.step(line)

    def step(self, line: Line) -> list[str]:
        """Take a step's figures; return what the user should be told now.

        Steps of the warm-up count for nothing: their replies are those of the untrained model.
        """
        if "imitated" in line:
            return []
        entropies = [value for name, value in line.items() if name.startswith("entropy/")]
        entropy = sum(entropies) / len(entropies) if entropies else float("inf")
        line, told = {**line, "entropy": entropy}, []
        for sign in SIGNS:
            self._lasted[sign.name] = self._lasted[sign.name] + 1 if sign.shows(line) else 0
            if self._lasted[sign.name] >= IN_A_ROW and sign.name not in self._told:
                self._told.add(sign.name)
                told.append(f"for {IN_A_ROW} steps {sign.says.format(**line)}")
        return told
