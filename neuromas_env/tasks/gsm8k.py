"""GSM8K: grade-school word problems whose answer is a number (Cobbe et al., 2021).

Reported are the test rows. The benchmark has no validation rows, so a sixth of its training
rows, by the hash of the question, is used as such. A training row whose question is
reported as well is in no split. The target is what follows `####` at the end of the worked
solution; the solution itself is not shown. Data: `openai/gsm8k`, licence MIT.
"""

from __future__ import annotations

from os import PathLike

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.tasks.qa import FORMATS, QuestionAnswer
from neuromas_env.tasks.ready import content
from neuromas_env.tasks.rows import Row
from neuromas_env.tasks.sources import Source


@arguments
class Gsm8k(QuestionAnswer):
    """GSM8K; the target is the number alone, without thousands commas."""

    name = "gsm8k"
    answer_format = FORMATS["number"]

    def __init__(
        self, data: str | PathLike[str] | None = None, skip_bad_rows: bool = False
    ) -> None:
        """Load the rows.

        Args:
            data: Folder with the rows.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: There is no data, or it is broken.
        """
        super().__init__(
            self.name,
            _source,
            "number",
            tables={"train": "train", "validation": "train", "test": "test"},
            read=_final,
            data=data,
            skip_bad_rows=skip_bad_rows,
        )
        reported = {content(example) for example in self._examples["test"]}
        for split in ("train", "validation"):
            self._examples[split] = [e for e in self._examples[split] if content(e) not in reported]


def tables(variant: str = "") -> list[Source]:
    """Return the two tables."""
    return [_source("train"), _source("test")]


def _source(table: str) -> Source:
    columns = {"question": str, "answer": str}
    return Source(f"gsm8k/{table}", ("openai/gsm8k", "main", table), columns)


def _final(row: Row) -> Row:
    """Return a row with the number alone as its answer."""
    solution = row.get("answer")
    if not isinstance(solution, str) or "####" not in solution:
        raise InputError(
            "column 'answer' must be a worked solution that ends in '#### ' and the number, "
            f"not {solution!r:.60}"
        )
    return {**row, "answer": solution.rpartition("####")[2].strip()}
