"""The versioned PettingZoo module of discrete networks: `env`, `raw_env` and `parallel_env`."""

from neuromas_env.envs.discrete.aec import env, raw_env
from neuromas_env.envs.discrete.parallel import parallel_env

__all__ = ["env", "parallel_env", "raw_env"]
