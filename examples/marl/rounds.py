"""Two rounds against one: in the second, a node says the one bit that it was asked for.

    python examples/marl/rounds.py --seeds 5

On the task `index` node_0 is dealt a place, node_1 a word of two bits, and the output must say the
bit at that place. A message is one bit, so that node_1 cannot say its word; with feedback from
node_0 it hears which bit matters. Prints a JSON line with the greedy returns of independent
Q-learning for each network.
"""

import argparse
import json
import time

from shared import trained_table

from neuromas_env.agents.tables.play import play
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork

TOPOLOGIES = "2-1", "2-1:rounds=2:feedback=0>1:memory=none"


def greedy_return(layout, table):
    """Play every question once with the best messages of a table."""
    network = VectorNetwork.of(layout, batch=layout.task.questions())
    network.reset(questions=layout.task.every())
    return float(play(network, lambda seen: table.argmax(1)[seen]).rewards.mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="--seeds 1")
    given = parser.parse_args()
    for topology in TOPOLOGIES:
        started, layout = time.perf_counter(), make_layout("index", topology, 2)
        seeds = range(1 if given.quick else given.seeds)
        returns = [greedy_return(layout, trained_table(layout, seed)) for seed in seeds]
        result = {
            "topology": topology,
            "optimal": layout.returns.optimal,
            "returns": returns,
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
