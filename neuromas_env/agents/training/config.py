"""The options of a training run, as one flat record.

Every option is at once a field here, a key of a configuration file and an option of
the command line. Nothing here imports torch.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from neuromas_env.agents.learners.advantage import MODES
from neuromas_env.agents.learners.shaping import read_terms
from neuromas_env.agents.prompts import PROMPTS
from neuromas_env.envs.episode import REWARDS
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import SPLITS
from neuromas_env.topology import CONNECTIONS, Topology

ENGINES = ("transformers", "vllm")
DEVICES = ("cpu", "cuda", "cuda:N", "auto")
PRECISIONS = ("auto", "bfloat16", "float32")
IMPORTANCE_CAP = 2.0
FORMER: dict[str, dict[str, Any]] = {
    "joint_unplaced": {"prompt": "none"},
    "joint_roles": {"prompt": "roles"},
    "joint_whole": {"whole_questions": True},
}
"""Former names of learners in run folders and specs, and the options of `joint` behind them."""
_EXAMPLE_SCHEDULE = "'1:10, 2-1:10, 2-2-1:20' (topology:steps, smallest first) would be right"


def _option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    metadata = {"help": help, "low": low, "above": above, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainConfig:
    """What a training run depends on; each field's `metadata["help"]` says what it is.

    `low`, `above` and `choices` in the metadata bound the values; `validate` checks them.
    """

    task: str = _option("hierarchy/max", "task, such as bbh/navigate or hierarchy/max:leaves=4")
    data: str | None = _option(None, "folder with benchmark rows")
    skip_bad_rows: bool = _option(False, "leave broken rows out instead of stopping at them")
    topology: str = _option("2-1", "layer widths, input side first, such as 2-2-1; or tree-4")
    connect: str = _option(
        "dense", "which layers a node reads: the one before or all", choices=CONNECTIONS
    )
    model: str = _option("smollm2-135m", "embedded model, folder, .gguf file or hub id")
    dtype: str = _option(
        "auto",
        "precision of the frozen base; auto: bfloat16 where the device is fast in it, else float32",
        choices=PRECISIONS,
    )
    device: str = _option("cpu", f"where to compute ({', '.join(DEVICES)})")
    rollout_device: str | None = _option(
        None, "where replies are generated, by a second copy of the base; by default on device"
    )
    engine: str = _option("transformers", "what generates replies", choices=ENGINES)
    vllm_cache: float = _option(4.0, "GiB for the key-value cache of engine vllm", above=0)
    learner: str = _option("joint", "what learns from the episodes")
    prompt: str | None = _option(
        None,
        "what a node is told of itself: its place, nothing or a role; by default as the learner's "
        "source has it, which is its place for all but malt",
        choices=tuple(PROMPTS),
    )
    whole_questions: bool = _option(
        False, "let every node read the whole question, also where the task deals parts"
    )
    seed: int = _option(0, "all random numbers derive from it", low=0)
    steps: int = _option(30, "training steps in all", low=0)
    questions: int = _option(16, "questions per step", low=1)
    rollouts: int = _option(4, "episodes of each question per step", low=1)
    reward: str = _option(
        "both", "strict score, extracted score or the mean of both", choices=REWARDS
    )
    shaping: str = _option(
        "", "terms added to the reward, such as format=0.2,length=0.1,informative=0.1"
    )
    temperature: float = _option(
        0.5, "of the policy that is sampled and trained: softmax of logits / temperature", above=0
    )
    advantage: str = _option("leave_one_out", "what a reward is compared with", choices=MODES)
    gamma: float | None = _option(
        None, "discount from layer to layer; by default none (magrpo, collm_*)", low=0
    )
    value_coef: float = _option(0.6, "weight of the critic's loss (collm_*)", above=0)
    critic_learning_rate: float | None = _option(
        None, "of critics; by default learning_rate (collm_*)", above=0
    )
    critic_scale: float = _option(
        10.0, "how far a step moves a critic's value, next to its rate (collm_*)", above=0
    )
    standardise: bool = _option(
        True, "divide advantages by their spread in the batch, as the source does (collm_*)"
    )
    dpo_beta: float = _option(0.1, "how firmly preferences hold to the reference (malt)", above=0)
    sft_steps: int | None = _option(
        None, "steps of imitation before those of preferences; by default half of all (malt)", low=0
    )
    learning_rate: float = _option(1e-3, "of AdamW", above=0)
    warmup_steps: int = _option(0, "steps over which the learning rate grows", low=0)
    decay: bool = _option(True, "let the learning rate fall linearly to zero over the run")
    weight_decay: float = _option(0.0, "of AdamW", low=0)
    clip: float = _option(1.0, "largest norm of the gradient", above=0)
    kl_coef: float = _option(0.0, "weight of the divergence from the base model", low=0)
    entropy_coef: float = _option(0.0, "weight of the entropy bonus", low=0)
    importance_cap: float | None = _option(
        None,
        "largest weight of a token for p_trained / p_sampled, 0 for no such weights; by default "
        f"{IMPORTANCE_CAP:g} with engine vllm or a rollout_device, else 0",
        low=0,
    )
    rank: int = _option(16, "of the adapters (LoRA)", low=1)
    alpha: float = _option(32.0, "adapters are scaled by alpha / rank", above=0)
    targets: str = _option(
        "q_proj,v_proj", "layers with an adapter, by name, comma separated, or all-linear"
    )
    max_new_tokens: int | None = _option(
        None, "longest reply in tokens; by default the task's", low=1
    )
    chunk_rows: int = _option(128, "model calls answered at once", low=1)
    token_budget: int = _option(4096, "tokens in one training micro-batch", low=1)
    gradient_checkpointing: bool = _option(False, "less memory, more time")
    train_nodes: str = _option("all", "train these nodes' adapters alone, comma separated")
    eval_questions: int = _option(128, "held-out questions of an evaluation; 0 for none", low=0)
    eval_split: str = _option("test", "split of the held-out questions", choices=SPLITS)
    eval_every: int = _option(0, "also evaluate after every so many steps; 0 for never", low=0)
    checkpoint_every: int = _option(5, "steps between checkpoints", low=1)
    transcripts: int = _option(4, "episodes per step written to the transcripts", low=0)
    out: str | None = _option(None, "run folder; by default a new one under runs/")
    grow_from: str | None = _option(None, "run folder of a trained, smaller network")
    grow_init: str = _option(
        "zero",
        "how new nodes start: as the bare base, as a copy of a sibling or with noise",
        choices=("zero", "copy", "noise"),
    )
    freeze_inherited: bool = _option(False, "after growing train the new nodes alone")
    schedule: str | None = _option(
        None, "grow while training, such as '1:10, 2-1:20'; replaces topology and steps"
    )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "") -> TrainConfig:
        """Take options by name, as a configuration file holds them.

        Args:
            values: Option names with `_` or `-`, and their values.
            where: Whence the options come, for messages.

        Raises:
            InputError: An option is unknown, has a value of the wrong type or out of range.
        """
        prefix = f"{where}: " if where else ""
        hints = typing.get_type_hints(cls)
        taken: dict[str, Any] = {}
        for key, value in values.items():
            name = str(key).replace("-", "_")
            if name not in hints:
                raise InputError(f"{prefix}{unknown('option', str(key), hints)}")
            if name in taken:
                raise InputError(f"{prefix}option {name!r} is given twice")
            try:
                taken[name] = _typed(name, value, hints[name])
            except InputError as error:
                raise InputError(f"{prefix}{error}") from None
        if taken.get("learner") in FORMER:
            taken = FORMER[taken["learner"]] | taken | {"learner": "joint"}
        config = cls(**taken)
        try:
            config.validate()
        except InputError as error:
            raise InputError(f"{prefix}{error}") from None
        return config

    def to_mapping(self) -> dict[str, Any]:
        """Return all options by name; `from_mapping` reads them."""
        return asdict(self)

    def validate(self) -> None:
        """Check the values, as far as that is possible without data and model.

        Raises:
            InputError: A value is out of range, or two options do not fit together.
        """
        for option in fields(self):
            _check_range(option.name, getattr(self, option.name), option.metadata)
        for name in ("device", "rollout_device"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"cpu|auto|cuda(:\d+)?", value):
                raise unknown(f"value of {name}:", value, DEVICES)
        if self.rollout_device is not None and self.engine != "transformers":
            raise InputError(
                f"rollout_device: engine {self.engine!r} generates where it likes; leave it out, "
                "or engine 'transformers' would be right"
            )
        read_terms(self.shaping)
        final = self.stages()[-1][0]
        if self.train_nodes != "all":
            if self.schedule is not None:
                raise InputError(
                    "train_nodes: only 'all' goes with a schedule, which renames nodes"
                )
            for node in self.node_names(final):
                if node not in final.nodes:
                    raise unknown("node in train_nodes:", node, (*final.nodes, "all"))
        if self.freeze_inherited and self.schedule is None and self.grow_from is None:
            raise InputError("freeze_inherited: nothing is inherited without grow_from or schedule")

    def stages(self) -> list[tuple[Topology, int]]:
        """Return the topologies of the run with their numbers of steps, one unless scheduled.

        Raises:
            InputError: The topology or the schedule cannot be read.
        """
        if self.schedule is None:
            return [(Topology.parse(self.topology, self.connect), self.steps)]
        stages = []
        for part in self.schedule.split(","):
            text, _, steps = part.strip().rpartition(":")
            if not text or not steps.strip().isdecimal():
                raise InputError(f"schedule: {part.strip()!r} is no stage; {_EXAMPLE_SCHEDULE}")
            stages.append((Topology.parse(text, self.connect), int(steps)))
        for (old, _), (new, _) in zip(stages, stages[1:], strict=False):
            old.grow_to(new)
        return stages

    def total_steps(self) -> int:
        """Return the steps of all stages together."""
        return sum(steps for _, steps in self.stages())

    def node_names(self, topology: Topology) -> tuple[str, ...]:
        """Return the nodes of a topology that are trained."""
        if self.train_nodes == "all":
            return topology.nodes
        return tuple(dict.fromkeys(name.strip() for name in self.train_nodes.split(",")))

    def ratio_cap(self) -> float:
        """Return the cap of the importance ratios, 0 for none."""
        if self.importance_cap is not None:
            return self.importance_cap
        return IMPORTANCE_CAP if self.engine == "vllm" or self.rollout_device else 0.0

    def target_layers(self) -> str | list[str]:
        """Return the layers with an adapter, as `TransformersEngine` takes them."""
        names = [name.strip() for name in self.targets.split(",") if name.strip()]
        return "all-linear" if names == ["all-linear"] else names


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a configuration file: YAML, option names to values.

    Raises:
        InputError: The file cannot be read, is no YAML, or holds no options.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read configuration {path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise InputError(
            f"{path}{line}: {problem}; lines such as `steps: 20` would be right"
        ) from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no options; lines such as `steps: 20` would be right")
    return values


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _typed(name: str, value: Any, hint: Any) -> Any:
    kinds = typing.get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    kind = kinds[0]
    if kind is float and isinstance(value, str):
        # YAML reads 1e-3, without a point, as a text.
        try:
            value = float(value)
        except ValueError:
            pass
    if kind is float and type(value) is int:
        value = float(value)
    if name == "topology" and type(value) is int:
        value = str(value)  # a network of one node, `topology: 1`
    if type(value) is not kind:
        also = " or nothing" if type(None) in kinds else ""
        raise InputError(f"{name}: {value!r} is not {_NAMES[kind]}{also}")
    return value


def _check_range(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    low, above, choices = limits["low"], limits["above"], limits["choices"]
    if value is None:
        return
    if choices is not None and value not in choices:
        raise unknown(f"value of {name}:", value, choices)
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise InputError(f"{name}: {value} is not a finite number")
    if low is not None and value < low:
        raise InputError(f"{name}: {value} is too small; {low} or more would be right")
    if above is not None and not value > above:
        raise InputError(f"{name}: {value} is too small; more than {above} would be right")
