"""Stable-Baselines3 PPO by SuperSuit: all nodes of the layer-parallel form as one batch.

    python examples/marl/sb3_supersuit.py --level xor-easy-v0 --seed 0

A step is one layer of one round in one node's copy of the environment. Nodes that are not in the
layer act too, and nothing comes of it: such samples are noise, so expect more of them than in the
turn view, and some seeds at a local optimum.
"""

import supersuit
import torch
from shared import greedy_return, options, report
from stable_baselines3 import PPO
from stable_baselines3.common.utils import set_random_seed

from neuromas_env import discrete_v0
from neuromas_env.envs.discrete.levels import level


def main():
    given = options(__doc__.splitlines()[0], steps=240_000, quick=8_000)
    torch.set_num_threads(1)
    # SuperSuit's vector has no `seed` method, so PPO(seed=...) would fail.
    set_random_seed(given.seed)
    network = discrete_v0.parallel_env(**level(given.level))
    envs = supersuit.pettingzoo_env_to_vec_env_v1(network)
    envs = supersuit.concat_vec_envs_v1(envs, 8, num_cpus=1, base_class="stable_baselines3")
    # The copies are new environments, so each gets a seed of its own: this one and those after it.
    envs.venv.reset(seed=8 * given.seed)
    model = PPO(
        "MlpPolicy", envs, n_steps=128, batch_size=512, n_epochs=4, learning_rate=3e-3,
        ent_coef=0.02, gamma=1.0, gae_lambda=1.0, policy_kwargs={"net_arch": [32, 32]},
        device="cpu",
    )  # fmt: skip
    model.learn(given.steps)
    reached = greedy_return(given.level, lambda seen: model.predict(seen, deterministic=True)[0])
    report("SB3 PPO, SuperSuit", given, reached, model.num_timesteps)


if __name__ == "__main__":
    main()
