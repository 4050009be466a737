"""What tasks cost: seconds to load each, to score all of MMLU, to make procedural questions.

Loading is making the task and asking for all its splits, rows in the file system's cache.
Scoring reads the right letter, and a sentence that states it, of every test row of MMLU.
Rows come from `--data`, NEUROMAS_DATA, or the cache once `neuromas data pull` has filled
it; benchmarks whose rows are at none of these are left out, and it is said which:

    python benchmarks/task_speed.py [--data DIR] [--quick]
"""

import argparse
import os
import platform
import time

from neuromas_env.tasks import SPLITS, list_tasks, make_task, task_tables
from neuromas_env.tasks.sources import cached, data_folder

LOAD, SCORE = 1.0, 1.0
QUESTIONS = 2000


def at_hand(name, data):
    """Whether the rows of a task can be had without fetching anything."""
    tables = task_tables(name)
    if folder := data_folder(data):
        return all(list(folder.glob(f"{table.path}.jsonl*")) for table in tables)
    return all(cached(table).is_dir() for table in tables)


def load_seconds(name, data):
    started = time.perf_counter()
    task = make_task(name, data=data)
    for split in SPLITS:
        len(task.examples(split))
    return time.perf_counter() - started


def score_seconds(task, reply):
    examples = task.examples("test")
    replies = [reply(example) for example in examples]
    started = time.perf_counter()
    scores = task.score_many(examples, replies)
    seconds = time.perf_counter() - started
    assert all(score.extracted == 1 for score in scores)
    return len(scores), seconds


def loading(data, quick):
    """Print the time of each family's slowest task; return that of all."""
    families = {}
    for name in list_tasks(data=data):
        families.setdefault(name.partition("/")[0], []).append(name)
    slowest = 0.0
    for family, names in families.items():
        if not all(at_hand(name, data) for name in names):
            print(f"load {family}: left out, not all its rows are at hand")
            continue
        load_seconds(names[0], data)  # imports, and the file system's cache
        seconds = {name: load_seconds(name, data) for name in names[: 4 if quick else None]}
        name = max(seconds, key=seconds.get)
        print(f"load {family}: at most {seconds[name]:.2f} s ({name}; {len(seconds)} tasks)")
        slowest = max(slowest, seconds[name])
    return slowest


def questions_per_second(name):
    examples = make_task(name).examples("train")
    started = time.perf_counter()
    made = [examples[i] for i in range(QUESTIONS)]
    return len(made) / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with benchmark rows")
    parser.add_argument("--quick", action="store_true", help="four tasks of each family")
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    met = True
    slowest = loading(given.data, given.quick)
    print(f"slowest load: {slowest:.2f} s (target: under {LOAD:g})")
    met &= slowest < LOAD
    if at_hand("mmlu", given.data):
        task = make_task("mmlu", data=given.data)
        n, seconds = score_seconds(task, task.gold)
        print(f"score mmlu: {seconds:.2f} s ({n} letters; target: under {SCORE:g})")
        met &= seconds < SCORE
        n, seconds = score_seconds(task, lambda e: f"I think the answer is ({e.target}).")
        print(f"score mmlu in sentences: {seconds:.2f} s ({n} replies)")
    for name in (name for name in list_tasks(needs_data=False) if name.startswith("hierarchy/")):
        print(f"make {name}: {questions_per_second(name):,.0f} questions/s")
    print(f"targets {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    raise SystemExit(not main())
