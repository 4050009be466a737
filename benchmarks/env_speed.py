"""Environment steps per second, beside a bare-bones text environment of the same shape.

Seven nodes in the layers 2-2-2-1, messages of 2,000 characters, through `env()`
with `last()` read at every turn, dead steps included. The bare-bones environment
has the usual wrappers, the same message space and delivery of messages, but no task, no
options, no place, no scoring. Prints the ratio of the two from one run:

    python benchmarks/env_speed.py
"""

import statistics
import time

from gymnasium.spaces import Dict, Sequence
from pettingzoo import AECEnv
from pettingzoo.utils import AssertOutOfBoundsWrapper, OrderEnforcingWrapper

from neuromas_env.envs.spaces import Message
from neuromas_env.neuromas_v0 import env
from neuromas_env.tasks import Example, Score, Task

TARGET, ROUNDS_TARGET = 0.7, 0.9
LAYERS = ((0, 1), (2, 3), (4, 5), (6,))
QUESTION = "Which of these numbers is the largest? 12 48 33 91"
TEXT = "x" * 2000
SECONDS, REPEATS = 0.25, 9


class Bare(AECEnv):
    """What PettingZoo's documentation would have one write, for messages as texts."""

    metadata = {"name": "bare_v0", "render_modes": [], "is_parallelizable": False}

    def __init__(self):
        self.possible_agents = [f"node_{i}" for i in range(7)]
        self.sources = {
            f"node_{reader}": [f"node_{source}" for source in above]
            for above, below in zip(((), *LAYERS), LAYERS, strict=False)
            for reader in below
        }
        self.render_mode = None
        observation = Dict(
            question=Message(20_000),
            inbox=Sequence(Dict(source=Message(64), text=Message(20_000))),
        )
        self._observation_spaces = dict.fromkeys(self.possible_agents, observation)
        self._action_spaces = dict.fromkeys(self.possible_agents, Message(20_000))

    def observation_space(self, agent):
        return self._observation_spaces[agent]

    def action_space(self, agent):
        return self._action_spaces[agent]

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.messages = {}
        self.turn = 0
        self.agent_selection = self.agents[0]

    def observe(self, agent):
        return {
            "question": QUESTION,
            "inbox": tuple(
                {"source": source, "text": self.messages[source]}
                for source in self.sources[agent]
                if source in self.messages
            ),
        }

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.messages[agent] = action
        self.turn += 1
        if self.turn == len(self.possible_agents):
            for node in self.agents:
                self.rewards[node] = float(action == TEXT)
                self.terminations[node] = True
        self.agent_selection = self.possible_agents[self.turn % len(self.possible_agents)]
        self._accumulate_rewards()
        self._deads_step_first()


class Constant(Task):
    name = "constant"
    answer_format = ""

    def examples(self, split):
        return [Example("only", QUESTION, TEXT)]

    def score(self, example, reply):
        right = float(reply == example.target)
        return Score(right, right, "ok" if right else "wrong", reply)


def per_second(environment, dead):
    """Play episodes for `SECONDS` and count the turns of nodes, with the dead steps or without."""
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS:
        environment.reset()
        for _ in environment.agent_iter():
            _, _, terminated, truncated, _ = environment.last()
            over = terminated or truncated
            environment.step(None if over else TEXT)
            steps += dead or not over
    return steps / elapsed


def main():
    ours = env(Constant(), "2-2-2-1")
    bare = OrderEnforcingWrapper(AssertOutOfBoundsWrapper(Bare()))
    pairs = [(per_second(ours, True), per_second(bare, True)) for _ in range(REPEATS)]
    ratio = statistics.median(a / b for a, b in pairs)
    ours_speed, bare_speed = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"neuromas 2-2-2-1: {ours_speed:,.0f} steps/s")
    print(f"bare-bones:       {bare_speed:,.0f} steps/s")
    print(f"ratio: {ratio:.2f} (target: at least {TARGET})")
    thrice = env(Constant(), "2-2-2-1:rounds=3:memory=none")
    pairs = [(per_second(thrice, False), per_second(ours, False)) for _ in range(REPEATS)]
    rounds = statistics.median(a / b for a, b in pairs)
    print(f"a turn in three rounds over one: {rounds:.2f} (target: at least {ROUNDS_TARGET})")
    return ratio >= TARGET and rounds >= ROUNDS_TARGET


if __name__ == "__main__":
    raise SystemExit(not main())
