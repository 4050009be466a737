"""A first look at a GPU in ten minutes: a joint step and its parts, each as a ratio.

Every row is written to a file as soon as it is known, so that a run that is cut keeps what it has:

    python benchmarks/gpu.py [--out gpu.jsonl] [--minutes 10]

`--tiny` runs the same code on a random model of two narrow layers, on any device:

    python benchmarks/gpu.py --tiny --device cpu
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import roofline
import torch
from floor import Floor
from joint_step import node_memory
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from workload import MODEL, NEW, ROLLOUTS, Ours

from neuromas_env.agents.engines.devices import place_of
from neuromas_env.agents.engines.forward.products import free_bytes
from neuromas_env.agents.engines.models import load_base, resolve_model
from neuromas_env.agents.engines.two_devices import SplitEngine

SPARE = 0.2  # of the memory that is free stays so
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}


def tiny_model(folder):
    """Write a random model with the embedded one's tokenizer into a folder."""
    source = resolve_model(MODEL, quiet=True)
    config = AutoConfig.from_pretrained(source, **TINY, **HEADS)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return str(folder)


def seconds(work, repeats):
    """Median seconds of some work, after a first time."""
    work()
    return roofline.seconds_of(work, repeats)


def bare(device, model, new, repeats):
    """Seconds of the bare base: `generate`, and forward and backward."""
    base = Floor(False, device, model)
    return {
        "generate": seconds(lambda: base.generate(3, new), repeats),
        "train": seconds(lambda: base.train(3), repeats),
    }


def rows(device, model, new=NEW, repeats=3):
    """Yield what a row says, its ratio, and what the ratio was made of."""
    options = {"new": new, "device": device, "model": model}
    three = Ours(3, **options)
    step, rollout = seconds(three.step, repeats), seconds(three.rollout, repeats)
    parts = {"step": step, "rollout": rollout} | bare(device, model, new, repeats)
    faster = (parts["generate"] + parts["train"]) / step
    yield "joint step with 3 nodes, faster than bare generate and backward", faster, parts
    faster = parts["generate"] / rollout
    yield "rollout with 3 adapters, faster than bare generate", faster, parts

    many = 7
    one, seven = Ours(1, rollouts=many * ROLLOUTS, **options), Ours(many, **options)
    parts = {"one": seconds(one.step, repeats), "seven": seconds(seven.step, repeats)}
    yield "step with 7 adapters, over 1 with as many rows", parts["seven"] / parts["one"], parts
    del one, seven

    split = SplitEngine(
        *(load_base(model, device=device, quiet=True) for _ in "ab"), targets="all-linear"
    )
    for number, node in enumerate(three.nodes):
        split.adapters.add(node, number)
    parts = {"hand-over": seconds(split._hand_over, repeats), "rollout": rollout}
    yield "hand-over of 3 adapters, over a rollout", parts["hand-over"] / rollout, parts
    del split

    limits = roofline.ceilings(device, 3)
    reached = roofline.report(device, 3, limits, 1, model)
    parts = {"operations/s": limits[0], "bytes/s": limits[1]}
    yield "joint step, share of the roofline", reached, parts

    held = node_memory(three.engine, three.nodes[0])[0]
    free = torch.cuda.mem_get_info(device)[0] if device != "cpu" else free_bytes()
    base = sum(p.nbytes for n, p in three.engine.model.named_parameters() if "lora_" not in n)
    parts = {"bytes of a node": held, "bytes of the base": base, "bytes free": free}
    yield (
        "largest number of nodes in memory, from the size of one",
        (1 - SPARE) * free / held,
        parts,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--tiny", action="store_true", help="a random model, to try the script")
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("--minutes", type=float, default=10, help="no row is begun later than this")
    chosen = parser.parse_args()
    device = place_of(chosen.device)
    name = "cpu" if device == "cpu" else torch.cuda.get_device_name(device)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, chosen.out.open("w", encoding="utf-8") as out:
        model = tiny_model(folder) if chosen.tiny else chosen.model
        size = {"new": 4, "repeats": 1} if chosen.tiny else {}
        for what, ratio, parts in rows(device, model, **size):
            row = {"device": name, "model": "tiny" if chosen.tiny else model, "what": what}
            row |= {"ratio": round(ratio, 4), "of": parts}
            print(json.dumps(row), file=out, flush=True)
            print(f"{what}: {ratio:.3g}", flush=True)
            if time.perf_counter() - started > 60 * chosen.minutes:
                print("out of time")
                return True
    return False


if __name__ == "__main__":
    raise SystemExit(main())
