"""The options of a training run, as one flat record.

Every option is at once a field here, a key of a configuration file and an option of
the command line. Nothing here imports torch.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from neuromas_env.agents.engines.base import DEVICES, PRECISIONS, check_engine_name
from neuromas_env.agents.engines.tools import TOOLS
from neuromas_env.agents.learners.names import ADVANTAGES, read_terms
from neuromas_env.agents.prompts import PROMPTS
from neuromas_env.agents.training.trackers import TRACKERS, read_trackers
from neuromas_env.config import Options, option, read_config
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import REWARDS, SPLITS
from neuromas_env.tasks.names import read_options
from neuromas_env.topology import CONNECTIONS, Topology

IMPORTANCE_CAP = 2.0
WARM_UP = 8  # steps; see docs/results/recipe.md
_task, _network, _model, _learning, _run = (
    partial(option, panel=panel) for panel in ("Task", "Network", "Model", "Learning", "Run")
)
FORMER: dict[str, dict[str, Any]] = {
    "joint_unplaced": {"prompt": "none"},
    "joint_roles": {"prompt": "roles"},
    "joint_whole": {"whole_questions": True},
}
"""Former names of learners in run folders and specs, and the options of `joint` behind them."""


@dataclass(frozen=True)
class TrainConfig(Options):
    """What a training run depends on: options of `neuromas train`, keys of its YAML file."""

    task: str = _task("hierarchy/max", "task, such as bbh/navigate or hierarchy/max:leaves=4")
    data: str | None = _task(None, "folder with benchmark rows", place=True)
    skip_bad_rows: bool = _task(False, "leave broken rows out instead of stopping at them")
    topology: str = _network(
        "2-1", "layer widths, input side first, such as 2-2-1; or tree-4", also=int
    )
    connect: str = _network(
        "dense", "which layers a node reads: the one before or all", choices=CONNECTIONS
    )
    model: str = _model("smollm2-135m", "smollm2-135m, a folder, a .gguf file or a hub id")
    dtype: str = _model(
        "auto",
        "precision of the frozen base; auto: bfloat16 where the device is fast in it, else float32",
        choices=PRECISIONS,
    )
    device: str = _model(
        "auto", f"where to compute; auto: on a GPU if there is one ({', '.join(DEVICES)})"
    )
    rollout_device: str | None = _model(
        None, "where replies are generated, by a second copy of the base; by default on device"
    )
    engine: str = _model("transformers", "what generates replies")
    vllm_cache: float = _model(4.0, "GiB for the key-value cache of engine vllm", above=0)
    learner: str = _learning("joint", "what learns from the episodes")
    prompt: str | None = _network(
        None,
        "what a node reads of itself: its place, nothing or a role; by default as the learner's "
        "source has it, which is its place for all but malt",
        choices=PROMPTS,
    )
    max_news: int | None = _network(
        None, "characters of each message that a prompt shows; by default all", low=1
    )
    whole_questions: bool = _network(
        False, "let every node read the whole question, also where the task deals parts"
    )
    tools: str = _network(
        "", "nodes at which a tool stands in place of a model, such as node_0=python"
    )
    seed: int = _run(0, "all random numbers derive from it", low=0)
    steps: int = _learning(30, "training steps in all", low=0)
    questions: int = _learning(16, "questions per step", low=1)
    rollouts: int = _learning(4, "episodes of each question per step", low=1)
    reward: str = _learning(
        "strict", "strict score, extracted score or the mean of both", choices=REWARDS
    )
    shaping: str = _learning(
        "", "terms added to the reward, such as format=0.2,length=0.1,informative=0.1"
    )
    temperature: float = _learning(
        0.7, "of the policy that is sampled and trained: softmax of logits / temperature", above=0
    )
    advantage: str = _learning(
        "leave_one_out", "what a reward is compared with", choices=ADVANTAGES
    )
    gamma: float | None = _learning(
        None, "discount from layer to layer; by default none (magrpo, collm_*)", low=0
    )
    value_coef: float = _learning(0.6, "weight of the critic's loss (collm_*)", above=0)
    critic_learning_rate: float | None = _learning(
        None, "of critics; by default learning_rate (collm_*)", above=0
    )
    critic_scale: float = _learning(
        10.0, "how far a step moves a critic's value, next to its rate (collm_*)", above=0
    )
    standardise: bool = _learning(
        True, "divide advantages by their spread in the batch, as the source does (collm_*)"
    )
    dpo_beta: float = _learning(0.1, "how firmly preferences hold to the reference (malt)", above=0)
    sft_steps: int | None = _learning(
        None, "steps of imitation before those of preferences; by default half of all (malt)", low=0
    )
    learning_rate: float = _learning(5e-4, "of AdamW", above=0)
    warm_up: int | None = _learning(
        None,
        "first steps, of all, in which nodes imitate the base model's replies cut to their "
        f"answers; by default {WARM_UP}, at most a third of all",
        low=0,
    )
    warm_up_rate: float = _learning(1e-3, "learning rate of these steps", above=0)
    warm_up_temperature: float = _learning(
        0.3, "with which the base decodes the replies that are imitated", low=0
    )
    warmup_steps: int = _learning(
        3, "steps, after those of warm_up, over which the learning rate grows", low=0
    )
    decay: bool = _learning(True, "let the learning rate fall linearly to zero over the run")
    weight_decay: float = _learning(0.0, "of AdamW", low=0)
    clip: float = _learning(1.0, "largest norm of the gradient", above=0)
    kl_coef: float = _learning(0.0, "weight of the divergence from the base model", low=0)
    entropy_coef: float = _learning(0.0, "weight of the entropy bonus", low=0)
    importance_cap: float | None = _learning(
        None,
        "largest weight of a token for p_trained / p_sampled, 0 for no such weights; by default "
        f"{IMPORTANCE_CAP:g} with engine vllm or a rollout_device, else 0",
        low=0,
    )
    rank: int = _model(16, "of the adapters (LoRA)", low=1)
    alpha: float = _model(32.0, "adapters are scaled by alpha / rank", above=0)
    targets: str = _model(
        "q_proj,v_proj", "layers with an adapter, by name, comma separated, or all-linear"
    )
    max_new_tokens: int | None = _model(
        None, "longest reply in tokens; by default the task's", low=1
    )
    chunk_rows: int = _model(128, "model calls answered at once", low=1)
    token_budget: int = _model(4096, "tokens in one training micro-batch", low=1)
    gradient_checkpointing: bool = _model(False, "less memory, more time")
    packed_weights: bool | None = _model(
        None,
        "on a CPU, hold the base three more times to compute faster, where memory allows; by "
        "default in bfloat16, as it moves log-probabilities of float32 by some 1e-5",
    )
    train_nodes: str = _network("all", "train these nodes' adapters alone, comma separated")
    eval_questions: int = _run(128, "held-out questions of an evaluation; 0 for none", low=0)
    eval_split: str = _run("test", "split of the held-out questions", choices=SPLITS)
    eval_every: int = _run(0, "also evaluate after every so many steps; 0 for never", low=0)
    validate_every: int = _run(
        10,
        "score validation questions after every so many steps; 0: at the start and the end alone",
        low=0,
    )
    validate_questions: int = _run(
        64,
        "questions of the validation split that a run is scored on as it goes; 0 for none",
        low=0,
    )
    keep: str = _run(
        "best",
        "which weights the trained network has: those that scored best on validation questions, "
        "by the score that is the reward, or the last ones",
        choices=("best", "last"),
    )
    checkpoint_every: int = _run(5, "steps between checkpoints", low=1)
    report_to: str | None = _run(
        None,
        f"trackers of figures, comma separated ({', '.join(TRACKERS)}), or none; by default "
        "tensorboard if it is installed",
    )
    transcripts: int = _run(4, "episodes per step written to the transcripts", low=0)
    out: str | None = _run(None, "run folder; by default a new one under runs/", place=True)
    grow_from: str | None = _network(None, "run folder of a trained, smaller network", place=True)
    grow_init: str = _network(
        "zero",
        "how new nodes start: as the bare base, as a copy of a sibling or with noise",
        choices=("zero", "copy", "noise"),
    )
    freeze_inherited: bool = _network(False, "after growing train the new nodes alone")
    schedule: str | None = _network(
        None, "grow while training, such as '1:10, 2-1:20'; replaces topology and steps"
    )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Take options by name, as a configuration file holds them.

        Args:
            values: Option names with `_` or `-`, and their values.
            where: The file, for messages.

        Raises:
            InputError: An option is unknown or wrong, or two do not fit together.
        """
        config = super().from_mapping(values, where)
        if config.learner in FORMER:
            config = replace(config, learner="joint", **FORMER[config.learner])
        return config

    def validate(self) -> None:
        """Check the values, as far as that is possible without data and model.

        Raises:
            InputError: A value is out of range, or two options do not fit together.
        """
        super().validate()
        for name in ("device", "rollout_device"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"cpu|auto|cuda(:\d+)?", value):
                raise unknown(f"value of {name}:", value, DEVICES)
        if self.rollout_device is not None and self.engine != "transformers":
            raise InputError(
                "rollout_device must be left out unless engine is 'transformers', got engine "
                f"{self.engine!r}"
            )
        check_engine_name(self.engine)
        read_terms(self.shaping)
        read_trackers(self.report_to)
        final = self.stages()[-1][0]
        if self.train_nodes != "all":
            if self.schedule is not None:
                raise InputError(
                    "train_nodes must be 'all' with a schedule, which renames nodes, got "
                    f"{self.train_nodes!r}"
                )
            for node in self.node_names(final):
                if node not in final.nodes:
                    raise unknown("node in train_nodes:", node, (*final.nodes, "all"))
        self._check_tools()
        self._check_growth()

    def _check_growth(self) -> None:
        grows = self.schedule is not None or self.grow_from is not None
        if self.freeze_inherited and not grows:
            raise InputError(
                "freeze_inherited must be false without grow_from or schedule, got true"
            )
        if self.grow_init != "zero" and not grows:
            raise InputError(
                f"grow_init must be left out without grow_from or schedule, got {self.grow_init!r}"
            )
        if self.freeze_inherited and self.train_nodes != "all":
            raise InputError(
                "train_nodes must be 'all' with freeze_inherited, which trains the new nodes "
                f"alone, got {self.train_nodes!r}"
            )
        for (old, _), (new, _) in pairwise(self.stages()):
            self.check_stage(old, new)

    def check_stage(self, old: Topology, new: Topology) -> None:
        """Refuse growth from `old` to `new` that the options do not allow.

        Raises:
            InputError: A tool becomes a model, or the reverse, or no node is left to train.
        """
        inherits = old.grow_to(new)
        tools = self.tool_names()
        for before, after in inherits.items():
            if (before in tools or after in tools) and before != after:
                raise InputError(
                    "tools: a node with a tool must stay where it is, but growing from "
                    f"{old.name!r} to {new.name!r} makes {after} of {before}"
                )
        if self.freeze_inherited and not self.new_nodes(old, new):
            raise InputError(
                f"freeze_inherited: growing from {old.name!r} to {new.name!r} makes no new node"
            )

    def new_nodes(self, old: Topology, new: Topology) -> tuple[str, ...]:
        """Return the nodes of `new`, grown from `old`, whose adapters are new."""
        inherited = set(old.grow_to(new).values())
        return tuple([node for node in self.model_nodes(new) if node not in inherited])

    def _check_tools(self) -> None:
        tools, topologies = self.tool_names(), [topology for topology, _ in self.stages()]
        for node, tool in tools.items():
            for topology in topologies:
                topology.layer_of(node)
            if tool not in TOOLS:
                raise unknown("tool", tool, TOOLS)
        trained = self.node_names(topologies[0])
        if not trained:
            raise InputError(f"tools must leave a node that is trained, got {self.tools!r}")
        for node in tools:
            if node in trained:
                raise InputError(
                    f"train_nodes must name nodes with a model, but {node} has the tool "
                    f"{tools[node]!r}"
                )

    def stages(self) -> list[tuple[Topology, int]]:
        """Return the topologies of the run with their numbers of steps, one unless scheduled.

        Raises:
            InputError: The topology or the schedule cannot be read.
        """
        if self.schedule is None:
            return [(Topology.parse(self.topology, self.connect), self.steps)]
        return read_schedule(self.schedule, self.connect)

    def total_steps(self) -> int:
        """Return the steps of all stages together."""
        return sum(steps for _, steps in self.stages())

    def warm_up_steps(self) -> int:
        """Return the steps of imitation; what is inherited from another run has had its own."""
        if self.grow_from is not None:
            return 0
        if self.warm_up is None:
            return min(WARM_UP, self.total_steps() // 3)
        return min(self.warm_up, self.total_steps())

    def node_names(self, topology: Topology) -> tuple[str, ...]:
        """Return the nodes of a topology that are trained."""
        if self.train_nodes == "all":
            return self.model_nodes(topology)
        return tuple(dict.fromkeys(name.strip() for name in self.train_nodes.split(",")))

    def tool_names(self) -> dict[str, str]:
        """Return the name of the tool at each node that has one.

        Raises:
            InputError: The option cannot be read.
        """
        return read_options(self.tools, "tools", "node_0=python")

    def model_nodes(self, topology: Topology) -> tuple[str, ...]:
        """Return the nodes of a topology at which a model stands: those with an adapter."""
        tools = self.tool_names()
        return tuple([node for node in topology.nodes if node not in tools])

    def ratio_cap(self) -> float:
        """Return the cap of the importance ratios, 0 for none."""
        if self.importance_cap is not None:
            return self.importance_cap
        return IMPORTANCE_CAP if self.engine == "vllm" or self.rollout_device else 0.0

    def engine_options(self) -> dict[str, Any]:
        """Return all that an engine may want; see `engines.base`."""
        shape = {"targets": self.target_layers(), "nodes": len(self.stages()[-1][0])}
        return asdict(self) | shape | {"config": self}

    def target_layers(self) -> str | list[str]:
        """Return the layers with an adapter, as `TransformersEngine` takes them."""
        names = [name.strip() for name in self.targets.split(",") if name.strip()]
        return "all-linear" if names == ["all-linear"] else names


def saved_config(run: Path) -> TrainConfig:
    """Return the options of a run, as its folder keeps them.

    Raises:
        InputError: The folder is no run's, or an option is wrong.
    """
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{run} is no run folder: it holds no config.yaml; `neuromas train --out "
            f"{shlex.quote(str(run))}` begins a run there"
        )
    return TrainConfig.from_mapping(read_config(run / "config.yaml"))


def read_schedule(text: str, connect: str = "dense") -> list[tuple[Topology, int]]:
    """Read the networks of a run with their numbers of steps.

    Args:
        text: Such as `1:10, 2-1:10, 2-2-1:20`.
        connect: Which layers a node reads.

    Raises:
        InputError: A stage cannot be read, or does not grow into the next one.
    """
    stages = []
    for part in text.split(","):
        name, _, steps = part.strip().rpartition(":")
        if not name or not steps.strip().isdecimal():
            raise InputError(
                "schedule must hold topology:steps, smallest first, as in '1:10, 2-1:10', got "
                f"{part.strip()!r}"
            )
        stages.append((Topology.parse(name, connect), int(steps)))
    for (old, _), (new, _) in pairwise(stages):
        old.grow_to(new)
    return stages
