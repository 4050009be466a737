"""Scripted replies and small runs for the tests of AgentNet."""

import json
import re

from support.asking import Sums, Told

from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.adapted import FILE, adapt
from neuromas_env.rollout import run_episodes

EXECUTE = "Decision: execute\nPart: add them"
FORWARD, SPLIT = "Decision: forward\nNext: 1", "Decision: split\nPart: half"


def replies(route=EXECUTE, on="Decision: done", right=lambda request: True):
    """Reply as the call asks, to routers what is given, and with the sum where it is asked for."""

    def say(request, number):
        system = request.turns[0][1]
        if "Decide what happens" in system:
            return route(request) if callable(route) else route
        if "Decide whether" in system:
            return on
        if "'Result:'" not in system:
            return "a thought"
        return f"So.\nResult: {number_in(request) + 1000 * right(request)}"

    return say


def number_in(request):
    """The number of the question that is asked; what was solved before comes ahead of it."""
    return int(request.turns[-1][1].splitlines()[1])


def me(request):
    """Whose router is asked."""
    return int(re.search(r"You are agent (\d+)", request.turns[0][1])[1])


def learn(iterations, out, name="agentnet", engine=None, seed=0, task=None):
    return adapt(name, task or Sums(), engine or Told(replies()), iterations, out, seed)


def save(folder, state, method="agentnet"):
    """Write a state as adapting does."""
    held = {"method": method, "task": "sums", "seed": 0, "iterations": 1, "state": state}
    held |= {"rewards": [], "cost": {}, "facts": {}}
    (folder / FILE).write_text(json.dumps(held))


def questions(split="train"):
    return [example.question for example in Sums().examples(split)]


def run(folder, engine, name="agentnet", count=1):
    comma = "," if ":" in name else ":"
    method = make_baseline(f"{name}{comma}state={folder}", Sums(), engine)
    return method, run_episodes(method, Sums(), Sums().examples("test")[:count])


# The rule
