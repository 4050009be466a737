"""TorchRL PPO by its PettingZooWrapper: all nodes in one group, one policy for all.

    python examples/marl/torchrl_ppo.py --level xor-easy-v0 --seed 0

A step is one layer of one round of the layer-parallel form.
"""

import torch
from shared import greedy_return, options, report
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torchrl.envs import PettingZooWrapper
from torchrl.modules import MLP, ProbabilisticActor
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from neuromas_env import discrete_v0
from neuromas_env.envs.discrete.levels import level

FRAMES, EPOCHS, MINIBATCH = 512, 4, 128


def make_loss(env, actor, critic):
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.02)
    loss.set_keys(
        reward=env.reward_key, action=env.action_key, value=("node", "state_value"),
        sample_log_prob=("node", "log_prob"),
        done=("node", "done"), terminated=("node", "terminated"),
    )  # fmt: skip
    loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=1.0)
    return loss


def main():
    given = options(__doc__.splitlines()[0], steps=40_000, quick=1_024)
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    network = discrete_v0.parallel_env(**level(given.level))
    if network.channel.layout.bandwidth > 1:
        raise SystemExit("this script's policy sends one symbol: take a level of bandwidth 1")
    env = PettingZooWrapper(network, categorical_actions=True, seed=given.seed)
    width, messages = network.observation_space("node_0").shape[0], network.channel.layout.messages
    scores = MLP(width, messages, num_cells=[32, 32], activation_class=nn.Tanh)
    values = MLP(width, 1, num_cells=[32, 32], activation_class=nn.Tanh)
    actor = ProbabilisticActor(
        TensorDictModule(scores, [("node", "observation")], [("node", "logits")]),
        in_keys=[("node", "logits")], out_keys=[env.action_key], distribution_class=Categorical,
        return_log_prob=True, log_prob_key=("node", "log_prob"),
    )  # fmt: skip
    critic = TensorDictModule(values, [("node", "observation")], [("node", "state_value")])
    loss = make_loss(env, actor, critic)
    optimiser = torch.optim.Adam(loss.parameters(), lr=3e-3)
    steps = 0
    while steps < given.steps:
        with torch.no_grad():
            data = env.rollout(FRAMES, actor, break_when_any_done=False)
            loss.value_estimator(
                data, params=loss.critic_network_params,
                target_params=loss.target_critic_network_params,
            )  # fmt: skip
        steps += FRAMES
        for _ in range(EPOCHS):
            for rows in torch.randperm(FRAMES).split(MINIBATCH):
                found = loss(data[rows])
                optimiser.zero_grad()
                sum(found[k] for k in ("loss_objective", "loss_critic", "loss_entropy")).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
                optimiser.step()
    with torch.no_grad():
        reached = greedy_return(
            given.level, lambda seen: scores(torch.from_numpy(seen)).argmax(-1).numpy()
        )
    report("TorchRL PPO, PettingZooWrapper", given, reached, steps)


if __name__ == "__main__":
    main()
