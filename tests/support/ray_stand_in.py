"""A stand-in for Ray, as far as a benchmark uses it: actors in this process, called at once."""

import sys
import types
from functools import partial


class RayActorError(Exception):
    """A worker is gone."""


class RayTaskError(Exception):
    """A worker raised something."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Died(BaseException):
    """What a worker raises that is gone; every later call to it fails, too."""


class Handle:
    """An actor."""

    def __init__(self, make):
        self._make, self._actor, self._dead = make, None, False

    def __getattr__(self, name):
        return types.SimpleNamespace(remote=partial(self._call, name))

    def _call(self, name, *args):
        return Reference(self._outcome(name, args))

    def _outcome(self, name, args):
        if self._dead:
            return RayActorError("it died before")
        try:
            self._actor = self._actor or self._make()
            return getattr(self._actor, name)(*args)
        except Died:
            self._dead = True
            return RayActorError("it died")
        except Exception as error:
            return RayTaskError(error)


class Reference:
    """The outcome of a call."""

    def __init__(self, outcome):
        self.outcome = outcome


def get(reference):
    if isinstance(reference.outcome, RayActorError | RayTaskError):
        raise reference.outcome
    return reference.outcome


def remote(*classes, **options):
    if not classes:
        return lambda cls: remote(cls)
    made = types.SimpleNamespace(remote=lambda *args: Handle(lambda: classes[0](*args)))
    made.options = lambda **options: made
    return made


def put_in_place(monkeypatch, cpus=2):
    """Put the stand-in where Ray would be imported from."""
    ray = types.ModuleType("ray")
    vars(ray).update(
        init=lambda **options: None, shutdown=lambda: None, get=get, remote=remote,
        wait=lambda references: (references[:1], references[1:]),
        cluster_resources=lambda: {"CPU": float(cpus)},
        get_runtime_context=lambda: types.SimpleNamespace(get_node_id=lambda: "here"),
        exceptions=types.SimpleNamespace(RayActorError=RayActorError, RayTaskError=RayTaskError),
    )  # fmt: skip
    strategies = types.ModuleType("ray.util.scheduling_strategies")
    strategies.NodeAffinitySchedulingStrategy = lambda node, soft: node
    for name, module in {"ray": ray, "ray.util": types.ModuleType("ray.util"),
                         "ray.util.scheduling_strategies": strategies}.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)
