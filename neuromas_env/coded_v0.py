"""The versioned PettingZoo module of coded networks: `env`, `raw_env` and `parallel_env`."""

from neuromas_env.coded.env import env, raw_env
from neuromas_env.coded.parallel import parallel_env

__all__ = ["env", "parallel_env", "raw_env"]
