"""Games of several rounds, in which the world replies to each action.

After each round the world reads the output node's message, the action, and shows the input
nodes its effect. An episode scores 1 if the game is won within the task's rounds; there are no
rewards on the way. One action alone wins no more than the figures below say, so a network has to
act more than once (`2-1:rounds=3`). Its output node reads neither the world nor a dealt map, so it
depends on messages.

Every game has a scripted play that always wins within `rounds` actions (`task.play(example)`).
Two bounds say what is missed without rounds and without messages:

- *one round*: the most that any network wins with a single action. A number or a code is drawn
  uniformly and nothing is known of it before the first response: one in as many as there are.
  In `grid` no goal is nearer than two steps: 0.
- *blind*: the most that an output node wins that hears nothing. Of a number or code it can name
  a different one in each round: rounds / codes. In `grid` it walks one fixed path, and
  the best path is counted out on the split itself, with hindsight.

No data is needed. Item i of a split follows from `SeedSequence([seed, split, i])` alone; a hash
of what the question shows (the range, the letters, the map) says to which split it belongs.
"""

from __future__ import annotations

from neuromas_env.errors import unknown
from neuromas_env.tasks.games import grid, guess, mastermind
from neuromas_env.tasks.games.base import Game

GAMES: dict[str, type[Game]] = {
    "guess": guess.Guess,
    "mastermind": mastermind.Mastermind,
    "grid": grid.Grid,
}
LEVELS = {name: game.levels for name, game in GAMES.items()}
"""What `level=1`, `level=2`, ... of each game stand for, the easiest first."""


def variants(data: object = None) -> dict[str, str]:
    """Return every game with a line about it."""
    return {name: f"a game of several rounds: {game.about}" for name, game in GAMES.items()}


def make_game(variant: str, level: int = 1, seed: int = 0) -> Game:
    """Make a game.

    Args:
        variant: The game: `guess`, `mastermind` or `grid`.
        level: The harder the higher, from 1; see the tables below.
        seed: Another seed gives other questions.

    Raises:
        InputError: There is no such game or level.
    """
    if variant not in GAMES:
        raise unknown("task", f"games/{variant}", (f"games/{name}" for name in GAMES))
    return GAMES[variant](level, seed)
