# What learners are made of, loaded when first used.
from .advantage import Advantage as Advantage
from .base import Learner as Learner
from .base import register_learner as register_learner
from .base import renamed as renamed
from .base import reward_table as reward_table
from .tabular import TabularEngine as TabularEngine
from .tabular import TabularReinforce as TabularReinforce
