"""BenchMARL's IPPO, MAPPO or QMIX on a level, in an environment of its own.

    python -m venv benchmarl
    benchmarl/bin/pip install -r examples/marl/benchmarl-requirements.txt
    benchmarl/bin/python examples/marl/benchmarl_train.py --algorithm mappo --level relay-easy-v0

A step is one layer of one round of the layer-parallel form. QMIX mixes by all nodes' observations.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from benchmarl.algorithms import IppoConfig, MappoConfig, QmixConfig
from benchmarl.environments.common import Task, TaskClass
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.models.mlp import MlpConfig
from shared import options, report
from torchrl.envs import PettingZooWrapper
from torchrl.envs.utils import ExplorationType, set_exploration_type

from neuromas_env import discrete_v0
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import level

ALGORITHMS = {"ippo": IppoConfig, "mappo": MappoConfig, "qmix": QmixConfig}


class DiscreteClass(TaskClass):
    """A level as a BenchMARL task."""

    supports_discrete_actions = lambda self: True  # noqa: E731
    supports_continuous_actions = has_render = lambda self, *env: False  # noqa: E731
    state_spec = action_mask_spec = info_spec = lambda self, env: None  # noqa: E731

    def get_env_fun(self, num_envs, continuous_actions, seed, device):
        network = self.config["level"]
        return lambda: PettingZooWrapper(
            discrete_v0.parallel_env(**level(network)),
            categorical_actions=True, seed=seed, device=device, use_mask=False,
        )  # fmt: skip

    def max_steps(self, env):
        return len(make_layout(**level(self.config["level"])).ticks)

    def group_map(self, env):
        return env.group_map

    def observation_spec(self, env):
        spec = env.observation_spec.clone()
        for group in self.group_map(env):
            for key in [key for key in spec[group].keys() if key != "observation"]:
                del spec[group][key]
        return spec

    def action_spec(self, env):
        return env.full_action_spec

    @staticmethod
    def env_name():
        return "discrete"


class DiscreteTask(Task):
    """The only entry; which level it is stands in the configuration."""

    LEVEL = None

    @staticmethod
    def associated_class():
        return DiscreteClass


def score(experiment):
    """Mean return of 500 episodes in which every node takes its best action."""
    env, ticks = experiment.test_env, experiment.max_steps
    with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
        data = env.rollout(500 * ticks, experiment.policy, break_when_any_done=False)
    rewards, done = data["next", "node", "reward"][:, 0], data["next", "node", "done"][:, 0]
    return float(rewards[done].mean())


def settings(given, folder):
    config = ExperimentConfig.get_from_yaml()
    config.sampling_device = config.train_device = config.buffer_device = "cpu"
    config.max_n_frames, config.max_n_iters, config.gamma = given.steps, None, 0.99
    config.on_policy_collected_frames_per_batch = 1000
    config.off_policy_collected_frames_per_batch = 1000
    config.on_policy_n_envs_per_worker = config.off_policy_n_envs_per_worker = 10
    config.on_policy_n_minibatch_iters, config.on_policy_minibatch_size = 8, 250
    config.off_policy_n_optimizer_steps, config.off_policy_train_batch_size = 50, 128
    config.lr, config.loggers, config.create_json = 3e-3, [], False
    config.exploration_anneal_frames = given.steps // 2
    config.evaluation, config.render, config.save_folder = False, False, str(folder)
    return config


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algorithm", default="mappo", choices=ALGORITHMS)
    given = options(__doc__.splitlines()[0], 100_000, 2_000, parser)
    torch.set_num_threads(1)
    if make_layout(**level(given.level)).bandwidth > 1:
        raise SystemExit("this script's policies send one symbol: take a level of bandwidth 1")
    with tempfile.TemporaryDirectory() as folder:
        model = MlpConfig(
            num_cells=[32, 32], activation_class=torch.nn.Tanh, layer_class=torch.nn.Linear
        )
        experiment = Experiment(
            task=DiscreteTask.LEVEL.get_task({"level": given.level}),
            algorithm_config=ALGORITHMS[given.algorithm].get_from_yaml(),
            model_config=model, critic_model_config=model, seed=given.seed,
            config=settings(given, Path(folder)),
        )  # fmt: skip
        experiment.run()
        reached = score(experiment)
    report(f"BenchMARL {given.algorithm.upper()}", given, reached, experiment.total_frames)


if __name__ == "__main__":
    main()
