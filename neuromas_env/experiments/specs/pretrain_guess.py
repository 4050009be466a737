"""Pretrain a small model to play `games/guess` by the rules and without any plan.

    python -m neuromas_env.experiments.specs.pretrain_guess FOLDER

It is the character-level model of `pretrain_chars`, taught on the conversations of nodes of small
networks over two rounds. A node names one of the three numbers, each as often, whatever the game
has replied; one that hears a message repeats it half of the time. So it knows the form of the game,
wins by chance alone, and all that it does about a reply is left to rewards.
"""

from __future__ import annotations

import re
import sys
from itertools import repeat
from pathlib import Path

import numpy as np

from neuromas_env.agents.prompts import Turns, build_prompt
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.experiments.specs.pretrain_chars import SEED, STEPS, accuracy, fit, tokenizer
from neuromas_env.policy import Observation
from neuromas_env.tasks import Task, make_task
from neuromas_env.topology import Topology

TASK = "games/guess"
NETWORKS = ("1:rounds=2", "1-1:rounds=2", "2-1:rounds=2", "1-1", "2-1")
REPEATS = 0.5
"""How often a node says what it has just heard from another one."""


def lesson(rng: np.random.Generator, task: Task, networks: list[Topology]) -> tuple[Turns, str]:
    """Return what one node reads, and what it is to say; half of the time an output node.

    Args:
        rng: Of everything random.
        task: Whose training questions.
        networks: Whose nodes.
    """
    examples = task.examples("train")
    topology = networks[rng.integers(len(networks))]
    episode = Episode(topology, TextChannel(task), examples[int(rng.integers(len(examples)))])
    lessons: dict[bool, list[tuple[Turns, str]]] = {True: [], False: []}
    while episode.active:
        node = episode.active[0]
        seen = episode.observe(node)
        text = move(rng, seen)
        turns = build_prompt(seen, task.answer_format)
        lessons[node == topology.output].append((turns, text))
        episode.say(node, text)
    chosen = lessons[not lessons[False] or rng.random() < 0.5]
    return chosen[rng.integers(len(chosen))]


def move(rng: np.random.Generator, seen: Observation) -> str:
    """Return one of the numbers asked for, or what was heard from a node in this round."""
    now = seen["place"].get("round", 0)
    own = f"node_{seen['place']['node']}"
    sources = {f"node_{i}" for i, edge in enumerate(seen["place"]["sources"]) if edge} - {own}
    heard = [
        message["text"]
        for message in seen["inbox"]
        if message["source"] in sources and message.get("round", 0) == now
    ]
    if heard and rng.random() < REPEATS:
        return heard[rng.integers(len(heard))]
    return str(rng.choice(re.findall(r"\d+", seen["question"])))


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Train the model, write it into the folder, and print how well it plays."""
    rng, task = np.random.default_rng(SEED), make_task(f"{TASK}:seed={SEED}")
    networks = [Topology.parse(text) for text in NETWORKS]
    words = tokenizer([text for _ in range(1000) for _, text in lesson(rng, task, networks)[0]])
    fit(folder, words, (lesson(rng, task, networks) for _ in repeat(None)), steps)
    for name, share in accuracy(folder, NETWORKS[:2], TASK).items():
        print(f"{name} wins {share:.1%} of the validation games")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m neuromas_env.experiments.specs.pretrain_guess FOLDER")
    pretrain(Path(sys.argv[1]))
