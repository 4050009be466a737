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
# Options that are near to one another, or are dates, amounts, or words of the readers' grammar.
NEAR = {
    "near": (("A", "red"), ("B", "dark red"), ("C", "red and blue"), ("D", "none of the above")),
    "dates": (
        ("A", "01/02/2003"),
        ("B", "02/01/2003"),
        ("C", "12/31/2002"),
        ("D", "03/01/2003"),
        ("E", "01/02/1903"),
    ),
    "amounts": (("A", "12"), ("B", "1,200"), ("C", "$120"), ("D", "0.12")),
    "both": (("A", "Only I"), ("B", "Only II"), ("C", "Both I and II"), ("D", "Neither I nor II")),
    "metal": (("A", "iron"), ("B", "copper"), ("C", "both A and B"), ("D", "none of the above")),
    "people": (("A", "Alice met Bob"), ("B", "Bob met Alice"), ("C", "Ambiguous")),
    "truthopt": (("A", "True"), ("B", "False"), ("C", "Not enough information")),
    "sent": (
        ("A", "The robin is the oldest"),
        ("B", "The crow is the oldest"),
        ("C", "The robin is the newest"),
    ),
    "logic": (("A", "It rains."), ("B", "It does not rain."), ("C", "It might rain.")),
}
CHOICES = {"planets": PLANETS, "colours": COLOURS, "facts": FACTS, **NEAR}
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
