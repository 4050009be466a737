"""Checks for those who write a task, policy, engine or learner of their own.

Each reads the contract of one kind of object, tries it out, and says all faults in one error.
Nothing here imports torch.
"""

from neuromas_env.testing.engines import check_engine
from neuromas_env.testing.learners import check_learner
from neuromas_env.testing.policies import check_policy
from neuromas_env.testing.tasks import ODD_REPLIES, check_task

__all__ = ["ODD_REPLIES", "check_engine", "check_learner", "check_policy", "check_task"]
