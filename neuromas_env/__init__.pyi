# The face of the package: what `from neuromas_env import ...` offers, loaded when first used.
# Modules hold what belongs to one subject: `testing.check_task`, `learners.register_learner`.
from . import baselines as baselines
from . import discrete_v0 as discrete_v0
from . import experiments as experiments
from . import neuromas_v0 as neuromas_v0
from . import tasks as tasks
from . import testing as testing
from .agents import engines as engines
from .agents import learners as learners
from .agents import tables as tables
from .agents.engines.mock import MockEngine as MockEngine
from .agents.learners.base import Learner as Learner
from .agents.llm import LLMPolicy as LLMPolicy
from .agents.llm import llm_network as llm_network
from .agents.training.api import grow as grow
from .agents.training.api import resume as resume
from .agents.training.api import train as train
from .agents.training.config import TrainConfig as TrainConfig
from .agents.training.evaluate import evaluate as evaluate
from .baselines import make_baseline as make_baseline
from .bench.config import BenchConfig as BenchConfig
from .bench.runner import run_benchmark as run_benchmark
from .bench.statistics import Estimand as Estimand
from .bench.statistics import compare as compare
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
from .tasks.qa import QuestionAnswer as QuestionAnswer
from .topology import Topology as Topology

__version__: str
