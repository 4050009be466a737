"""Experiments as data: arms × seeds at a scale, trained alike, compared by paired tests.

`experiment.yaml` of a folder says what is claimed, which arms there are, and which
comparison decides; `scales.yaml` beside the folders says with which models and tasks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
