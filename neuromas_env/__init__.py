"""Networks of language models as environments, trained end to end from one shared reward.

The names in `__init__.pyi` are loaded when they are first used, so that importing the package loads
no torch.
Importing it also registers `neuromas/network-v0`, `neuromas/discrete-v0` and the levels of discrete
networks with PettingZoo, for `pettingzoo.make("aec", ...)` and `pettingzoo.make("parallel", ...)`;
and with Gymnasium the views of discrete networks and every task as a single-step environment,
such as `gymnasium.make("neuromas/BBH-v0", task=...)`.
"""

import lazy_loader

from neuromas_env.envs.discrete.registration import register_discrete
from neuromas_env.envs.registration import register_environments

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_environments()
register_discrete()
