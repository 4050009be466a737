# The face of the package: what `from neuromas_env import ...` offers, loaded when first used.
from .agents.engines.mock import MockEngine as MockEngine
from .agents.learners.base import Learner as Learner
from .agents.learners.base import register_learner as register_learner
from .agents.llm import LLMPolicy as LLMPolicy
from .agents.llm import llm_network as llm_network
from .agents.training.api import grow as grow
from .agents.training.api import resume as resume
from .agents.training.api import train as train
from .agents.training.config import TrainConfig as TrainConfig
from .agents.training.evaluate import evaluate as evaluate
from .baselines import make_baseline as make_baseline
from .errors import InputError as InputError
from .method import Method as Method
from .neuromas_v0 import env as env
from .neuromas_v0 import parallel_env as parallel_env
from .policy import Completion as Completion
from .policy import Policy as Policy
from .policy import Request as Request
from .policy import Sampling as Sampling
from .policy import Trajectory as Trajectory
from .rollout import run_episodes as run_episodes
from .tasks import Example as Example
from .tasks import Score as Score
from .tasks import Task as Task
from .tasks import make_task as make_task
from .tasks import register_task as register_task
from .topology import Topology as Topology

__version__: str
