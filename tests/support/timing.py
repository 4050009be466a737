"""Processor time of a call, for tests that assert a bound on it."""

import time

TRIES = 3


def seconds(call, *args, bound):
    """Return the least processor seconds of this thread for a call, asked again above a bound.

    A collection of garbage, or the first use of a module, falls into one call alone.
    """
    least = float("inf")
    for _ in range(TRIES):
        started = time.thread_time()
        call(*args)
        least = min(least, time.thread_time() - started)
        if least < bound:
            break
    return least
