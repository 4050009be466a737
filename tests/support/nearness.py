"""Which training rows are near to a reported one.

Two rows are near if of the word pairs that either has both have 60 % or more (Jaccard). Pairs
do not cross lines, labels of options do not count, nor do pairs that are common in the rows.

`python tests/nearness.py DATA` prints the lists of `neuromas_env/tasks/near_duplicates.py`.
"""

import re
import sys
import textwrap

import numpy as np

from neuromas_env.tasks import make_task
from neuromas_env.tasks.bbh import variants

NEAR = 0.6
RARE = 0.02
"""Pairs in more than this share of all rows do not count."""
RARE_IN_CODE = 0.1
"""The same for code, in which far fewer different pairs occur."""
NO_TEMPLATE = 0.5
"""The same for a table whose rows are made from one template."""

SMALL_VOCABULARY = {
    "boolean_expressions", "dyck_languages", "logical_deduction_five_objects",
    "logical_deduction_seven_objects", "logical_deduction_three_objects", "navigate",
    "object_counting", "reasoning_about_colored_objects",
    "tracking_shuffled_objects_five_objects", "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects", "web_of_lies",
}  # fmt: skip
"""BBH tables that a program made of a few words: there other rows with nearly the same words
are other questions, and only the same words in the same order make a duplicate."""


def lines(question):
    """Return the lines of a question in lower case, without labels of options."""
    return [re.sub(r"^\(?[A-Z0-9][.)] ", "", line).casefold() for line in question.split("\n")]


def word_pairs(question):
    pairs = set()
    for line in lines(question):
        words = ["^", *re.findall(r"\w+|[^\w\s]", line), "$"]
        pairs |= {f"{a} {b}" for a, b in zip(words, words[1:], strict=False)}
    return pairs


def same_words(question):
    """Return what two questions share if they differ in case, punctuation or order of lines."""
    return sorted(" ".join(re.findall(r"\w+|[^\w\s]", line)) for line in lines(question))


def near(pool, reported, common=RARE):
    """Return index in the pool, index in the reported and nearness of each near pair."""
    from sklearn.feature_extraction.text import CountVectorizer  # takes seconds to load

    vectorizer = CountVectorizer(analyzer=word_pairs, binary=True, dtype=np.float32, max_df=common)
    matrix = vectorizer.fit_transform([*pool, *reported])
    ours, theirs = matrix[: len(pool)], matrix[len(pool) :]
    shared = (ours @ theirs.T).tocoo()
    either = ours.sum(1).A1[shared.row] + theirs.sum(1).A1[shared.col] - shared.data
    nearness = shared.data / either
    hits = nearness >= NEAR
    return list(zip(shared.row[hits], shared.col[hits], nearness[hits], strict=True))


def pool_and_reported(*names, data):
    """Return the training and validation rows, and the test rows, of some tasks together."""
    tasks = [make_task(name, data=data) for name in names]
    pool = [e for task in tasks for split in ("train", "validation") for e in task.examples(split)]
    return pool, [e for task in tasks for e in task.examples("test")]


def found(*names, data, common=RARE, view=lambda example: example.question):
    """Return the ids of pool rows of which a view is near to that of a reported row."""
    pool, reported = pool_and_reported(*names, data=data)
    pairs = near([view(e) for e in pool], [view(e) for e in reported], common)
    return {pool[i].id for i, _, _ in pairs}


def found_in_code(*names, data):
    """The same for code: what is to be done is near, or the reference solution is."""
    described = found(
        *names, data=data, common=RARE_IN_CODE, view=lambda e: e.question.partition("\n")[0]
    )
    solved = found(*names, data=data, common=RARE_IN_CODE, view=lambda e: e.extra["solution"])
    return described | solved


def main(data):
    tables = [name for name in variants(data) if name not in SMALL_VOCABULARY]
    ids = {
        "mmlu": found("mmlu", data=data),
        "arc": found("arc/challenge", "arc/easy", data=data),
        "bbh": set().union(*(found(f"bbh/{t}", data=data, common=NO_TEMPLATE) for t in tables)),
        "mbpp": found_in_code("mbpp", "humaneval", data=data),
    }
    for benchmark, names in ids.items():
        print(f"{benchmark} ({len(names)}):")
        print(textwrap.fill(" ".join(sorted(name.rpartition("/")[2] for name in names)), 90))


if __name__ == "__main__":
    main(sys.argv[1])
