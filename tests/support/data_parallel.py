"""What the processes of a data-parallel run do in the tests of it."""

from __future__ import annotations

import multiprocessing
import os
import socket
from contextlib import contextmanager

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["neuromas_env.agents.training.api", "accelerate"])


def launch(target, count=2):
    """Run `target(number, results)` in processes that know of each other; return what each put."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_enter, args=(target, number, count, port, results))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    found = {}
    for process in processes:
        process.join(900)
        assert process.exitcode is not None, "a process hangs"
    while not results.empty():
        number, value = results.get()
        found.setdefault(number, []).append(value)
    return found


def _enter(target, number, count, port, results):
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    target(number, lambda value: results.put((number, value)))
    results.close()
    results.join_thread()


@contextmanager
def told(put):
    """Put the message of an InputError."""
    from neuromas_env.errors import InputError

    try:
        yield
        put("no error")
    except InputError as error:
        put(str(error))


class Work:
    """Trains in a way that can go to another process."""

    def __init__(self, kind, **options):
        self.kind, self.options = kind, options

    def __call__(self, number, put):
        getattr(self, self.kind)(number, put, **self.options)

    def straight(self, number, put, config, edited):
        """Train; before that, try what must be refused. `edited` is another copy of the package."""
        from dataclasses import replace

        from neuromas_env.agents.engines import distributed
        from neuromas_env.agents.training.api import train

        distributed.start("cpu")
        with told(put):
            train(replace(config, learning_rate=0.1 * (number + 1)))
        source = distributed.rollout.__file__
        distributed.rollout.__file__ = f"{edited}/rollout.py" if number else source
        with told(put):
            train(config)
        distributed.rollout.__file__ = source
        with told(put):
            distributed.together(lambda: _fail() if number else None)
        put(train(config).to_dict())

    def dying(self, number, put, config):
        """Train, but lose the second process in the second step."""
        from neuromas_env.agents.learners.reinforce import Reinforce
        from neuromas_env.agents.training.api import train

        backward = Reinforce._backward

        def dies(learner, *batch):
            if number and learner._steps == 1:
                os._exit(9)
            return backward(learner, *batch)

        Reinforce._backward = dies
        with told(put):
            train(config)

    def resumed(self, number, put, folder):
        """Go on with a run."""
        from neuromas_env.agents.training.api import resume

        put(resume(folder).to_dict())


def _fail():
    from neuromas_env.errors import InputError

    raise InputError("no memory here")
