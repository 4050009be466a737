"""Stable-Baselines3 PPO by the turn view: one policy plays every node in turn.

    python examples/marl/sb3_turns.py --level xor-easy-v0 --seed 0

A step is one node's turn; training ends early when the last 100 episodes went right.
"""

import torch
from shared import greedy_return, options, report
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from neuromas_env.envs.discrete.levels import level
from neuromas_env.envs.discrete.views import TurnView


class StopWhenRight(BaseCallback):
    """Ends training after a rollout when the recent episodes were nearly all right."""

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        recent = [episode["r"] for episode in self.model.ep_info_buffer]
        self.solved = len(recent) == 100 and sum(recent) >= 99

    def _on_rollout_end(self):
        self.model.stop = self.solved


class StoppablePPO(PPO):
    """PPO that looks at `stop` between rollouts."""

    stop = False

    def collect_rollouts(self, *args, **kwargs):
        return not self.stop and super().collect_rollouts(*args, **kwargs)


def main():
    given = options(__doc__.splitlines()[0], steps=120_000, quick=4_000)
    torch.set_num_threads(1)
    envs = make_vec_env(lambda: TurnView(**level(given.level)), n_envs=16, seed=given.seed)
    model = StoppablePPO(
        "MlpPolicy", envs, n_steps=128, batch_size=256, n_epochs=4, learning_rate=3e-3,
        ent_coef=0.02, gamma=1.0, gae_lambda=1.0, policy_kwargs={"net_arch": [32, 32]},
        seed=given.seed, device="cpu",
    )  # fmt: skip
    model.learn(given.steps, callback=StopWhenRight())
    reached = greedy_return(given.level, lambda seen: model.predict(seen, deterministic=True)[0])
    report("SB3 PPO, turn view", given, reached, model.num_timesteps)


if __name__ == "__main__":
    main()
