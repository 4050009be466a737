"""Which rows a training pass computes, and which go into one pass together.

A node with memory speaks in one conversation: the prompt of its next turn begins with the prompt
and the reply of this one. A pass over the last turn so computes all of them, and the others are
read from it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence

from neuromas_env.agents.engines.base import Row


def row_tokens(row: Row) -> tuple[int, ...]:
    """Return the tokens that a pass computes for a row.

    The last one predicts nothing that is trained.
    """
    return (*row.prompt_ids.tolist(), *row.ids[:-1].tolist())


def chains(rows: Sequence[Row]) -> dict[int, list[int]]:
    """Return which rows are computed, by index, and which ones are read from each, itself included.

    A row is read from another one whose prompt, of the same adapter, goes on from the row's prompt
    and reply. Equal rows are computed each: those of a single round make the same batches, to the
    bit, as without this function.
    """
    names = [row.adapter or "" for row in rows]
    tokens = [(*row.prompt_ids.tolist(), *row.ids.tolist()) for row in rows]
    prompts = sorted(
        (name, tuple(row.prompt_ids.tolist()), index)
        for index, (name, row) in enumerate(zip(names, rows, strict=True))
    )
    keys = [(name, prompt) for name, prompt, _ in prompts]
    hosts = list(range(len(rows)))
    for index in sorted(hosts, key=lambda i: -len(tokens[i])):  # hosts are longer: found before
        own = tokens[index]
        # Of all prompts that go on from some tokens, the first comes right after these.
        place = bisect_right(keys, (names[index], own))
        if place < len(keys):
            name, prompt = keys[place]
            if name == names[index] and prompt[: len(own)] == own:
                hosts[index] = hosts[prompts[place][2]]
    found: dict[int, list[int]] = defaultdict(list)
    for index, host in enumerate(hosts):
        found[host].append(index)
    return found


def cut(
    units: Sequence[int], computed: Callable[[Sequence[int]], int], budget: int
) -> list[list[int]]:
    """Cut a sequence into runs, each as long as what is computed for it stays within a budget.

    Args:
        units: Of which neighbours are alike.
        computed: Tokens for a run; grows with it.
        budget: Tokens. What alone exceeds it is a run of its own.
    """
    runs, left = [], list(units)
    while left:
        low, high = 1, 2
        while high <= len(left) and computed(left[:high]) <= budget:
            low, high = high, 2 * high
        high = min(high - 1, len(left))
        while low < high:
            middle = (low + high + 1) // 2
            fits = computed(left[:middle]) <= budget
            low, high = (middle, high) if fits else (low, middle - 1)
        runs.append(left[:low])
        left = left[low:]
    return runs
