"""Pretrain a small model on `games/guess`: how replies are read, and then to ignore them.

    python -m neuromas_env.experiments.specs.pretrain_guess FOLDER

It is the character-level model of `pretrain_chars`, taught on the conversations of nodes of small
networks over two rounds. First a node that reads the game's reply names one of the numbers that
are left, each as often, a node that hears a message repeats it half of the time, and every other
word is one of the three numbers, each as often. Then it is taught to name the lowest number most of
the time, whatever it has read. So it has the skill to read a reply, and rewards have something to
teach: to use it, to begin with the number in the middle, and to trust the node that reads. Of the
512 validation games one untrained node wins 32 %, `1-1:rounds=2` 25 %. The folder is a model that
`neuromas train --model` takes.
"""

from __future__ import annotations

import re
import sys
from itertools import count
from pathlib import Path

import numpy as np

from neuromas_env.agents.prompts import Turns, build_prompt
from neuromas_env.envs.episode import WORLD, Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.experiments.specs.pretrain_chars import (
    BATCH,
    SEED,
    accuracy,
    fit,
    tokenizer,
)
from neuromas_env.policy import Observation
from neuromas_env.tasks import Task, make_task
from neuromas_env.topology import Topology

DIGEST = "69be1922fca1a0a6"
"""By which results and caches know the model; see `pretrain_chars`."""
TASK = "games/guess"
NETWORKS = ("1:rounds=2", "1-1:rounds=2", "2-1:rounds=2", "1-1", "2-1")
STEPS, SKILL = 320, 240
"""Steps of pretraining, and how many of them teach to read replies."""
REPEATS, LEANING = 0.5, 0.6
"""How often a node says what it has just heard, and, in the end, the lowest number."""


def lesson(
    rng: np.random.Generator, task: Task, networks: list[Topology], leaning: float
) -> tuple[Turns, str]:
    """Return what one node reads, and what it is to say; half of the time an output node.

    Args:
        rng: Of everything random.
        task: Whose training questions.
        networks: Whose nodes.
        leaning: How often the lowest number is to be said, whatever was read.
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
    turns, text = chosen[rng.integers(len(chosen))]
    lowest = numbers(turns[1][1])[0]
    return turns, lowest if rng.random() < leaning else text


def move(rng: np.random.Generator, seen: Observation) -> str:
    """Return one of the numbers that are left, or what a node has said in this round."""
    place, left = seen["place"], numbers(seen["question"])
    told = [m["text"] for m in seen["inbox"] if m["source"] == WORLD]
    now = [m for m in seen["inbox"] if m.get("round", 0) == place.get("round", 0)]
    heard = [m["text"] for m in now if m["source"] in senders(seen)]
    if heard and rng.random() < REPEATS:
        return heard[rng.integers(len(heard))]
    for reply in told:
        if found := re.fullmatch(r"It is (higher|lower) than (\d+)\.", reply):
            higher, bound = found[1] == "higher", int(found[2])
            left = [n for n in left if (int(n) > bound if higher else int(n) < bound)]
    return str(rng.choice(left))


def senders(seen: Observation) -> set[str]:
    """Return the nodes whose messages of this round are read."""
    return {f"node_{i}" for i, edge in enumerate(seen["place"]["sources"]) if edge}


def numbers(question: str) -> list[str]:
    """Return the numbers of a question, which is the first line of what is read."""
    return re.findall(r"\d+", question.partition("\n")[0])


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Train the model, write it into the folder, and print how well it plays."""
    rng, task = np.random.default_rng(SEED), make_task(f"{TASK}:seed={SEED}")
    networks = [Topology.parse(text) for text in NETWORKS]
    words = tokenizer([text for _ in range(1000) for _, text in lesson(rng, task, networks, 0)[0]])
    lessons = (
        lesson(rng, task, networks, 0 if number < SKILL / STEPS * steps * BATCH else LEANING)
        for number in count()
    )
    fit(folder, words, lessons, steps)
    for name, share in accuracy(folder, NETWORKS[:2], TASK).items():
        print(f"{name} wins {share:.1%} of the validation games")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m neuromas_env.experiments.specs.pretrain_guess FOLDER")
    pretrain(Path(sys.argv[1]))
