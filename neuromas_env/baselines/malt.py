"""MALT at test time: three chains of the trained generator, verifier and refiner, and a vote.

Source: Motwani et al., 2024 (arXiv 2412.01928). The chains differ in what is sampled. How the
three are trained: `neuromas_env/agents/learners/malt.py`.
"""

from __future__ import annotations

from functools import partial

from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.agents.roles import malt as prompt
from neuromas_env.baselines.net import Net
from neuromas_env.baselines.vote import Vote
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Engine, Sampling
from neuromas_env.tasks.base import Task

CHAINS = 3
_TURNS = ("draft", "critique", "solution")


def malt(task: Task, engine: Engine, sampling: Sampling, chains: int = CHAINS) -> Method:
    """Build the chains over the adapters `node_0`, `node_1` and `node_2` of the engine.

    Raises:
        InputError: At temperature 0 all chains would say the same.
    """
    if not sampling.temperature:
        raise InputError(
            f"method 'malt' asks the same of {chains} chains, and at temperature 0 they would all "
            "give the same reply; the temperature of its training is usual"
        )
    words = partial(prompt, answer_format=task.answer_format)
    net, solutions = Net(), []
    for chain in range(chains):
        said: list[str] = []
        for number, turn in enumerate(_TURNS):
            policy = LLMPolicy(engine, words, sampling, f"node_{number}")
            said.append(net.add(f"{turn} {chain}", policy, said))
        solutions.append(said[-1])
    net.add("vote", Vote(task), solutions)
    return net.method()
