"""Role cards: who a node is told to be, where a method tells it."""

from __future__ import annotations

CARDS = (
    ("generalist", "You are a careful generalist with broad knowledge and common sense."),
    ("mathematician", "You are a mathematician: you set up, compute and check exactly."),
    ("programmer", "You are a programmer: you trace procedures and data step by step."),
    ("scientist", "You are a natural scientist: you argue from laws, mechanisms and evidence."),
    ("physician", "You are a physician: you know biology and medicine and weigh likelihoods."),
    ("lawyer", "You are a lawyer: you read every word of a question and its conditions."),
)
"""Name and description; the first one is the generalist."""


def card(number: int) -> str:
    """Return the description of a card, over and over."""
    return CARDS[number % len(CARDS)][1]
