"""Episodes of a discrete network with an engine at its nodes, as a learner's trajectories.

The same requests, completions and trajectories as for language models: an engine over a
finite code book, such as `TabularEngine`, and a `Learner` work here unchanged.
"""

from __future__ import annotations

import numpy as np

from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.envs.discrete.vector import Questions, VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Engine, Request, Sampling, Trajectory, Turn
from neuromas_env.seeds import derive_seed
from neuromas_env.tasks.base import Example, Score


def code_words(layout: Layout) -> list[str]:
    """Return the words with which an engine names messages: their numbers.

    Args:
        layout: The network.
    """
    return [str(message) for message in range(layout.messages)]


def run_discrete(
    layout: Layout,
    engine: Engine,
    questions: Questions,
    *,
    seed: int = 0,
    rollouts: int = 1,
    temperature: float = 1.0,
) -> list[Trajectory]:
    """Run every question `rollouts` times, with one call of the engine per layer and round.

    A node's prompt is the number of its observation, its adapter has the node's name.

    Args:
        layout: The network.
        engine: Serves all nodes; its replies must be among `code_words`.
        questions: Integer arrays `parts [n_parts, n]` and `query [n_query, n]`.
        seed: Every draw's seed derives from it as in `run_episodes`.
        rollouts: Episodes per question.
        temperature: 0 is greedy.

    Returns:
        Trajectories, those of a question side by side.

    Raises:
        InputError: A reply is no message.
    """
    parts, query = (np.repeat(numbers, rollouts, axis=1) for numbers in questions)
    count = parts.shape[1]
    network, nodes = VectorNetwork.of(layout, batch=count), len(layout.topology)
    network.reset(questions=(parts, query))
    targets = layout.task.rule(parts, query)
    seeds = [derive_seed(seed, i // rollouts, i % rollouts) for i in range(count)]
    turns: list[list[Turn]] = [[] for _ in range(count)]
    rewards = np.zeros(count)
    for tick in layout.ticks:
        speakers = [(f"node_{turn % nodes}", turn % nodes, turn // nodes) for turn in tick]
        requests = [
            Request(
                (("user", str(seen)),),
                engine,
                name,
                Sampling(temperature, 1),
                derive_seed(seeds[i], node, round),
            )
            for (name, node, round), row in zip(
                speakers, network.observations().tolist(), strict=True
            )
            for i, seen in enumerate(row)
        ]
        replies = engine.generate(requests)
        messages = np.array([_message(reply, layout) for reply in replies]).reshape(-1, count)
        for at, reply in enumerate(replies):
            name, _, round = speakers[at // count]
            turns[at % count].append(Turn(name, reply.text, name, reply, round))
        _, earned = network.step(messages)
        rewards = rewards if earned is None else earned.astype(np.float64)
    return [
        Trajectory(
            Example("-".join(map(str, numbers)), str(tuple(numbers)), str(target)),
            i // rollouts,
            seeds[i],
            tuple(said),
            said[-1].text,  # the output node speaks last
            Score(reward, reward, "ok" if reward else "wrong"),
            float(reward),
        )
        for i, (numbers, target, said, reward) in enumerate(
            zip(np.concatenate([parts, query]).T.tolist(), targets, turns, rewards, strict=True)
        )
    ]


def _message(reply: Completion, layout: Layout) -> int:
    if reply.error or not reply.text.isdecimal() or int(reply.text) >= layout.messages:
        raise InputError(
            f"a message must be 0 to {layout.messages - 1}, but the engine replied {reply.text!r}"
            + (f" ({reply.error})" * bool(reply.error))
        )
    return int(reply.text)
