"""What the fixed list needs of the package beyond its command line.

When modules move, the import lines here change and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pettingzoo

from neuromas_env import neuromas_v0
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.prompts import build_prompt
from neuromas_env.agents.roles import malt
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task, register_task
from neuromas_env.tasks.base import Example, Score, Task
from neuromas_env.topology import Topology

TASK, SKIP = "hierarchy/max:leaves=4", "2-2-1:skip"


class Even(Task):
    """A task that a random model solves half the time: replies of even length are right."""

    name = "even"
    answer_format = "Answer with the number only."
    max_new_tokens = 8
    disjoint = False  # all splits hold the same questions

    def examples(self, split: str) -> list[Example]:
        query = "What is the sum?"
        return [
            Example(f"{split}/{n}", f"{query}\n{n}\n+ 10", str(n + 10), (str(n), "+ 10"), query)
            for n in range(70, 90)
        ]

    def score(self, example: Example, reply: str) -> Score:
        right = float(len(reply.encode()) % 2 == 0)
        return Score(right, right, "ok" if right else "wrong", reply)

    def majority(self, split: str) -> float:
        return 0.5


@register_task("even")
def even() -> Even:
    """Say something of even length."""
    return Even()


def make(config: Any) -> MockEngine:
    """The engine of `--engine python_side:make`: a hash of the request says how it replies."""
    return MockEngine(_reply)


def _reply(request: Any) -> str:
    said = "\n".join(text for _, text in request.turns)
    digest = hashlib.sha256(f"{said}{request.adapter}{request.seed}".encode()).digest()
    if digest[0] < 32:
        return "I cannot tell."
    if "\nNumbers:" not in said:
        return ("The answer is Yes.", "No", "yes", "Answer: No.")[digest[1] % 4]
    numbers = re.findall(r"\d+", said.rpartition("Numbers:")[2].partition("\n")[0])
    if digest[0] < 160:
        return max(numbers, key=int)
    return ("{}", "The answer is {}.", "{} or so", "Answer: {}")[digest[1] % 4].format(
        numbers[digest[2] % len(numbers)]
    )


def tiny(folder: str) -> None:
    """Write a tiny random llama into a folder."""
    _tiny_models().make_tiny("llama", Path(folder))


def _tiny_models() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    import tiny_models

    return tiny_models


def text_turns() -> list[dict[str, Any]]:
    """Walk one episode; before each turn, what every node observes, and what is said."""
    env = neuromas_v0.env(task=TASK, topology=SKIP)
    env.reset(seed=0, options={"index": 5})
    turns = []
    for node in env.agent_iter():
        seen = {name: env.observe(name) for name in env.possible_agents}
        _, reward, ended, truncated, info = env.last()
        text = None if ended or truncated else f"{node} says {len(turns)} <|im_end|>\u00e9\u4e2d"
        turns.append(
            {"node": node, "seen": seen, "reward": reward, "info": info, "says": text}
            | ({"state": env.state()} if text else {})
        )
        env.step(text)
    return _plain(turns)


def prompt_ids() -> dict[str, list[int]]:
    """The prompt of each node's turn in that episode as token ids, by tokenizer and node."""
    from transformers import AutoTokenizer

    from neuromas_env.agents.engines.chat import ChatEncoder
    from neuromas_env.agents.engines.models import resolve_model

    form = make_task(TASK).answer_format
    turns = [
        (turn["node"], build_prompt(turn["seen"][turn["node"]], form))
        for turn in text_turns()
        if turn["says"]
    ]
    made = _tiny_models()
    tokenizers = {family: made.tiny_tokenizer(family) for family in made.FAMILIES}
    folder = resolve_model("smollm2-135m", quiet=True)
    tokenizers["smollm2-135m"] = AutoTokenizer.from_pretrained(folder)
    return {
        f"{name}/{node}": ChatEncoder(tokenizer, name).encode(prompt)
        for name, tokenizer in tokenizers.items()
        for node, prompt in turns
    }


def trees() -> list[dict[str, Any]]:
    """Episodes that fork as MALT's do: two drafts, critiques and solutions of each turn before."""
    chain, task = Topology.parse("1-1-1:skip"), make_task("hierarchy/max")
    engine = MockEngine(_reply)
    network = llm_network(
        chain, task, engine, Sampling(1.0, 9), adapter_of={}, prompt=malt, deals_parts=False
    )
    rows = task.examples("train")[:2]
    leaves = run_episodes(network, task, rows, seed=3, rollouts=2, branches=2, reward="extracted")
    return [
        {
            "id": leaf.example.id, "group": leaf.group, "seed": leaf.seed, "reward": leaf.reward,
            "answer": leaf.answer, "texts": [step.text for step in leaf.turns],
            "prompts": [step.completion.prompt_ids.tolist() for step in leaf.turns],
        }
        for leaf in leaves
    ]  # fmt: skip


def discrete_turns(level: str) -> list[dict[str, Any]]:
    """Walk episodes of a discrete level with random actions."""
    env = pettingzoo.make("parallel", f"neuromas/{level}")
    random = np.random.default_rng(0)
    steps = []
    for seed in range(3):
        seen, infos = env.reset(seed=seed)
        steps.append({"seen": _plain(seen), "infos": _plain(infos)})
        while env.agents:
            actions = {}
            for node in env.agents:
                space = env.action_space(node)
                sizes = np.atleast_1d(getattr(space, "nvec", getattr(space, "n", 0)))
                drawn = random.integers(sizes)
                actions[node] = drawn if hasattr(space, "nvec") else int(drawn[0])
            seen, rewards, ends, cuts, infos = env.step(actions)
            found = {"seen": seen, "rewards": rewards, "ends": ends, "cuts": cuts, "infos": infos}
            steps.append(_plain(found | {"actions": actions}))
    return steps


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
