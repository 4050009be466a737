"""Arms on discrete networks, in the form in which a study runs any arm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.tables.registry import has_critic
from neuromas_env.bench.store import Answer
from neuromas_env.errors import InputError
from neuromas_env.experiments import answers
from neuromas_env.experiments.backends import tables
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import Arm, Reached, Study
from neuromas_env.progress import Reporter
from neuromas_env.seeds import derive_seed
from neuromas_env.tasks.base import Example


class Discrete:
    """Trains and asks the arms of a study on discrete networks."""

    def __init__(self, study: Study) -> None:
        """Take the study.

        Raises:
            InputError: What the report needs is not known of a task, or a table has an algorithm
                with a critic, and torch is not installed.
        """
        self._study = study
        for arm in study.trained() if study.table or study.sample_complexity else ():
            for task in arm.tasks:
                self.bounds(arm, task)
        learners = (arm.options.get("learner", DiscreteOptions.learner) for arm in study.trained())
        if study.table and any(map(has_critic, learners)):
            from neuromas_env.agents.tables import critic

            # Critics are small: several threads would take longer to share out the work.
            critic.torch.set_num_threads(1)

    def train(
        self, arm: Arm, task: str, seed: int, rate: float | None, out: Path, pilot: bool,
        report: Reporter,
    ) -> None:  # fmt: skip
        """Train a run; one that was killed starts anew, as it takes seconds."""
        options = DiscreteOptions.from_mapping(arm.options)
        tables.save(out, tables.train(options, task, seed, rate, report))

    def finished(self, arm: Arm, out: Path) -> bool:
        """Say whether a run has its result."""
        return (out / "result.json").is_file()

    def result(self, arm: Arm, out: Path) -> Reached:
        """Return `validation`, `parameters`, `curve` and `counters` of a finished run."""
        return tables.read(out)

    def questions(self, task: str) -> list[Example]:
        """Return the test questions."""
        return answers.examples(task)[: self._study.questions]

    def bounds(self, arm: Arm, task: str) -> tuple[float, float]:
        """Return what random messages and the best policy earn.

        Raises:
            InputError: The optimum is not known.
        """
        layout = self._layout(arm, task)
        known = layout.returns
        if known.optimal is None:
            raise InputError(f"the optimum of {task} on {layout.topology.name} is not known")
        return known.random, known.optimal

    def facts(self, arm: Arm, task: str, out: Path, calls: float) -> dict[str, Any]:
        """Return what a store's cell says of an arm."""
        layout = self._layout(arm, task)
        targets = [example.target for example in self.questions(task)]
        return {
            "topology": layout.topology.to_json(),
            "majority": max(map(targets.count, set(targets))) / len(targets),
            "blind": None,
            "trainable": tables.read(out)["parameters"],
            "calls": calls,
        }

    def settings(self, out: Path) -> dict[str, Any]:
        """Return what all answers of the study share."""
        return {"model": "coded"}

    def answer(
        self, arm: Arm, task: str, seed: int, out: Path, rows: Sequence[int], samples: float
    ) -> list[Answer]:
        """Answer test questions; see `Language.answer`."""
        layout, table, change = self._layout(arm, task), tables.read_table(out), None
        if arm.partner is not None:
            table = answers.swapped(layout, table, str(arm.node), arm.partner)
        elif arm.kind == "ablate":
            node = layout.topology.nodes.index(arm.node)
            change = answers.ablation(layout, node, str(arm.how), seed)
        return answers.answer(
            layout, table, np.asarray(rows, np.int64),
            seed=derive_seed(seed, *arm.name.encode()), samples=round(samples), change=change,
        )  # fmt: skip

    def probe(self, arm: Arm, task: str, out: Path) -> dict[str, Any]:
        """Return how alike the nodes' tables are, where two nodes see the same sort of things."""
        from neuromas_env.experiments.probes import table_similarity

        return {"similarity": table_similarity(self._layout(arm, task), tables.read_table(out))}

    def _layout(self, arm: Arm, task: str) -> Any:
        source = self._study.arms[arm.source] if arm.source else arm
        return DiscreteOptions.from_mapping(source.options).layouts(task)[-1][0]
