"""What the files of a run folder hold, by which they are checked when they are read.

Other keys may stand beside these. Nothing here imports torch.
"""

# Without annotations as texts, in which a TypedDict would not see what is not required.
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from neuromas_env.checks import Natural, NonNegative, Share


class Network(TypedDict):
    """A topology, as `Topology.to_json` gives it."""

    nodes: int
    edges: list[tuple[int | str, int | str]]
    rounds: NotRequired[int]
    feedback: NotRequired[list[tuple[int | str, int | str]]]
    memory: NotRequired[bool]


class Spent(TypedDict):
    """What the calls of one phase have cost."""

    calls: Natural
    prompt_tokens: Natural
    completion_tokens: Natural
    seconds: NonNegative


class Evaluated(TypedDict):
    """An evaluation; see `Evaluation`."""

    n: Natural
    strict: Share
    extracted: Share
    strict_interval: tuple[Share, Share]
    extracted_interval: tuple[Share, Share]
    parse_rate: Share
    reasons: dict[str, int]
    errors: Natural
    first_error: str | None
    majority: Share
    blind: Share | None
    cost: Spent
    reader: NotRequired[str]


class Validated(TypedDict):
    """Scores on the validation questions in the course of a run."""

    n: Natural
    strict: Share
    extracted: Share
    parse_rate: Share


class ValidatedAt(Validated):
    """The same, with the step after which they were had."""

    step: Natural


class Course(TypedDict):
    """The best and the last validation of a run."""

    peak: ValidatedAt
    final: ValidatedAt


class Facts(TypedDict):
    """What a run is, in `run.json` and again in its result."""

    model: str
    weights_hash: str
    topology: Network
    task: str
    reward: str
    seed: Natural
    splits: dict[str, Natural]
    skipped_rows: NotRequired[list[str]]


class Head(Facts):
    """`run.json`."""

    stages: list[tuple[Network, Natural]]


class Growth(TypedDict):
    """One growth in the course of a run."""

    step: Natural
    old: str
    new: str
    before: Evaluated | None
    after: Evaluated | None


class Result(TypedDict):
    """`result.json`."""

    steps: Natural
    before: Evaluated | None
    after: Evaluated | None
    ablation: dict[str, Evaluated]
    growth: list[Growth]
    cost: dict[str, Spent]
    facts: Facts
    kept: NotRequired[Natural]
    validation: NotRequired[Course | None]
    gradient_norms: NotRequired[dict[str, NonNegative]]


class Message(TypedDict):
    """What one node said in an episode."""

    node: str
    text: str
    tokens: Natural
    finished: bool
    round: NotRequired[Natural]


class Transcript(TypedDict):
    """A line of `transcripts.jsonl`: an episode. One that failed has no scores."""

    step: Natural
    id: str
    question: str
    target: str
    messages: list[Message]
    replies: NotRequired[list[str | None]]
    strict: Share | None
    extracted: Share | None
    reward: float
    reason: str | None
    error: str | None


class Metrics(TypedDict):
    """A line of `metrics.jsonl`: a training step, or an event between two."""

    step: Natural
    event: NotRequired[str]
    evaluation: NotRequired[Evaluated | None]
    validation: NotRequired[Validated]
    reward: NotRequired[float]
    strict: NotRequired[float]
    extracted: NotRequired[float]
    cut_off: NotRequired[Share]
    equal_groups: NotRequired[Share]
    same_answer: NotRequired[Share]
    same_target: NotRequired[Share]
    train_tokens: NotRequired[NonNegative]
    critic_tokens: NotRequired[NonNegative]
    critic_parameters: NotRequired[NonNegative]


class Stand(TypedDict):
    """`state.json` of a checkpoint; see `State`."""

    step: Natural
    stage: Natural
    topology: Network
    trained: list[str]
    model: str
    weights_hash: str
    adapters: Mapping[str, str]
    log: Mapping[str, Natural]
    cost: list[tuple[str, str, Natural, Natural, Natural, NonNegative]]
