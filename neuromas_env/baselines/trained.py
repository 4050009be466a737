"""The rows that `neuromas train` makes: who learns, and which command that is.

A benchmark takes the run folder as the method `NAME@RUN`.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from neuromas_env.agents.learners.names import LEARNERS


@dataclass(frozen=True)
class Trained:
    """A trained row.

    Attributes:
        about: What it is, in a line.
        options: Of `neuromas train`.
        learner: Of the run, None for any whose network is run as it is.
        nodes: Of the run's topology, 0 for any number.
    """

    about: str
    options: str
    learner: str | None = None
    nodes: int = 0

    def command(self, task: str = "TASK") -> str:
        """Return the command that makes the run."""
        return f"neuromas train {self.options} --task {shlex.quote(task)} --out RUN"


TRAINED = {
    "neuromas": Trained("a network as training left it, by any learner", "--topology 2-1"),
    "single_llm": Trained(
        "single-LLM RL: one node with as many parameters as three of rank 16",
        "--topology 1 --rank 48 --alpha 96",
        "joint",
        nodes=1,
    ),
    "independent": Trained(
        "every node learns for itself by REINFORCE", "--learner independent", "independent"
    ),
    "collm_cc": Trained("CoLLM with a centralised critic", "--learner collm_cc", "collm_cc"),
    "collm_dc": Trained("CoLLM with a critic for every node", "--learner collm_dc", "collm_dc"),
    "magrpo": Trained("advantages relative to a question's group", "--learner magrpo", "magrpo"),
    "malt": Trained(
        "MALT: three chains of generator, verifier and refiner, then a vote",
        "--learner malt --topology 1-1-1:skip --rollouts 3 --reward extracted",
        "malt",
    ),
}


OWN_FORM = ("malt",)
"""Rows whose network has a form of its own at test time."""


def trained_row(name: str) -> Trained | None:
    """Return a trained row: one of this project, or that of any other learner; None for neither."""
    if name in TRAINED or name in LEARNERS.built_in or name not in LEARNERS:
        return TRAINED.get(name)
    return Trained("", f"--learner {name}", name)


def list_trained() -> dict[str, str]:
    """Return name and one-line description of every trained row, with its command."""
    abouts = LEARNERS.abouts() | {name: row.about for name, row in TRAINED.items()}
    rows = {name: row for name in abouts if (row := trained_row(name))}
    return {f"{name}@RUN": f"{abouts[name]}; {row.command()}" for name, row in rows.items()}
