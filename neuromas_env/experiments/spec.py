"""What an experiment is.

An experiment has *studies*: the discrete networks or one model of a scale. A study has *arms*, ways
to make a network, each trained with every seed on every task, and *claims*, which arm answers
better than which. It may also have a *sample complexity*: how many training questions arms take, by
the size of their tasks. A *table* claims nothing: it shows what its runs have reached.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypedDict

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.checks import Natural, NonNegative
from neuromas_env.config import REQUIRED, Options, option
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.tasks.names import split_names
from neuromas_env.topology import Topology

FILE, SCALES = "experiment.yaml", "scales.yaml"
HOME = Path(__file__).resolve().parent / "specs"
"""The experiments of this package; another is given by the path of its folder."""
SCORES = ("extracted", "strict", "parsed", "not_wrong")
ABLATIONS = ("blank", "shuffle", "base", "swap")
KINDS = ("discrete", "language")
SEEDS, TESTS = ("paired", "unpaired"), ("superior", "not_worse")


class _Timed(TypedDict, total=False):
    seconds: NonNegative


class Reached(_Timed):
    """What a run has reached, in `result.json` and `outcome.json`.

    Attributes:
        validation: Score on validation questions, None if none were asked.
        parameters: Trained ones, critics included.
        curve: Points `(x, score)` of the learning curve.
        counters: Updates, questions, calls and tokens.
        seconds: Of the training.
    """

    validation: float | None
    parameters: Natural
    curve: list[tuple[Natural | float, Natural | float]]
    counters: dict[str, Natural]


@dataclass(frozen=True)
class Arm:
    """One way to make a network.

    Attributes:
        name: In tables.
        kind: `train`, `adapt` (a baseline learns without weights), or at test time alone `frozen`
            (a baseline as it is), `vote` (samples of a trained arm vote) and `ablate` (a node's
            message is taken away, or two nodes change places).
        options: Of training, `TrainConfig`'s or `DiscreteOptions`'; of `adapt` name and
            iterations; of `frozen` the name.
        source: The trained arm that `vote` and `ablate` use.
        budget: The arm whose completion tokens a vote may spend.
        node: Whose message is taken away.
        how: `blank`, `shuffle` (another question's message), `base` (the untrained node's), or
            `swap`: two nodes speak with one another's adapter.
        tasks: On which it is trained: its own, or those of the study.
        partner: With which node `node` swaps.
    """

    name: str
    kind: str
    options: dict[str, Any]
    source: str | None = None
    budget: str | None = None
    node: str | None = None
    how: str | None = None
    tasks: tuple[str, ...] = ()
    partner: str | None = None


@dataclass(frozen=True)
class Claim(Options):
    """That one arm answers better than another, written down before there are data.

    All arms of a study are trained with the same seeds. They are compared on the tasks of `better`,
    all of which the other arms must have.
    """

    better: str = option(REQUIRED, "the arm that is claimed to be better")
    than: str = option(REQUIRED, "the other")
    margin: float = option(
        0.02, "smallest difference of mean scores that counts, from 0 to 1", low=0, high=1
    )
    score: str = option(
        "extracted",
        "extracted, in which a reply without an answer counts as wrong, not_wrong, in which it "
        "counts as right, strict, or parsed (an answer can be read)",
        choices=SCORES,
    )
    decides: bool = option(True, "whether the verdict depends on it; others are shown beside")
    seeds: str = option(
        "paired",
        "paired where run s of one arm belongs to run s of the other, because both are the same "
        "run or share its seed; unpaired where their runs have nothing in common",
        choices=SEEDS,
    )
    minus: tuple[str, str] | None = option(
        None, "arms better, than whose own difference is subtracted: what training adds to it"
    )
    test: str = option(
        "superior", "superior, better by the margin, or not_worse, not worse by it", choices=TESTS
    )

    def validate(self) -> None:
        """Check the values.

        Raises:
            InputError: One is out of range, or nothing is compared.
        """
        super().validate()
        for one, other in filter(None, ((self.better, self.than), self.minus)):
            if one == other:
                raise InputError(f"{one!r} must be compared with another arm, got itself")
        if not any(self.signs.values()):
            raise InputError("minus takes away the very difference that is claimed")

    @property
    def signs(self) -> dict[str, int]:
        """How often each arm's mean score is added to the difference."""
        found: dict[str, int] = {}
        arms = (self.better, self.than, *(self.minus or ()))
        for arm, sign in zip(arms, (1, -1, -1, 1), strict=False):
            found[arm] = found.get(arm, 0) + sign
        return found

    @property
    def difference(self) -> str:
        """What is estimated, as a formula of the arms."""
        own = " - ({} - {})".format(*self.minus) if self.minus else ""
        return f"{self.better} - {self.than}{own}{self._scored}"

    @property
    def threshold(self) -> float:
        """The difference that must be exceeded."""
        return self.margin if self.test == "superior" else -self.margin

    def __str__(self) -> str:
        """Say it in words."""
        how = "better" if self.test == "superior" else "not worse"
        own = " by more than {} over {}".format(*self.minus) if self.minus else ""
        return f"{self.better} {how} than {self.than}{own}{self._scored}"

    @property
    def _scored(self) -> str:
        return "" if self.score == "extracted" else f", {self.score}"


@dataclass(frozen=True)
class SampleComplexity(Options):
    """That on one curve it rises faster with the size of the task than on another.

    A run's sample complexity is the number of training questions after which its return, the mean
    of the last `smooth` points of its learning curve, first is `reach` of the way from random to
    optimal.
    """

    curves: dict[str, dict[int, str]] = option(
        REQUIRED, "name to size to the arm that is trained at that size; all have the same sizes"
    )
    steeper: str = option(REQUIRED, "the curve that is claimed to rise faster")
    than: str = option(REQUIRED, "the other")
    reach: float = option(REQUIRED, "of the way from random to optimal", above=0, high=1)
    over: str = option("size", "what the sizes count, for people")
    smooth: int = option(1, "points of the learning curve whose mean counts", low=1)
    margin: float = option(
        0.1,
        "smallest difference of slopes, of the logarithm per unit of size, that counts",
        above=0,
    )

    def validate(self) -> None:
        """Check the values.

        Raises:
            InputError: One is out of range, or a curve is compared with itself.
        """
        super().validate()
        for curve in (self.steeper, self.than):
            if curve not in self.curves:
                raise unknown("curve", curve, self.curves)
        if self.steeper == self.than:
            raise InputError(f"{self.than!r} must be compared with another curve, got itself")

    @property
    def sizes(self) -> list[int]:
        """The sizes, rising."""
        return sorted(self.curves[self.steeper])


@dataclass(frozen=True)
class Settings(Options):
    """What a scale says of a study; an experiment may change it."""

    seeds: int = option(REQUIRED, "how many", low=1)
    rates: tuple[float, ...] = option(
        (), "learning rates that every arm tries; in a table arms have their own", above=0
    )
    kind: str = option("language", "discrete networks or a language model", choices=KINDS)
    pilots: int = option(1, "seeds, apart from the others, with which each rate is tried", low=1)
    tasks: tuple[str, ...] = option(
        (), "of all arms that have none of their own", split=split_names
    )
    questions: int | None = option(None, "test questions of each task; by default all", low=1)
    model: str | None = option(None, "name of the language model")
    title: str = option("", "heading in reports; by default the name")
    note: str = option("", "what a report says of the scale, such as that it shows no result")
    script: str | None = option(None, "file beside the scales that makes the model, given a folder")

    def validate(self) -> None:
        """Check the values.

        Raises:
            InputError: One is out of range, or there is no model.
        """
        super().validate()
        if self.kind == "language" and not (self.model or self.script):
            raise InputError("model must be given, such as smollm2-135m, or script")


@dataclass(frozen=True)
class Study:
    """All that is trained on one model at one scale, or on discrete networks.

    Attributes:
        name: Such as `coded` or `chars`.
        kind: `discrete` or `language`.
        tasks: All that an arm is trained on, or those of them that are run.
        seeds: How many.
        rates: Learning rates that every arm tries, none for those of the algorithms.
        pilots: Seeds, apart from the others, with which each rate is tried.
        questions: Test questions of each task, None for all.
        model: Name of the language model.
        script: File beside the scales that makes the model, given a folder.
        arms: By name.
        claims: What is compared.
        probes: Arm whose nodes are compared with one another.
        sample_complexity: What decides instead of the claims, which then stand beside.
        note: What the report says of the scale.
        table: Whether nothing is claimed. Then the runs' own scores are what is shown, discrete
            networks are asked no test questions, and runs of other arms and options may share the
            folder.
        title: Heading in reports, the name where none is given.
    """

    name: str
    kind: str
    tasks: tuple[str, ...]
    seeds: int
    rates: tuple[float, ...]
    arms: dict[str, Arm]
    claims: tuple[Claim, ...]
    pilots: int = 1
    questions: int | None = None
    model: str | None = None
    script: str | None = None
    probes: str | None = None
    sample_complexity: SampleComplexity | None = None
    note: str = ""
    table: bool = False
    title: str = ""

    @property
    def heading(self) -> str:
        """The title, or the name where there is none."""
        return self.title or self.name

    def trained(self) -> list[Arm]:
        """Return the arms that are trained or adapted."""
        return [arm for arm in self.arms.values() if arm.kind in ("train", "adapt")]

    def tasks_of(self, arm: Arm) -> tuple[str, ...]:
        """Return those of an arm's tasks that are the study's: of a part of it, some of them."""
        return tuple(task for task in arm.tasks if task in self.tasks)

    def on(self, tasks: Collection[str]) -> Study:
        """Return the part of the study on some of its tasks, whose runs have the same folders.

        Raises:
            InputError: Something is measured or chosen over all of them.
        """
        part = replace(self, tasks=tuple(task for task in self.tasks if task in tasks))
        arms = {name: arm for name, arm in self.arms.items() if part.tasks_of(arm)}
        if self.sample_complexity is not None:
            raise InputError("--tasks must name all tasks: their sample complexity is compared")
        if len(self.rates) > 1 and any(part.tasks_of(arm) != arm.tasks for arm in arms.values()):
            raise InputError(
                "--tasks must name all tasks of an arm: its learning rate is chosen over all"
            )
        claims = tuple(claim for claim in self.claims if claim.signs.keys() <= arms.keys())
        probes = self.probes if self.probes in arms else None
        return replace(part, arms=arms, claims=claims, probes=probes)


@dataclass(frozen=True)
class Experiment:
    """What is claimed and how it is put to the test.

    Attributes:
        name: Of its folder.
        folder: Where it stands.
        scale: At which it is run.
        title: For people.
        claim: In words, or what a table shows.
        refuted_if: The result that would refute it, empty for a table.
        studies: At this scale.
        matched: What the arms share and what they do not, in a sentence.
        chosen: What `marl_experiment` was asked for, so that its page can be made again.
    """

    name: str
    folder: Path = field(compare=False)
    scale: str
    title: str
    claim: str
    refuted_if: str
    studies: tuple[Study, ...]
    matched: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)


def shape(study: Study, arm: Arm) -> Topology:
    """Return the network that a trained arm ends with."""
    if study.kind == "discrete":
        return DiscreteOptions.from_mapping(arm.options).stages()[-1][0]
    return TrainConfig.from_mapping(arm.options).stages()[-1][0]


def digest(file: Path) -> str:
    """Return 16 hexadecimal digits that stand for what a script makes.

    They are those that it states (`DIGEST = "..."`), so that a change of its imports is none of
    the model, else those of its text.
    """
    text = file.read_bytes()
    stated = re.search(rb'(?m)^DIGEST = "([0-9a-f]{16})"$', text)
    return stated[1].decode() if stated else blake2b(text, digest_size=8).hexdigest()


def slug(name: str) -> str:
    """Return a name as part of a path."""
    return re.sub(r"[^\w.-]+", "-", name)
