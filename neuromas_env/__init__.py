"""Networks of language models as environments, trained end to end from one shared reward.

Importing the package registers `neuromas/network-v0` with PettingZoo, for
`pettingzoo.make("aec", ...)` and `pettingzoo.make("parallel", ...)`.
"""

from pettingzoo import register

from neuromas_env.topology import Topology

__all__ = ["Topology", "__version__"]
__version__ = "0.1.0"

register("aec", "neuromas/network-v0", "neuromas_env.neuromas_v0:env")
register("parallel", "neuromas/network-v0", "neuromas_env.neuromas_v0:parallel_env")
