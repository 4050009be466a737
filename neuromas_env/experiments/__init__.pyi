# How experiments are run from Python, loaded when first used.
from .marl import marl_experiment as marl_experiment
from .run import run_experiment as run_experiment
