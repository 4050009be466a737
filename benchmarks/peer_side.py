"""The peer's side of `workload.py`, run by `peer.py` in an environment of its own.

One step for every line read, or the memory held if the line asks for that: CoMLRL's
`MAREINFORCETrainer` with its own defaults, but for what the workload says.
"""

import ctypes
import gc
import json
import sys
import time

import torch
from comlrl.trainers.reinforce import MAREINFORCEConfig, MAREINFORCETrainer
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer


def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def make_agent(folder, options):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, options["dtype"]))
    lora = LoraConfig(
        r=options["rank"],
        lora_alpha=2 * options["rank"],
        target_modules=options["targets"],
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def main():
    options = json.loads(sys.argv[1])
    torch.set_num_threads(options["threads"])
    tokenizer = AutoTokenizer.from_pretrained(options["folder"])
    text = "Think"
    while len(tokenizer(text).input_ids) < options["prompt"]:
        text += " about"
    agents = [make_agent(options["folder"], options) for _ in range(options["nodes"])]
    rewards = iter(float(i % 3) for i in range(1 << 40))
    trainer = MAREINFORCETrainer(
        agents=agents,
        num_agents=len(agents),
        tokenizer=tokenizer,
        reward_func=lambda *replies, **more: [next(rewards) for _ in replies[0]],
        formatters=[lambda item: item["prompt"]] * len(agents),
        train_dataset=[{"prompt": text}],
        args=MAREINFORCEConfig(
            num_agents=len(agents),
            num_turns=1,
            num_generations=options["rollouts"],
            max_new_tokens=options["new"],
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            rollout_buffer_size=1,
            train_batch_size=1,
            eval_interval=0,
            agent_learning_rate=options["rate"],
            agent_devices="cpu",
        ),
    )
    rolled = []
    generate = trainer._generate_completions

    def timed(*args, **more):
        started = time.perf_counter()
        found = generate(*args, **more)
        assert all(len(ids) == options["new"] for ids in found["completion_input_ids"][0])
        rolled.append(time.perf_counter() - started)
        return found

    trainer._generate_completions = timed
    for agent in agents:
        agent.train()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(json.dumps({"resident": resident()}), flush=True)
            continue
        rolled.clear()
        started = time.perf_counter()
        trainer._train_step_returns({"prompt": text}, min_new_tokens=options["new"])
        whole = time.perf_counter() - started
        answer = {"rollout": sum(rolled), "training": whole - sum(rolled)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
