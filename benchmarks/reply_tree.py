"""What training along the whole tree of prompts and replies would save.

Today a micro-batch is three levels deep: what all rows of an adapter share, what clusters share,
the rest of each row. This prints the tokens of the full prefix tree of a step's rows, in which
every distinct prefix of an adapter counts once, and the tokens that are computed:

    python benchmarks/reply_tree.py comlrl [--steps 1]
    python benchmarks/reply_tree.py main [--steps 1 10 30] [OPTION ...]

`comlrl` is the workload of `workload.py`, `main` is `neuromas train` with its defaults, and further
options are that command's.

It also counts what drafts would save at most: the tokens of a step's replies that continue as the
nearest of the last replies to the same prompt in an earlier step does, and the decoding steps left
where the batch of a node waits for the reply that is longest without its draft.
"""

import argparse
import tempfile
from itertools import count
from pathlib import Path
from unittest.mock import patch

import torch
from workload import Ours

from neuromas_env.agents.engines.forward.prefix import common_prefix
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.learners.warm_up import WarmUp
from neuromas_env.cli.app import main as neuromas

WORTH = 0.15


def tree(rows):
    """Tokens of the full prefix tree of rows; the last token of each predicts nothing."""
    texts = {}
    for row in rows:
        ids = tuple([*row.prompt_ids.tolist(), *row.ids[:-1].tolist()])
        texts.setdefault(row.adapter or "", set()).add(ids)
    total = 0
    for own in texts.values():
        before = ()
        for ids in sorted(own):
            total += len(ids) - common_prefix(before, ids)
            before = ids
    return total


class Drafts:
    """Counts the tokens of a step's replies that drafts from earlier steps would have right."""

    def __init__(self):
        self.last = {}  # adapter and prompt: replies of the last step that asked

    def line(self, name, runs):
        """A line about a step's replies, which are the next step's drafts."""
        turns = [turn for run in runs for turn in run.turns if turn.completion is not None]
        seen = accepted = tokens = 0
        replies, longest, remaining = {}, {}, {}
        for turn in turns:
            key = (turn.adapter, turn.completion.prompt_ids.tobytes())
            ids = tuple(turn.completion.ids.tolist())
            same = max((common_prefix(ids, old) for old in self.last.get(key, ())), default=0)
            seen += key in self.last
            accepted += same
            tokens += len(ids)
            longest[turn.node] = max(longest.get(turn.node, 0), len(ids))
            # A pass that verifies a draft also yields the token after what it accepts.
            left = max(1, len(ids) - same)
            remaining[turn.node] = max(remaining.get(turn.node, 0), left)
            replies.setdefault(key, []).append(ids)
        self.last |= replies
        return (
            f"{name}: {seen / len(turns):.1%} of the prompts asked before, at most "
            f"{accepted / tokens:.1%} of the tokens accepted, decoding steps of all nodes "
            f"{sum(longest.values())}, with drafts {sum(remaining.values())}"
        )


def line(name, engine, rows):
    """A line that says what one step's rows have in common."""
    batches = [[rows[i] for i in batch] for batch in engine.micro_batches(rows)]
    plain = sum(len(row.prompt_ids) + len(row.ids) - 1 for row in rows)
    computed, full = sum(map(engine.computed, batches)), tree(rows)
    within = sum(map(tree, batches))  # without leaving the micro-batches that there are
    return (
        f"{name}: {plain} tokens in {len(rows)} rows, computed {computed}, within micro-batches "
        f"{within}, full tree {full}; saves {1 - full / computed:.1%} (worth it from {WORTH:.0%})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=["comlrl", "main"])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--threads", type=int, default=2)
    chosen, options = parser.parse_known_args()
    torch.set_num_threads(chosen.threads)
    cut, update, gather = TransformersEngine.micro_batches, Reinforce.update, WarmUp.gather
    steps, seen, sampled, drafts = count(1), [], [], Drafts()

    def watched_cut(engine, rows, budget=None):
        seen.append(list(rows))
        return cut(engine, rows, budget)

    def watched_gather(learner, *arguments):
        sampled[:] = gather(learner, *arguments)
        return list(sampled)

    def watched_update(learner, runs, *weights):
        seen.clear()
        metrics = update(learner, runs, *weights)
        step, rows = next(steps), max(seen, key=len, default=[])
        # A warm-up trains on replies that are cut to their answers; drafts follow what was sampled.
        print(drafts.line(f"step {step}", sampled or runs), flush=True)
        if rows and step in chosen.steps:
            print(line(f"step {step}", learner._engine, rows), flush=True)
        return metrics

    with (
        patch.object(TransformersEngine, "micro_batches", watched_cut),
        patch.object(Reinforce, "update", watched_update),
        patch.object(WarmUp, "gather", watched_gather),
    ):
        if chosen.job == "comlrl":
            ours = Ours(3)
            for _ in range(max(chosen.steps)):
                ours.step()
        else:
            with tempfile.TemporaryDirectory() as folder:
                out, most = str(Path(folder) / "run"), str(max(chosen.steps))
                neuromas(["train", "--steps", most, "--out", out, *options])


if __name__ == "__main__":
    main()
