"""Networks of language models as environments, trained end to end from one shared reward.

Importing the package registers `neuromas/network-v0` with PettingZoo, for
`pettingzoo.make("aec", ...)` and `pettingzoo.make("parallel", ...)`, and every task as a
single-step environment with Gymnasium, such as `gymnasium.make("neuromas/BBH-v0", task=...)`.
"""

from neuromas_env.registration import register_environments
from neuromas_env.topology import Topology

__all__ = ["Topology", "__version__"]
__version__ = "0.1.0"

register_environments()
