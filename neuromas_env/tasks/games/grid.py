"""A robot on a map with walls: each row of the map is a part, and each round is a step.

The goal is exactly `rounds` steps away, so that every step has to be one of a shortest path. The
rows say where the robot is after each step, each for itself. Only a node that hears of all
rows knows robot, goal and the walls between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from neuromas_env.tasks.base import Example, Reason, Score
from neuromas_env.tasks.games.base import Game
from neuromas_env.tasks.generated import belongs
from neuromas_env.tasks.interactive import Response
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.readers.grading import normalise

Cell = tuple[int, int]
Rows = tuple[str, ...]
"""A map: a text for each row, of `.`, `#` for a wall, `R` and `G`."""

MOVES: Mapping[str, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""What each move adds to row and column."""
_QUERY = "Move the robot R to the goal G. # is a wall. Which move is next: up, down, left or right?"


class Grid(Game):
    """Lead a robot to a goal."""

    variant = "grid"
    about = "lead a robot around walls; each input node sees some rows of the map"
    levels = (
        {"rows": 3, "columns": 3, "walls": 1, "rounds": 2},
        {"rows": 3, "columns": 3, "walls": 2, "rounds": 3},
        {"rows": 4, "columns": 4, "walls": 4, "rounds": 4},
        {"rows": 5, "columns": 5, "walls": 8, "rounds": 6},
        {"rows": 6, "columns": 6, "walls": 12, "rounds": 8},
    )
    answer_format = "Answer up, down, left or right only."
    answer_form = Form("word", tuple(MOVES))

    def __init__(self, level: int = 1, seed: int = 0) -> None:
        """Take a level and a seed.

        Raises:
            InputError: There is no such level.
        """
        super().__init__(level, seed)
        self.height, self.width, self.walls, self.rounds = self.levels[level - 1].values()

    def example(self, split: str, index: int) -> Example:
        """Make item `index` of a split; its `extra` holds the `map`."""
        rng = self.draws(split, index)
        while True:
            numbers = rng.permutation(self.height * self.width)
            start, *others = [divmod(int(number), self.width) for number in numbers]
            marks = dict.fromkeys(others[: self.walls], "#") | {start: "R"}
            far = distances(self._map(marks), start)
            goal = next((cell for cell in others if far.get(cell) == self.rounds), start)
            rows = self._map(marks | {goal: "G"})
            if goal != start and belongs(split, "\n".join(rows)):
                lines = tuple(f"row {y}: {' '.join(row)}" for y, row in enumerate(rows, 1))
                return Example(
                    f"{split}/{index}",
                    "\n".join([_QUERY, *lines]),
                    " ".join(paths(rows)[0]),
                    parts=lines,
                    query=_QUERY,
                    extra={"map": rows},
                )

    def _map(self, marks: Mapping[Cell, str]) -> Rows:
        cells = ([marks.get((y, x), ".") for x in range(self.width)] for y in range(self.height))
        return tuple("".join(row) for row in cells)

    def reply(self, example: Example, actions: tuple[str, ...]) -> Response:
        """Say of each row whether the robot is in it, and where."""
        rows = example.extra["map"]
        at = walk(rows, map(self._read, actions))
        parts = tuple(
            f"row {y + 1}: R is in column {at[1] + 1}" if y == at[0] else f"row {y + 1}: no R"
            for y in range(len(rows))
        )
        done = at == find(rows, "G") or len(actions) >= self.rounds
        return Response("\n".join(parts), parts, done=done)

    def _read(self, action: str) -> str | None:
        return self.reader.word(action, tuple(MOVES))

    def outcome(self, example: Example, actions: tuple[str, ...]) -> Score:
        """Score 1 if the robot has reached the goal; strict if each action is a move alone."""
        moves = [self._read(action) for action in actions]
        won = walk(example.extra["map"], moves) == find(example.extra["map"], "G")
        strict = won and all(normalise(action) in MOVES for action in actions)
        reason: Reason = "ok" if won else "wrong"
        if not won and moves[-1] is None:
            reason = "unparsable" if actions[-1].strip() else "no_answer"
        return Score(float(strict), float(won), reason, moves[-1])

    def score(self, example: Example, reply: str) -> Score:
        """Score an episode of one action."""
        return self.outcome(example, (reply,))

    def extract(self, question: str, reply: str) -> str | None:
        """Return the move in a reply."""
        return self._read(reply)

    def play(self, example: Example) -> tuple[str, ...]:
        """Return a shortest path."""
        return paths(example.extra["map"])[0]

    def chance(self) -> float:
        """Return the accuracy of random moves on the test split."""
        found = [len(paths(example.extra["map"])) for example in self.rows("test")]
        return sum(found) / len(found) / len(MOVES) ** self.rounds

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant move."""
        rows = self.rows(split)
        won = (sum((move,) * self.rounds in paths(e.extra["map"]) for e in rows) for move in MOVES)
        return max(won) / len(rows)

    def blind_accuracy(self, split: str) -> float:
        """Return the accuracy of the best path of a node that hears nothing of the map.

        A path wins where it is a shortest one, as none is longer than there are rounds. It is
        chosen with hindsight on the split itself.
        """
        rows = self.rows(split)
        won = Counter(path for example in rows for path in paths(example.extra["map"]))
        return max(won.values()) / len(rows)

    def one_round_accuracy(self, split: str) -> float:
        """Return 0: every goal is two steps away at least."""
        return 0.0


def find(rows: Rows, mark: str) -> Cell:
    """Return where a mark stands on a map."""
    return next((y, row.index(mark)) for y, row in enumerate(rows) if mark in row)


def step(rows: Rows, cell: Cell, move: str | None) -> Cell:
    """Return where a move leads: nowhere at a wall, at the edge, or if it is none."""
    down, right = MOVES.get(move or "", (0, 0))
    y, x = cell[0] + down, cell[1] + right
    inside = 0 <= y < len(rows) and 0 <= x < len(rows[0])
    return (y, x) if inside and rows[y][x] != "#" else cell


def walk(rows: Rows, moves: Iterable[str | None]) -> Cell:
    """Return where the robot is after some moves; it stays at the goal."""
    cell, goal = find(rows, "R"), find(rows, "G")
    for move in moves:
        cell = cell if cell == goal else step(rows, cell, move)
    return cell


def distances(rows: Rows, start: Cell) -> dict[Cell, int]:
    """Return the steps from a cell to each that can be reached."""
    found, border = {start: 0}, [start]
    for cell in border:
        for move in MOVES:
            if (other := step(rows, cell, move)) not in found:
                found[other] = found[cell] + 1
                border.append(other)
    return found


@lru_cache(maxsize=4096)
def paths(rows: Rows) -> tuple[tuple[str, ...], ...]:
    """Return all shortest paths of the robot to the goal."""
    left = distances(rows, find(rows, "G"))
    found: list[tuple[tuple[str, ...], Cell]] = [((), find(rows, "R"))]
    for steps in reversed(range(left[found[0][1]])):
        found = [
            ((*path, move), after)
            for path, cell in found
            for move in MOVES
            if left[after := step(rows, cell, move)] == steps
        ]
    return tuple(path for path, _ in found)
