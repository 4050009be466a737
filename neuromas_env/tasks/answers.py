"""The public names of reading and grading; `readers` holds how it is done."""

from neuromas_env.tasks.readers.grading import grade, list_form, majority_share, normalise
from neuromas_env.tasks.readers.numbers import extract_number
from neuromas_env.tasks.readers.texts import extract_text
from neuromas_env.tasks.readers.words import extract_word

__all__ = [
    "extract_number",
    "extract_text",
    "extract_word",
    "grade",
    "list_form",
    "majority_share",
    "normalise",
]
