"""Multiple-choice questions: how options are listed, and how their labels are read."""

from __future__ import annotations

from collections.abc import Sequence

from neuromas_env.tasks.readers.choices import extract_choice

__all__ = ["extract_choice", "list_options"]


def list_options(question: str, options: Sequence[tuple[str, str]]) -> str:
    """Return a question with its options below it, one a line: `A. text`."""
    return "\n".join([question, *(f"{label}. {text}" for label, text in options)])
