"""Name the capital of a country: a task in a package of its own."""

from pathlib import Path

from neuromas_env import QuestionAnswer


def capitals() -> QuestionAnswer:
    """Name the capital of a country."""
    return QuestionAnswer(
        "capitals",
        Path(__file__).with_name("capitals.jsonl"),
        answer_format="Answer with the name of the city only.",
        max_new_tokens=12,
    )
