"""The model card of a trained network: what it is, its scores, its cost and how to load it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuromas_env.agents.engines.models import HUB_IDS
from neuromas_env.topology import Topology

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FOUR_BITS = ", in a version of four bits a weight"  # of the embedded models
_COST = ("calls", "prompt_tokens", "completion_tokens")


def model_card(repo: str, base: str, config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Write the README.md of a trained network: metadata of the hub, then text.

    Args:
        repo: Its name on the hub, `ORG/NAME`.
        base: The base model that its adapters name: an id of the hub or a folder.
        config: Options of the run.
        result: What `RunResult.to_dict` gives.
    """
    facts, after = result["facts"], result["after"]
    topology = Topology.from_json(facts["topology"])
    known = HUB_ID.fullmatch(base)
    model = f"`{base}`" if known else f"a local model, `{Path(facts['model']).name}`"
    bits = _FOUR_BITS * (facts["model"] in HUB_IDS)
    facts = facts | {"learner": config["learner"], "steps": result["steps"]}
    named = ("learner", "steps", "reward", "seed", "weights_hash")
    return f"""---
{_metadata(repo, base, config, result)}
---

# {repo.partition("/")[2]}

A network of language models with the topology `{topology.name}`, trained end to end from one shared
reward on `{facts["task"]}`. The base of every node is {model}{bits}. It is frozen, and
each node has a LoRA adapter of its own on it, in the folder of its name.

```text
{topology.draw()}
```

## Scores

{_scores(config, result) if after else "It was not evaluated."}

## Training

{_table(["", ""], [[_words(name), f"`{facts[name]}`"] for name in named])}

## Cost

{_table(["phase", *map(_words, _COST), "seconds"], _costs(result["cost"]))}

## Versions

{_table(["", ""], facts["versions"].items())}

## Load it

The network, with the package `neuromas-env`:

```bash
neuromas eval --run {repo}
```

An adapter alone, such as that of the output node:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base if known else "FOLDER OF THE BASE"}")
node = PeftModel.from_pretrained(base, "{repo}", subfolder="{topology.output}")
```
"""


def _metadata(repo: str, base: str, config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    facts, after = result["facts"], result["after"]
    scores = [
        EvalResult(
            task_type="text-generation",
            dataset_type=facts["task"],
            dataset_name=facts["task"],
            dataset_split=config["eval_split"],
            metric_type="accuracy",
            metric_name=f"{name} accuracy",
            metric_value=round(after[name], 4),
        )
        for name in ("strict", "extracted")
        if after
    ]
    known = HUB_ID.fullmatch(base)
    return ModelCardData(
        base_model=base if known else None,
        base_model_relation="adapter" if known else None,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["neuromas", "multi-agent", "reinforcement-learning", "lora"],
        model_name=repo.partition("/")[2],
        eval_results=scores or None,
        task=facts["task"],
        topology=facts["topology"]["name"],
    ).to_yaml()


def _scores(config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    after = result["after"]
    rows = {"before training": result["before"], "after training": after}
    rows |= {f"messages {name}": row for name, row in result["ablation"].items()}
    head = ["percent, with 95 % intervals", "strict", "extracted", "answer found"]
    table = _table(
        head,
        [
            [
                label,
                _interval(row, "strict"),
                _interval(row, "extracted"),
                _percent(row["parse_rate"]),
            ]
            for label, row in rows.items()
            if row
        ],
    )
    blind = after["blind"] is not None and f", without any message {_percent(after['blind'])}"
    return (
        f"{table}\n\n{after['n']} questions of the {config['eval_split']} split, greedy decoding. "
        f"The best constant answer has {_percent(after['majority'])}{blind or ''}."
        f"{_course(result)}"
    )


def _course(result: Mapping[str, Any]) -> str:
    """Say how validation questions were answered as the run went on, and which weights stay."""
    if not (found := result.get("validation")):
        return ""
    peak, final, kept = found["peak"], found["final"], result.get("kept")
    best = f" The weights are those after step {kept}, the best on these questions."
    return (
        f"\n\nOn {final['n']} validation questions the highest extracted accuracy of the run was "
        f"{_percent(peak['extracted'])}, after step {peak['step']}, and the last "
        f"{_percent(final['extracted'])}.{best if kept not in (None, result['steps']) else ''}"
    )


def _interval(row: Mapping[str, Any], name: str) -> str:
    low, high = map(_percent, row[f"{name}_interval"])
    return f"{_percent(row[name])} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _costs(cost: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    return [
        [phase, *(f"{spent[name]:,}" for name in _COST), f"{spent['seconds']:.1f}"]
        for phase, spent in cost.items()
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    cells = [list(head), ["---"] * len(list(head)), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)
