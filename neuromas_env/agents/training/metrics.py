"""The figures that training logs: name, unit and meaning, declared once.

They stand in `metrics.jsonl` and go to trackers such as TensorBoard under the same names. The
reference page of the docs is made from this table. Nothing here imports torch.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PLACES = {"NODE": r"node_\d+", "ROLE": "generator|verifier|refiner"}
"""What stands for a part of a name, and the pattern of that part."""


class Metric(NamedTuple):
    """A figure of a training step.

    Attributes:
        name: In `metrics.jsonl`; `NODE` in it stands for a node's name.
        unit: Such as `share` or `nats`.
        about: What it is, in a few words.
    """

    name: str
    unit: str
    about: str


METRICS: dict[str, tuple[Metric, ...]] = {
    "Every step": (
        Metric("step", "count", "training steps taken, this one included"),
        Metric("topology", "name", "the network that was trained in this step"),
        Metric("reward", "reward", "mean over the episodes, without terms of `--shaping`"),
        Metric("strict", "share", "mean score by exact match of the whole reply"),
        Metric("extracted", "share", "mean score of the answer that a reader finds in the reply"),
        Metric("rollout_tokens", "tokens", "generated in the step, by all nodes together"),
        Metric("cut_off", "share", "of the replies that ended at the limit of tokens"),
        Metric("equal_groups", "share", "of the questions whose episodes all earned the same"),
        Metric("same_answer", "share", "of the episodes that gave the most common answer"),
        Metric("same_target", "share", "of the episodes that have the most common target"),
        Metric("rollout_seconds", "s", "spent on generating the episodes"),
        Metric("train_seconds", "s", "spent on the learner's update"),
        Metric("other_seconds", "s", "spent on checks of the hand-over and on transcripts"),
    ),
    "The gradient": (
        Metric("advantage_std", "reward", "spread of a node's advantages, mean over the nodes"),
        Metric("gradient_norm", "norm", "of all adapters together, before clipping"),
        Metric("gradient_norm/NODE", "norm", "of one node's adapter, before clipping"),
        Metric("train_rows", "count", "model calls that have a gradient"),
        Metric("train_tokens", "tokens", "of these calls' replies"),
        Metric("entropy/NODE", "nats", "a token of the policy that is trained, mean"),
        Metric(
            "kl",
            "nats",
            "a token, divergence of the policy from the base model; without `--kl-coef` measured "
            "every tenth step on a few rows of each node",
        ),
        Metric(
            "sampler_gap",
            "nats",
            "largest difference of a token's log-probability between sampling and training",
        ),
        Metric("sampler_gap/NODE", "nats", "mean absolute difference over the tokens of one node"),
        Metric("importance_ratio", "ratio", "mean of p_trained / p_sampled over the tokens"),
        Metric("importance_capped", "share", "of the tokens whose ratio exceeds the cap"),
    ),
    "The warm-up": (
        Metric("imitated", "share", "of the replies in which an answer is found and imitated"),
    ),
    "Shaped rewards": (Metric("shaped", "reward", "mean over the episodes, with the terms"),),
    "Two copies of the base": (
        Metric(
            "handover_gap",
            "nats",
            "mean difference of log-probabilities between the two copies, of the worst adapter",
        ),
        Metric("handover_seconds", "s", "spent on that check"),
    ),
    "CoLLM's critics": (
        Metric("value", "reward", "mean return that the critics predict"),
        Metric("value_error", "reward squared", "mean squared error of that prediction"),
        Metric("critic_tokens", "tokens", "that the critics read in the step"),
        Metric("critic_parameters", "count", "trained in the critics"),
    ),
    "Difference rewards": (
        Metric("brought/NODE", "reward", "that is lost when the node's message is emptied, mean"),
    ),
    "MALT": (
        Metric("ROLE_good", "share", "of the role's turns that are worth more than 1/2"),
        Metric("ROLE_sft_loss", "nats", "a token of the good turns, negative log-likelihood"),
        Metric("ROLE_dpo_loss", "nats", "a pair of turns, loss of the preferences"),
    ),
    "Evaluations, under these names in trackers": (
        Metric("held_out/strict", "share", "mean score by exact match on held-out questions"),
        Metric("held_out/extracted", "share", "mean score of the answer that is found"),
        Metric("held_out/parse_rate", "share", "of the replies in which an answer is found"),
        Metric("validation/strict", "share", "the same on validation questions, during the run"),
        Metric("validation/extracted", "share", "the same on validation questions"),
        Metric("validation/parse_rate", "share", "the same on validation questions"),
    ),
}
"""By what writes them, all figures of a step. A learner of one's own may add others."""


def declared(name: str) -> str | None:
    """Return the entry of `METRICS` that covers a figure's name, None if none does."""
    for metric in (metric for group in METRICS.values() for metric in group):
        pattern = re.escape(metric.name)
        for place, what in PLACES.items():
            pattern = pattern.replace(place, f"(?:{what})")
        if re.fullmatch(pattern, name):
            return metric.name
    return None
