"""One cell of a store and one answer in it."""

from neuromas_env.bench.store import Answer, Cell

CELL = Cell("direct", "t", "test", None, {"model": "m", "chunk": 64}, {"calls": 1}, 4)
ANSWER = Answer(0, "a", "x", 1.0, 1.0, "ok", None, None, 1, 0, 5, 2, 0.1, None, "[]")
