"""Shows options in the API pages with their defaults and meanings, not the calls behind them."""

from __future__ import annotations

from dataclasses import fields
from pkgutil import resolve_name
from typing import Any

import griffe

from neuromas_env.config import REQUIRED, Options


class OptionFields(griffe.Extension):
    """Gives the attributes of a class of `Options` the values and texts that its fields have."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Take them from the class itself."""
        if "Options" not in map(str, cls.bases):
            return
        made = resolve_name(f"{cls.module.path}:{cls.name}")
        for one in fields(made) if issubclass(made, Options) else ():
            attribute = cls.members[one.name]
            attribute.value = None if one.default is REQUIRED else repr(one.default)
            attribute.docstring = griffe.Docstring(one.metadata["help"], parent=attribute)
