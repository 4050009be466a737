"""Stable-Baselines3 PPO at one node of a network whose other nodes are trained and frozen.

    python examples/marl/sb3_frozen.py --level index-easy-v0 --learner node_1 --seed 0

A step is one turn of the learner, so one round. The others send the best messages of a table that
independent Q-learning trained in the whole network.
"""

import argparse

import numpy as np
import torch
from shared import options, report, trained_table
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import level
from neuromas_env.envs.discrete.views import OneLearnerView


def greedy_return(view, model):
    """Play every question once with the learner's best actions."""
    rewards = []
    for question in np.concatenate(view.layout.task.every()).T.tolist():
        observation, _ = view.reset(options={"question": question})
        done = False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = view.step(action)
            done = terminated or truncated
        rewards.append(reward)
    return float(np.mean(rewards))


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--learner", default="node_1", help="the node that PPO trains")
    given = options(__doc__.splitlines()[0], 40_000, 4_000, parser)
    torch.set_num_threads(1)
    table = trained_table(make_layout(**level(given.level)), given.seed)
    network = {**level(given.level), "learner": given.learner, "others": table}
    envs = make_vec_env(lambda: OneLearnerView(**network), n_envs=16, seed=given.seed)
    model = PPO(
        "MlpPolicy", envs, n_steps=64, batch_size=256, n_epochs=4, learning_rate=3e-3,
        ent_coef=0.02, gamma=1.0, gae_lambda=1.0, policy_kwargs={"net_arch": [32, 32]},
        seed=given.seed, device="cpu",
    )  # fmt: skip
    model.learn(given.steps)
    reached = greedy_return(OneLearnerView(**network), model)
    report("SB3 PPO, one node of a frozen network", given, reached, model.num_timesteps)


if __name__ == "__main__":
    main()
