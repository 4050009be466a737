"""Tree of Thoughts: what is proposed, rated, kept and masked, and the answer from the best."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Told, ask_one, by_label, text_of

from neuromas_env.baselines.prompts import list_items
from neuromas_env.baselines.tot import rating


class Thinker(Told):
    """Proposes the lines that it is given for a step, and rates by the words in a thought."""

    def __init__(self, lines):
        super().__init__(self._think)
        self.lines = lines

    def _think(self, request, number):
        system = request.turns[0][1]
        if "Propose" in system:
            path = request.turns[1][1].partition("Steps so far:\n")[2]
            return "\n".join(self.lines(path.splitlines()))
        if "sure, likely or impossible" in system:
            thought = request.turns[1][1].rpartition("Next step:\n")[2]
            return f"Hm.\n{thought.split()[-1]}"
        return "The answer is 1."


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ("", 1 + 16 + 2 * 5 * 16),
        ("steps=1,ratings=1", 1 + 6),
        ("beam=1,thoughts=2,ratings=2", 1 + 3 * 5),
        ("steps=2,thoughts=2,beam=5", 1 + 7 + 2 * 7),  # two thoughts fill no beam of five
    ],
)
def test_calls_are_the_closed_form(options, calls):
    engine = Thinker(lambda path: [f"{i}. step {i} likely" for i in range(1, 7)])
    method, trajectory, requests = ask_one(f"tot:{options}" if options else "tot", engine)
    assert method.calls == calls == len(requests) == engine.cost.total("eval").calls
    assert trajectory.answer == "The answer is 1."


def test_the_best_states_go_on_and_the_best_of_all_is_answered_from():
    words = {0: ["a impossible", "b likely", "c sure"], 1: ["d impossible", "e likely"]}
    engine = Thinker(lambda path: words[len(path)])
    method, _, requests = ask_one("tot:steps=2,beam=2,ratings=1", engine)
    asked = {label: text_of(r) for label, r in by_label(method, requests).items()}
    assert [label for label in asked if label.startswith("proposal")] == [
        "proposal 0.0", "proposal 1.0", "proposal 1.1",
    ]  # fmt: skip
    assert asked["proposal 1.0"].endswith("Steps so far:\n1. c sure")
    assert asked["proposal 1.1"].endswith("Steps so far:\n1. b likely")
    assert asked["rating 1.1.0.0"].endswith("1. b likely\n\nNext step:\nd impossible")
    assert "rating 1.0.2.0" not in asked and "a impossible" not in asked["answer"]
    assert asked["answer"].endswith("Steps so far:\n1. c sure\n2. e likely")
    assert len(asked) == 1 + 3 + 2 * (1 + 2) + 1


def test_without_proposals_it_answers_from_what_there_is():
    engine = Thinker(lambda path: [] if path else ["b likely"])
    method, trajectory, requests = ask_one("tot", engine)
    asked = by_label(method, requests)
    assert len(asked) == 1 + 3 + 1 + 1 and trajectory.answer == "The answer is 1."
    assert text_of(asked["answer"]).endswith("Steps so far:\n1. b likely")
    _, _, requests = ask_one("tot", Thinker(lambda path: []))
    assert len(requests) == 2 and "Steps so far" not in text_of(list(requests.values())[-1])


def test_ratings_are_the_authors_values():
    assert rating(["Sure.", "I am sure\nlikely", "x\nimpossible"]) == pytest.approx(21.001)
    assert rating(["", "maybe", "I measure the pressure", "unlikely"]) == 0


@given(st.text(alphabet="ab1.)- \n"), st.integers(1, 4))
def test_thoughts_are_different_lines(reply, most):
    found = list_items(reply, most)
    assert len(found) <= most and len(set(found)) == len(found)
    assert all(line and line in reply for line in found)
