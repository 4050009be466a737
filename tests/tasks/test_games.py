"""Games: responses, plays that win, and the bounds without rounds or messages, counted again."""

from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.errors import InputError
from neuromas_env.tasks import Example, make_task
from neuromas_env.tasks.games import LEVELS
from neuromas_env.tasks.games.grid import MOVES, find, walk
from neuromas_env.tasks.games.mastermind import counts
from neuromas_env.tasks.interactive import Response

NAMES = [f"games/{name}:level={n}" for name, levels in LEVELS.items()
         for n in range(1, len(levels) + 1)]  # fmt: skip


def texts(task, example, *actions):
    return [task.reply(example, actions[:n]).text for n in range(1, len(actions) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_the_play_wins_in_time_at_every_level(name):
    task = make_task(name)
    examples = task.examples("test")[:32]
    plays = [task.play(example) for example in examples]
    assert max(map(len, plays)) <= task.rounds
    assert {score.strict for score in task.outcome_many(examples, plays)} == {1.0}
    assert all(task.reply_many(examples, plays)[n].done for n in range(len(examples)))


@pytest.mark.parametrize(
    ("name", "question", "target"),
    [
        ("games/guess", "Which number is it: 8, 9 or 10?", "8"),
        ("games/mastermind", "Its letters are of P, W, S, perhaps", "SP"),
        ("games/grid", "\nrow 1: . . .\nrow 2: # . G\nrow 3: . R .", "up right"),
    ],
)
def test_questions_stay_what_they_are(name, question, target):
    example = make_task(name).examples("test")[0]
    assert question in example.question and example.target == target


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("games/guess:level=9", "level must be an integer from 1 to 6, not 9"),
        ("games/grid:level=0", "level must be an integer from 1 to 5, not 0"),
        ("games/grid:seed=-1", "seed must be an integer from 0"),
        ("games/chess", "unknown task 'games/chess'"),
        ("games/grid:depth=2", "unknown parameter of task 'games': 'depth'"),
    ],
)
def test_levels_and_names_are_checked(name, said):
    with pytest.raises(InputError, match=said):
        make_task(name)


class TestGuess:
    task = make_task("games/guess:level=2")
    example = Example("x", "Which number is it?", "12", extra={"low": 10})

    def test_the_world_says_where_the_number_is(self):
        said = texts(self.task, self.example, "13", "I say 11.", "**12**")
        assert said == ["It is lower than 13.", "It is higher than 11.", "12 is right."]
        assert self.task.reply(self.example, ("13", "11")) == Response("It is higher than 11.")
        assert self.task.reply(self.example, ("12",)).done

    @pytest.mark.parametrize("action", ["", "higher", "12 or 13", "12.5", "9" * 40])
    def test_what_is_no_number_costs_a_round(self, action):
        assert texts(self.task, self.example, action) == ["That is no number."]
        assert self.task.reply(self.example, (action,) * 3).done

    def test_no_tree_of_guesses_finds_more(self):
        @cache
        def most(numbers, rounds):
            if not numbers or not rounds:
                return 0
            sides = ((k, numbers - 1 - k) for k in range(numbers))
            return max(1 + most(a, rounds - 1) + most(b, rounds - 1) for a, b in sides)

        for level in range(1, 7):
            task = make_task(f"games/guess:level={level}")
            assert most(task.count, task.rounds) == task.count > most(task.count, task.rounds - 1)
            assert task.one_round_accuracy("test") == most(task.count, 1) / task.count


class TestMastermind:
    example = Example("x", "Which code of 3 letters is it? Its letters are of T, S, R, K,", "TST")
    task = make_task("games/mastermind:level=3")

    def test_the_world_counts_letters(self):
        parts = ("SST: 2 in the right place", "SST: 0 elsewhere")
        assert self.task.reply(self.example, ("sst",)) == Response("\n".join(parts), parts)
        assert self.task.reply(self.example, ("The code is TST.",)).done
        none = Response("That is no code.", ("That is no code.",) * 2)
        for action in ("", "TS", "TSTR", "XYZ", "SST or TTT", "T S T"):
            assert self.task.reply(self.example, (action,)) == none

    @given(st.text("ABC", min_size=4, max_size=4), st.text("ABC", min_size=4, max_size=4))
    def test_counts_are_those_of_pairing_letters_off(self, guess, code):
        left = [letter for letter, other in zip(code, guess, strict=True) if letter != other]
        rest = [letter for letter, other in zip(guess, code, strict=True) if letter != other]
        paired = 0
        for letter in rest:
            if letter in left:
                left.remove(letter)
                paired += 1
        assert counts(guess, code) == (4 - len(rest), paired)

    @pytest.mark.parametrize("level", [1, 2, 3, 4, pytest.param(5, marks=pytest.mark.slow)])
    def test_rounds_are_what_the_worst_code_needs(self, level):
        task, letters = make_task(f"games/mastermind:level={level}"), "TSRKBC"
        letters = letters[: task.letters]
        asked = (
            f"Which code of {task.length} letters is it? Its letters are of {', '.join(letters)},"
        )
        codes = ("".join(code) for code in product(letters, repeat=task.length))
        needed = [len(task.play(Example("x", asked, code))) for code in codes]
        assert max(needed) == task.rounds and len(needed) == task.count


class TestGrid:
    rows = ("R#.", "..G", "#..")
    example = Example("x", "?", "?", extra={"map": rows})
    task = make_task("games/grid:level=2")

    def test_each_row_says_where_the_robot_is(self):
        reply = self.task.reply(self.example, ("right", "Down!"))
        assert reply.parts == ("row 1: no R", "row 2: R is in column 1", "row 3: no R")
        assert reply.text.split("\n") == list(reply.parts) and not reply.done

    @pytest.mark.parametrize("action", ["", "up", "left", "right", "north", "down or up"])
    def test_walls_edges_and_odd_actions_stop_it(self, action):
        assert walk(self.rows, [self.task.extract("?", action)]) == (0, 0)

    def test_only_a_shortest_path_wins(self):
        wins = [
            path
            for path in product(MOVES, repeat=3)
            if self.task.outcome(self.example, path).strict == 1
        ]
        assert wins == [("down", "right", "right")] == [self.task.play(self.example)]
        assert self.task.outcome(self.example, ("down.", "go right", "right")).strict == 0
        assert self.task.outcome(self.example, ("down.", "go right", "right")).extracted == 1
        assert self.task.outcome(self.example, ("down", "")).reason == "no_answer"

    @pytest.mark.parametrize("level", [1, 2])
    def test_bounds_are_those_of_trying_all_paths(self, level):
        task = make_task(f"games/grid:level={level}")
        maps = [example.extra["map"] for example in task.examples("validation")[:64]]
        task._known["validation"] = list(task.examples("validation")[:64])
        won = {path: sum(walk(rows, path) == find(rows, "G") for rows in maps)
               for path in product(MOVES, repeat=task.rounds)}  # fmt: skip
        assert task.blind_accuracy("validation") == max(won.values()) / 64
        constant = max(count for path, count in won.items() if len(set(path)) == 1)
        assert task.majority("validation") == constant / 64
        assert not any(walk(rows, [move]) == find(rows, "G") for rows in maps for move in MOVES)
