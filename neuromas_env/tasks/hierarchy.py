"""Procedural trees of operations of a chosen depth and width.

A question is an exact tree: `depth` levels of operations, every operation above
the lowest level has `branching` arguments, and the lowest ones share `leaves` small
values among them. With `parts=k` the tree is cut at the level with k subtrees, each
input node sees one of them, and the answer is an operation on their values:
messages are necessary, and one short value from each node suffices. With
`parts=0` every node reads the whole question.

In `max`, `modsum`, `parity` and `nav` nesting only groups the values, and their order
does not matter either. The answers to the others depend on the tree.

No data is needed. Item i of a split follows from `SeedSequence([seed, split, i])`
alone. A hash of the tree says which split a question belongs to, and a draw that
belongs to another is drawn again: no question is in two splits, whatever the seed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import MISSING, InitVar, dataclass, fields
from itertools import islice

from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.answers import majority_share
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.generated import Generated, belongs
from neuromas_env.tasks.names import check_choice, check_int, full_name
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.trees import KINDS, Kind, Node

_FEWEST_QUESTIONS = 8 * 512
_BASELINE_ITEMS = 2048  # all of the train split would take a quarter of a minute
_BOUNDS = {
    "depth": (1, 6),
    "branching": (2, 8),
    "leaves": (2, 64),
    "parts": (0, 64),
    "modulus": (2, 100),
    "seed": (0, 2**63),
}

LEVELS: tuple[dict[str, int], ...] = (
    {"depth": 2, "branching": 2, "leaves": 6, "parts": 2},
    {"depth": 2, "branching": 2, "leaves": 8, "parts": 2},
    {"depth": 2, "branching": 3, "leaves": 12, "parts": 3},
    {"depth": 3, "branching": 2, "leaves": 16, "parts": 4},
    {"depth": 3, "branching": 3, "leaves": 27, "parts": 9},
    {"depth": 4, "branching": 2, "leaves": 32, "parts": 8},
    {"depth": 6, "branching": 2, "leaves": 64, "parts": 16},
)
"""What `level=1`, `level=2`, ... stand for, the easiest first: a curriculum."""


def variants(data: object = None) -> dict[str, str]:
    """Return every kind with a line about it."""
    return {kind: f"tree of operations: {facts.about}" for kind, facts in KINDS.items()}


@dataclass(eq=False)
class Hierarchy(Generated):
    """Questions of one kind, such as `max`.

    Attributes:
        variant: The kind of tree: see the table of kinds below.
        depth: Levels of operations, 1 to 6.
        branching: Arguments of every operation above the lowest level, 2 to 8.
        leaves: Values in the whole tree, up to 64: a multiple of
            `branching ** (depth - 1)`, at least twice that.
        parts: How many parts to deal: `branching`, `branching ** 2`, ... up to
            `branching ** (depth - 1)`, or 0 for none.
        modulus: Of `modsum` and `arith`, 2 to 100.
        seed: Another seed gives other questions.
        level: Instead of depth, branching, leaves and parts: 1 to 7, the harder the
            higher (see `LEVELS`); beside it only `parts=0` can be given.

    Raises:
        InputError: A parameter is out of its range, the parameters do not fit
            together, or they make too few different questions for three splits.
    """

    variant: str
    depth: int = 2
    branching: int = 2
    leaves: int = 8
    parts: int = 2
    modulus: int = 10
    seed: int = 0
    level: InitVar[int] = 0

    max_new_tokens = 10

    def __post_init__(self, level: int) -> None:
        """Check the parameters."""
        base = f"hierarchy/{self.variant}"
        if self.variant not in KINDS:
            raise unknown("task", base, (f"hierarchy/{kind}" for kind in KINDS))
        for key, (low, high) in _BOUNDS.items():
            check_int(base, key, getattr(self, key), low, high)
        check_int(base, "level", level, 0, len(LEVELS))
        if level:
            self._take(base, level)
        defaults = {f.name: f.default for f in fields(self) if f.default is not MISSING}
        self.name = full_name(base, {key: getattr(self, key) for key in defaults}, defaults)
        self._check_fit()
        self._known: dict[str, list[tuple[str, str]]] = {}
        self._level = [0, *(self.branching**n for n in range(1, self.depth))].index(self.parts)
        lowest = self.branching ** (self.depth - 1)
        self._fanouts = [self.branching] * (self.depth - 1) + [self.leaves // lowest]
        words = self._kind.words
        self.answer_form = Form("word", words) if words else Form("number")
        wanted = " or ".join(reversed(words)) or "with the number"
        self.answer_format = f"Answer {wanted} only."

    @property
    def _kind(self) -> Kind:
        return KINDS[self.variant]

    def _take(self, base: str, level: int) -> None:
        for key, value in LEVELS[level - 1].items():
            given = getattr(self, key)
            if key == "parts" and given == 0:
                continue
            if given not in (value, getattr(Hierarchy, key)):
                raise InputError(
                    f"task {base}: level={level} means {key}={value}, not {given}; give either a "
                    "level (and parts=0 if wanted) or the parameters one by one"
                )
            setattr(self, key, value)

    def _check_fit(self) -> None:
        lowest = self.branching ** (self.depth - 1)
        if 2 * lowest > _BOUNDS["leaves"][1]:
            raise InputError(
                f"task {self.name}: the tree has {lowest} lowest operations, but at most "
                f"{_BOUNDS['leaves'][1]} leaves; take a smaller depth or branching"
            )
        if self.leaves % lowest or self.leaves < 2 * lowest:
            raise InputError(
                f"task {self.name}: the {lowest} lowest operations cannot share {self.leaves} "
                f"leaves; take {2 * lowest}, {3 * lowest} or another multiple of {lowest}"
            )
        cuts = [0, *(self.branching**level for level in range(1, self.depth))]
        check_choice(self.name, "parts (with this depth and branching)", self.parts, cuts)
        if (self._kind.leaf_choices or self.modulus) ** self.leaves < _FEWEST_QUESTIONS:
            raise InputError(
                f"task {self.name}: {self.leaves} leaves make fewer than {_FEWEST_QUESTIONS} "
                "different questions; take more leaves"
            )
        if not self._kind.modulo and self.modulus != Hierarchy.modulus:
            raise InputError(f"task {self.name}: only hierarchy/modsum and arith have a modulus")

    def example(self, split: str, index: int) -> Example:
        """Make item `index` of a split; its `extra` holds `values`, the value of each part."""
        tree = self._tree(split, index)
        pieces = tree.cut(self._level)
        query = self._kind.query.format(modulus=self.modulus, asked=tree.asked)
        lines = [self._kind.label + piece.show() for piece in pieces]
        if self.parts and self._kind.named:
            names = [f"X{i}" for i in range(1, len(pieces) + 1)]
            query += f" {tree.above(self._level, iter(names)).show()}"
            lines = [f"{name} = {line}" for name, line in zip(names, lines, strict=True)]
        return Example(
            id=f"{split}/{index}",
            question="\n".join([query, *lines]),
            target=self._word(tree),
            parts=tuple(lines) if self.parts else (),
            query=query,
            extra={"values": tuple(map(self._word, pieces))},
        )

    def _tree(self, split: str, index: int) -> Node:
        rng = self.draws(split, index)
        while True:
            tree = self._kind.draw(rng, self._fanouts, self.modulus)
            if belongs(split, tree.show()):
                return tree

    def _word(self, node: Node) -> str:
        if isinstance(node.value, tuple):
            return " ".join(str(cup + 1) for cup in node.value)
        return self._kind.words[node.value] if self._kind.words else str(node.value)

    def chance(self) -> float:
        """Return the accuracy of a guess, each answer that the question allows as likely.

        These are the numbers in the question (`max`, `minimax`, `median`, `select`), the
        residues, the two words, the cups, or the places within reach (`nav`).
        """
        return 1 / self._kind.answers(self.leaves, self.modulus)

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant answer; of train, over its first 2,048."""
        return majority_share(target for _, target in self._answers(split))

    def blind_accuracy(self, split: str) -> float:
        """Return the best accuracy that an output node can reach without any message.

        It knows the query alone, so that is the best constant answer for each query, chosen
        with hindsight on the split itself (an upper bound where queries are many); of train,
        over its first 2,048. With `parts=0` it reads everything: 1.
        """
        if not self.parts:
            return 1.0
        targets: dict[str, list[str]] = defaultdict(list)
        for query, target in self._answers(split):
            targets[query].append(target)
        count = sum(map(len, targets.values()))
        return sum(majority_share(group) * len(group) for group in targets.values()) / count

    def _answers(self, split: str) -> list[tuple[str, str]]:
        if split not in self._known:
            items = islice(self.examples(split), _BASELINE_ITEMS)
            self._known[split] = [(example.query, example.target) for example in items]
        return self._known[split]
