"""Networks of language models as environments, trained end to end from one shared reward.

Importing the package registers `neuromas/network-v0`, `neuromas/discrete-v0` and the levels of
discrete networks with PettingZoo, for `pettingzoo.make("aec", ...)` and
`pettingzoo.make("parallel", ...)`; and with Gymnasium the views of discrete networks and every
task as a single-step environment, such as `gymnasium.make("neuromas/BBH-v0", task=...)`.
"""

from neuromas_env.envs.discrete.registration import register_discrete
from neuromas_env.envs.registration import register_environments
from neuromas_env.topology import Topology

__all__ = ["Topology", "__version__"]
__version__ = "0.1.0"

register_environments()
register_discrete()
