"""The versioned PettingZoo module: `env`, `raw_env` and `parallel_env`."""

from neuromas_env.envs.aec import env, raw_env
from neuromas_env.envs.parallel import parallel_env

__all__ = ["env", "parallel_env", "raw_env"]
