"""REINFORCE with the learner contract and the advantage code that train language models.

    python examples/marl/own_learner.py --level xor-easy-v0 --credit joint

`joint` compares the episodes of a question with one another (leave-one-out), one baseline
for the whole network; `independent` gives every node a learner of its own with a moving
average. Both are `TabularReinforce` on a `TabularEngine`: the same requests, completions and
trajectories as with a language model, with a table in its place. A step is one node's turn.
"""

import argparse

import numpy as np
from shared import options, report

from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce
from neuromas_env.agents.tables.rollout import code_words, run_discrete
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import level

QUESTIONS, ROLLOUTS = 8, 8


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--credit", default="joint", choices=["joint", "independent"])
    given = options(__doc__.splitlines()[0], 60_000, 10_000, parser)
    layout = make_layout(**level(given.level))
    nodes = layout.topology.nodes
    engine = TabularEngine(code_words(layout))
    if given.credit == "joint":
        learners = [TabularReinforce(engine, nodes, learning_rate=10.0)]
    else:
        learners = [
            TabularReinforce(engine, [node], learning_rate=10.0, advantage="moving_average")
            for node in nodes
        ]
    rng = np.random.default_rng(given.seed)
    turns = QUESTIONS * ROLLOUTS * len(nodes) * layout.topology.rounds
    updates = max(1, given.steps // turns)
    for update in range(updates):
        questions = layout.task.draw(rng, QUESTIONS)
        seed = given.seed * updates + update
        episodes = run_discrete(layout, engine, questions, seed=seed, rollouts=ROLLOUTS)
        for learner in learners:
            learner.update(episodes)
    episodes = run_discrete(layout, engine, layout.task.every(), temperature=0)
    reached = float(np.mean([episode.reward for episode in episodes]))
    report(f"REINFORCE, {given.credit}", given, reached, updates * turns)


if __name__ == "__main__":
    main()
