"""Networks of language models as environments, trained end to end from one shared reward.

Importing the package registers `neuromas/network-v0`, `neuromas/coded-v0` and the levels of
coded networks with PettingZoo, for `pettingzoo.make("aec", ...)` and
`pettingzoo.make("parallel", ...)`; and with Gymnasium the views of coded networks and every
task as a single-step environment, such as `gymnasium.make("neuromas/BBH-v0", task=...)`.
"""

from neuromas_env.coded.registration import register_coded
from neuromas_env.registration import register_environments
from neuromas_env.topology import Topology

__all__ = ["Topology", "__version__"]
__version__ = "0.1.0"

register_environments()
register_coded()
