"""What sits at the nodes and what trains it: policies, prompts, engines, learners, runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["engines", "learners", "tables"])
