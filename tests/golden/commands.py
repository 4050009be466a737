"""The fixed list: commands of `neuromas`, and what they write but for clocks and machines."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sqlite3
from collections.abc import Callable
from hashlib import blake2b, sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import python_side

from neuromas_env.agents.training.signals import MEASURES

HERE = Path(__file__).parent
DATA = HERE.parent / "fixtures" / "rows"
BENCH = "direct,sc:k=3,debate,moa,macnet,self_refine"
LEARNERS = ("collm_cc", "collm_dc", "counterfactual", "independent", "joint_roles", "magrpo")
SETTINGS = (  # whatever the defaults are
    "--warm-up 0 --warmup-steps 0 --reward both --temperature 0.5 --learning-rate 0.001 --keep last"
)
TINY = (
    "--model tiny --dtype float32 --questions 2 --rollouts 2 --max-new-tokens 3 --rank 4 "
    "--eval-questions 2"
)
# What a clock, a machine or a release says.
UNSTEADY = {"versions", "machine", "folder", "log", "sandbox", "neuromas-env"}


def neuromas(line: str) -> str:
    """Run a command in this process and return what it prints."""
    [command] = entry_points(group="console_scripts", name="neuromas")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            command.load()(line.split())
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"neuromas {line}: {out.getvalue()}") from ended
    return out.getvalue()


def exact() -> dict[str, Any]:
    """What is the same on every machine: texts, scores, counts, ids."""
    found: dict[str, Any] = {
        "observations": python_side.text_turns(),
        "prompt ids": python_side.prompt_ids(),
        "fork": [digested(leaf, "prompts") for leaf in python_side.trees()],
    }
    for level in ("relay-easy-v0", "xor-hard-v0", "lewis-easy-v0"):
        found[f"discrete {level}"] = [digest(step) for step in python_side.discrete_turns(level)]
    for task in ("hierarchy/max", "bbh/navigate", "arc/challenge"):
        found[f"eval gold {task}"] = numbers(
            neuromas(f"eval --policy gold --task {task} --data {DATA} --limit 50")
        )
    neuromas(
        f"bench --methods {BENCH} --tasks hierarchy/max,bbh/navigate --data {DATA} --limit 3 "
        "--seeds 0,1 --engine python_side:make --model golden --chunk 2 --matched --out bench"
    )
    found["bench"] = store("bench")
    experiment = discrete_experiment()
    found["discrete experiment"] = experiment | {
        "runs": {name: rounded(run) for name, run in experiment["runs"].items()}
    }
    return found


def torch() -> dict[str, Any]:
    """What is the same on one kind of CPU: sampled texts, losses, weights."""
    found: dict[str, Any] = {}

    def train(name: str, options: str) -> None:
        neuromas(f"train {SETTINGS} {options} --out {name}")  # the last one counts
        found[name] = run(name)

    train(
        "main",
        "--steps 3 --questions 4 --rollouts 2 --eval-questions 2 --max-new-tokens 8 --seed 1 "
        "--temperature 1.0 --entropy-coef 0.01",
    )
    python_side.tiny("tiny")
    entropy = "--entropy-coef 0.1 --kl-coef 0.05"
    train("layered", f"--task even --topology 2-1:skip --steps 3 {TINY} {entropy}")
    train("grown", f"--grow-from layered --topology 2-2-1:skip --grow-init noise --steps 2 {TINY} "
          f"--task even {entropy}")  # fmt: skip
    train("malt", f"--task even --learner malt --topology 1-1-1:skip --steps 4 {TINY} "
          "--reward extracted --learning-rate 0.01")  # fmt: skip
    for learner in LEARNERS:
        train(learner, f"--task even --topology 2-1 --learner {learner} --steps 2 {TINY}")
    found["eval synthetic"] = numbers(
        neuromas("eval --run grown --task hierarchy/max --ablation --limit 3")
    )
    found["eval rows"] = numbers(
        neuromas(
            f"eval --task bbh/navigate --data {DATA} --limit 3 --model tiny --topology 1-1 "
            "--max-new-tokens 4"
        )
    )
    neuromas(
        "bench --methods direct,debate,neuromas@layered,malt@malt --tasks even --limit 2 "
        "--model tiny --dtype float32 --max-new-tokens 4 --out trained"
    )
    found["bench of trained ones"] = store("trained")
    found["discrete experiment"] = discrete_experiment()["runs"]
    return found


def discrete_experiment() -> dict[str, Any]:
    """Run the experiment of `discrete/` once; return its runs and its answers."""
    out = Path("experiment")
    if not out.exists():
        neuromas(f"experiment {HERE / 'discrete'} --scale mini --out {out}")
    runs = {}
    for file in sorted(out.rglob("result.json")):
        name = str(file.parent.relative_to(out))
        runs[name] = digested(steady(json.loads(file.read_text())), "counters")
        with open(file.parent / "table.npy", "rb") as table:
            runs[name]["table"] = digest_array(np.load(table))
    return {"runs": runs, "answers": store(out / "tables")}


def run(folder: str) -> dict[str, Any]:
    """Return logs, result and last weights of a run folder."""
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    for name in ("metrics.jsonl", "transcripts.jsonl"):
        rows = Path(folder, name).read_text(encoding="utf-8").split("\n")[:-1]
        found[name] = [steady(json.loads(row)) for row in rows]
    for row in found["metrics.jsonl"]:
        # These follow from the transcripts and the weights.
        later = ("validat", "gradient_norm/", "sampler_gap/")
        for name in [n for n in row if n in MEASURES or n.startswith(later)]:
            del row[name]
    found["transcripts.jsonl"] = [
        [row["id"], row["answer"], row["reward"], digest(row)] for row in found["transcripts.jsonl"]
    ]
    found["result.json"] = steady(json.loads(Path(folder, "result.json").read_text()))
    found["result.json"]["facts"].pop("origins", None)  # where rows come from, no value
    for name in ("validation", "gradient_norms", "kept"):
        found["result.json"].pop(name, None)
    for name in ("check", "validation"):
        found["result.json"]["cost"].pop(name, None)
    last = max(Path(folder, "checkpoints").iterdir())
    state = steady(json.loads((last / "state.json").read_text()))
    # The last column is seconds; other calls are neither training's nor the reported evaluation's.
    state["cost"] = [row[:-1] for row in state["cost"] if row[0] in ("train", "eval")]
    state.pop("adapters", None)  # hashes of the initial weights, which follow from the seed
    found["state.json"] = state
    found["weights"] = {
        str(file.parent.relative_to(last)): digest(
            {name: digest_array(tensor) for name, tensor in load_file(file).items()}
        )
        for file in sorted(last.rglob("*.safetensors"))
    }
    return found


def store(folder: str | Path) -> dict[str, Any]:
    """Return the cells of a benchmark with their answers; debate's transcripts in full."""
    with contextlib.closing(sqlite3.connect(Path(folder, "bench.sqlite"))) as db:
        db.row_factory = sqlite3.Row
        cells = [dict(row) for row in db.execute("SELECT * FROM cells")]
        answers = [dict(row) for row in db.execute("SELECT * FROM answers ORDER BY cell, row")]
        asked = [list(row) for row in db.execute("SELECT * FROM questions ORDER BY 1, 2, 3")]
        matches = [list(row) for row in db.execute("SELECT * FROM matches ORDER BY 1, 2, 3")]
    found: dict[str, Any] = {"questions": digest(asked)}
    found["matches"] = [[*row[:3], row[4]] for row in matches]
    for cell in cells:
        settings = json.loads(cell["settings"])
        key = [cell["method"], cell["task"], cell["split"], cell["seed"], settings]
        made = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
        rows = [steady(row) for row in answers if row["cell"] == cell["id"]]
        for row in rows:
            del row["cell"]
            if cell["method"] != "debate":
                row["transcript"] = digest(row["transcript"])
        facts = steady(json.loads(cell["facts"]))
        found["{method} {task} {seed}".format(**cell)] = {
            "settings": steady(settings), "facts": {k: short(facts[k]) for k in facts},
            "hash of the settings": made == cell["hash"], "columns": list(rows[0]),
            "answers": [list(row.values()) for row in rows],
        }  # fmt: skip
    return found


def steady(value: Any) -> Any:
    """Return a nested value without what a clock, a machine or a release says."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in UNSTEADY and not k.endswith("seconds")}
        return {key: steady(item) for key, item in kept.items()}
    return [steady(item) for item in value] if isinstance(value, list) else value


def numbers(text: str) -> list[str]:
    """Return the numbers that a command prints, but for times, progress and the machine's.

    Its words may change.
    """
    text = re.sub(r"^(device .*|\d+/\d+  .*)\n", "", text, flags=re.M)
    text = re.sub(r"[\d.]+ (h|min|s)\b", "", text)
    return re.findall(r"\d[\d.,/]*", text)


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits that stand for a value of JSON."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def digest_array(array: np.ndarray) -> str:
    """Return the type, the shape and a digest of the bytes of an array."""
    return f"{array.dtype} {array.shape} {sha256(array.tobytes()).hexdigest()[:16]}"


def short(value: Any) -> Any:
    """Return a digest of a mapping or list, and anything else as it is."""
    return digest(value) if isinstance(value, dict | list) else value


def digested(row: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a row in which a digest stands for one of its values."""
    return row | {key: digest(row[key])}


def rounded(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run's whole numbers and scores to nine digits; numpy rounds by the kind of CPU."""
    text = json.dumps({key: value for key, value in run.items() if key != "table"})
    return json.loads(text, parse_float=lambda number: round(float(number), 9))


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"exact": exact, "torch": torch}
