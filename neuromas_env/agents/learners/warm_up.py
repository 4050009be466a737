"""Steps of imitation before those of any learner, so that bare answers are sampled.

An instruction-tuned model answers in sentences, "The largest number is 95.", and a strict score is
then zero in every episode, so that nothing is learned from it. In the first steps every node
imitates the replies of the untrained model, each cut to the answer that the task's reader finds:

    loss = -1/N sum_episodes sum_nodes log p(answer, end of turn | prompt)

with p the softmax of logits / temperature from which the learner samples later, and N the number of
episodes. The gold answer is never consulted: it is STaR's imitation (Zelikman et al., arXiv
2203.14465) without its selection of right answers. A network that imitated its own replies instead
would drift, as mistakes become what is imitated next.

The base decodes at a low temperature, where its answers are better, but not at 0, where a task
whose greedy answers are all alike would leave nothing to explore. Its replies have room to end:
one that is cut off, or has no answer, is left out.

The steps have an optimiser of their own at a constant rate. The learner takes over with a fresh
one, and its schedule begins then: what follows is the same for all learners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import Learner, Play
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import without_adapters
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Sampling, Trajectory, Turn

Extract = Callable[[str, str], str | None]
"""Finds the answer in a reply to a question without the gold answer, as `Task.extract` does."""

_KEY = "warm_up"
_ROOM = 48  # tokens in which a sentence of the base ends, where a bare answer needs a few
_SHARE = 16  # a reply's room is at most this part of the context, which also holds the messages


class WarmUp(Learner):
    """A learner whose first steps imitate the untrained model's replies cut to their answers."""

    def __init__(
        self,
        learner: Learner,
        engine: TrainableEngine,
        nodes: Sequence[str],
        extract: Extract,
        *,
        steps: int,
        base_temperature: float,
        **options: Any,
    ) -> None:
        """Wrap a learner.

        Args:
            learner: Takes all later steps.
            engine: Holds the adapters.
            nodes: Who imitates; scripts and tools among them do not.
            extract: Finds the answers.
            steps: How many imitate.
            base_temperature: With which the base decodes what is imitated.
            **options: Of `Reinforce`, `learning_rate`, `clip` and `temperature` among them.
        """
        self._learner, self._engine, self._extract = learner, engine, extract
        self._nodes, self._total, self._steps = frozenset(nodes), steps, 0
        self._base_temperature = base_temperature
        self._imitation = Reinforce(engine, nodes, **options)

    def gather(self, play: Play, method: Method) -> list[Trajectory]:
        """Play the step's questions, at first with the bare base at every node."""
        if self._steps < self._total:
            return play(without_adapters(method, self._decode))
        return self._learner.gather(play, method)

    def _decode(self, own: Sampling) -> Sampling:
        room = min(_ROOM, (self._engine.context_length or _ROOM * _SHARE) // _SHARE)
        return Sampling(self._base_temperature, max(own.max_new_tokens, room))

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Imitate, or in later steps let the learner learn; see `Learner.update`.

        Raises:
            FloatingPointError: The gradient is not finite; nothing is changed.
        """
        if self._steps >= self._total:
            return self._learner.update(trajectories)
        cut, weights = zip(*map(self._cut, trajectories), strict=True)
        asked = sum(len(self._replies(run)) for run in trajectories)
        metrics = self._imitation.update(cut, weights)
        self._steps += 1
        del metrics["advantage_std"]
        # How far a bare answer is from the reply that was sampled says nothing of the sampler.
        other = ("sampler_gap", "importance_ratio")
        metrics = {name: v for name, v in metrics.items() if not name.startswith(other)}
        return metrics | {"imitated": float(np.concatenate(weights).sum() / asked)}

    def _replies(self, trajectory: Trajectory) -> list[tuple[int, Turn, Completion]]:
        """Return the replies of the nodes that imitate, with the places of their turns."""
        return [
            (place, turn, turn.completion)
            for place, turn in enumerate(trajectory.turns)
            if turn.node in self._nodes and turn.completion is not None
        ]

    def _cut(self, trajectory: Trajectory) -> tuple[Trajectory, np.ndarray]:
        """Return an episode of bare answers, and which of its turns have one, `[turns]`."""
        turns, found = list(trajectory.turns), np.zeros(len(trajectory.turns))
        for place, turn, reply in self._replies(trajectory):
            answer = self._extract(trajectory.example.question, turn.text)
            if answer is not None and reply.finished:
                ids = np.asarray(self._engine.encode_reply(answer))
                said = replace(reply, ids=ids, logprobs=np.zeros(len(ids), "float32"))
                turns[place] = replace(turn, adapter=turn.node, completion=said)
                found[place] = 1.0
        return replace(trajectory, turns=tuple(turns)), found

    def grow(self, mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the learner's state for a larger network, whose new nodes are not warmed up."""
        return {**self._learner.grow(mapping), _KEY: self._own(self._imitation.grow(mapping))}

    def restart(self) -> None:
        """Begin the learner's schedule again; what nodes inherit is not warmed up again."""
        self._steps = self._total
        self._learner.restart()

    def state_dict(self) -> dict[str, Any]:
        """The learner's state, beside it that of the imitation."""
        return {**self._learner.state_dict(), _KEY: self._own(self._imitation.state_dict())}

    def _own(self, imitation: dict[str, Any]) -> dict[str, Any]:
        """Return what a state holds of the warm-up: when it is over, the steps alone."""
        left = {"imitation": imitation} if self._steps < self._total else {}
        return {"steps": self._steps, **left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state, also that of a learner that has not been warmed up."""
        left = dict(state)
        if own := left.pop(_KEY, None):
            self._steps = own["steps"]
            if "imitation" in own:
                self._imitation.load_state_dict(own["imitation"])
        self._learner.load_state_dict(left)
