"""Replies in which what is asserted decides: what is asked, the reply and its right reading.

What is asked is one of `CHOICES` or `WORDS`, `number`, or `text:GOLD`, for which the right
reading is the extracted score. The readings are what a careful person takes the reply to say.
"""

import json

from support.paths import FIXTURES

PLANETS = (("A", "Mars"), ("B", "Venus"), ("C", "Jupiter"), ("D", "Saturn"))
COLOURS = (("A", "red"), ("B", "green"), ("C", "blue"), ("D", "yellow"))
FACTS = (
    ("A", "It does not change"),
    ("B", "It doubles"),
    ("C", "18 meters"),
    ("D", "Not enough information is given"),
)
CHOICES = {"planets": PLANETS, "colours": COLOURS, "facts": FACTS}
WORDS = {
    "yes": ("Yes", "No"),
    "valid": ("valid", "invalid"),
    "true": ("True", "False"),
    "language": ("C", "C++", "C#"),
    "side": ("left", "right"),
}

ASSERTED = [
    (row["asked"], row["reply"], row["right"])
    for row in map(json.loads, (FIXTURES / "asserted.jsonl").read_text("utf-8").splitlines())
]
