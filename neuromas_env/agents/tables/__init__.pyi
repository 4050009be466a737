# What trains discrete networks by tables, loaded when first used.
from .registry import register_algorithm as register_algorithm
from .rollout import code_words as code_words
from .rollout import run_discrete as run_discrete
