"""What a run ends with: its result, or an interruption after which it can be resumed."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.evaluate import Evaluation


class Interrupted(Exception):
    """The user stopped the run; it can be resumed from its last checkpoint.

    Attributes:
        folder: The run folder.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Say where the run stands and how to resume it."""
        self.folder = folder
        command = shlex.join(["neuromas", "train", "--resume", str(folder)])
        super().__init__(f"stopped after step {step}; go on with: {command}")


@dataclass(frozen=True)
class RunResult:
    """The result of a run; as a text, its scores in a few lines.

    Attributes:
        folder: The run folder.
        steps: Training steps taken.
        before: Evaluation before training, None if none was asked for.
        after: Evaluation after training.
        ablation: `blanked` and `shuffled`: after training, with messages taken away.
        growth: For each growth `step`, `old`, `new` and the evaluations `before`, `after`.
        cost: Phase to calls, tokens and seconds of generation.
        facts: Model, weights, topology, task, reward and seed of the run.
        kept: After which step the network had the weights that it is left with; see the option
            `keep`.
        validation: `peak` and `final`: the best scores, by the run's reward, and the last ones
            on the `n` validation questions: `strict`, `extracted` and `parse_rate`, with the `step`
            after which they were had; None for a task without such questions.
        gradient_norms: Node to the norm of its adapter's gradient before clipping, in the mean of
            the steps of the last network.
    """

    folder: Path
    steps: int
    before: Evaluation | None
    after: Evaluation | None
    ablation: dict[str, Evaluation]
    growth: list[dict[str, Any]]
    cost: dict[str, dict[str, float]]
    facts: dict[str, Any]
    kept: int | None = None
    validation: dict[str, dict[str, float]] | None = None
    gradient_norms: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for JSON, as written to `result.json`."""
        return {**asdict(self), "folder": str(self.folder)}

    def __str__(self) -> str:
        """Return the scores and their intervals, and where the run is."""
        shape, task = self.facts["topology"]["name"], self.facts["task"]
        rows = {"before training": self.before, "after training": self.after}
        rows |= {f"messages {name}": found for name, found in self.ablation.items()}
        lines = [f"{shape} on {task}, {self.steps} steps, {self.folder}"]
        for name, found in rows.items():
            if found is not None:
                low, high = found.extracted_interval
                lines.append(
                    f"{name:20} {found.extracted:6.1%} [{low:.1%}, {high:.1%}] of {found.n}, "
                    f"strict {found.strict:.1%}"
                )
        if self.after is not None:
            lines.append(f"{'best constant answer':20} {self.after.majority:6.1%}")
        for name, scores in (self.validation or {}).items():
            lines.append(
                f"{'validation, ' + name:20} {scores['extracted']:6.1%} of {scores['n']}, strict "
                f"{scores['strict']:.1%}, after step {scores['step']}"
            )
        if self.kept not in (None, self.steps):
            lines.append(
                f"these are the weights after step {self.kept}, the best on validation questions"
            )
        return "\n".join(lines)
