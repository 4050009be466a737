"""Networks of scripts that win the games: what input nodes hear is told, the output node plays."""

import re
from itertools import product

from neuromas_env.baselines import Script
from neuromas_env.method import Method
from neuromas_env.tasks.games.grid import paths
from neuromas_env.tasks.games.mastermind import best_guess, counts
from neuromas_env.topology import Topology


def from_world(observation):
    return [m["text"] for m in observation["inbox"] if m["source"] == "world"]


def tell_all(observation):
    return "\n".join(from_world(observation)) or "nothing"


def tell_map(observation):
    """The dealt rows of the map, and where the robot is now."""
    rows = [line for line in observation["question"].split("\n") if line.startswith("row")]
    return "\n".join([*rows, *from_world(observation)[-1:]])


def now(observation):
    """What is heard in this round."""
    last = observation["place"]["round"]
    return "\n".join(m["text"] for m in observation["inbox"] if m["round"] == last)


def guess(observation):
    low, *_, high = map(int, re.findall(r"\d+", observation["question"]))
    for where, number in re.findall(r"It is (\w+) than (\d+)", now(observation)):
        low, high = (int(number) + 1, high) if where == "higher" else (low, int(number) - 1)
    return str((low + high) // 2)


def crack(observation):
    length = int(re.search(r"of (\d) letters", observation["question"])[1])
    letters = re.search(r"are of ([A-Z, ]+), perhaps", observation["question"])[1].split(", ")
    codes = ["".join(code) for code in product(letters, repeat=length)]
    right = re.findall(r"(\w+): (\d) in the right place", now(observation))
    elsewhere = dict(re.findall(r"(\w+): (\d) elsewhere", now(observation)))
    told = {code: (int(count), int(elsewhere[code])) for code, count in right}
    left = [n for n, code in enumerate(codes)
            if all(counts(tried, code) == said for tried, said in told.items())]  # fmt: skip
    return codes[best_guess(len(letters), length, tuple(left))]


def lead(observation):
    heard = now(observation)
    rows = [
        cells.split() for _, cells in sorted(re.findall(r"row (\d): ((?:[.#RG] ?)+)$", heard, re.M))
    ]
    if at := re.search(r"row (\d): R is in column (\d)", heard):
        rows = [[cell.replace("R", ".") for cell in row] for row in rows]
        rows[int(at[1]) - 1][int(at[2]) - 1] = "R"
    return paths(tuple(map("".join, rows)))[0][0]


PLAYERS = {
    "games/guess": (tell_all, guess),
    "games/mastermind": (tell_all, crack),
    "games/grid": (tell_map, lead),
}


def network(name, topology):
    """Two scripts for a game: one for the input nodes, one for the output node."""
    tell, play = PLAYERS[name.partition(":")[0]]
    shape = Topology.parse(topology)
    says = {node: Script(tell) for node in shape.inputs} | {shape.output: Script(play)}
    return Method(shape, says)
