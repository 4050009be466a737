# What engines are made of, loaded when first used.
from .base import Row as Row
from .base import register_engine as register_engine
from .tools import register_tool as register_tool
