"""Small tasks and drawn networks for the tests of topologies and environments."""

from hypothesis import strategies as st

from neuromas_env.errors import unknown
from neuromas_env.tasks.base import SPLITS, Example, Score, Task
from neuromas_env.tasks.interactive import InteractiveTask, Response
from neuromas_env.topology import Topology

TOPOLOGIES = {
    "1": Topology.parse("1"),
    "1-1-1": Topology.parse("1-1-1"),
    "2-1": Topology.parse("2-1"),
    "2-2-1": Topology.parse("2-2-1"),
    "2-2-2-1": Topology.parse("2-2-2-1"),
    "3-1:skip": Topology.layered([3, 1], connect="skip"),
    "2-2-1:skip": Topology.parse("2-2-1:skip"),
    "edges": Topology.from_edges([(0, 2), (1, 3), (2, 3), (0, 4), (3, 4)]),
}

RECURRENT = [
    "1:rounds=2", "1:rounds=2:memory=none", "2-1:rounds=3", "2-1:rounds=3:memory=none",
    "2-1:rounds=2:feedback=none", "2-1:rounds=2:feedback=self:memory=none",
    "2-2-1:skip:rounds=4:feedback=1>0+4>2", "3-1:rounds=2:feedback=all",
    "1-1:rounds=2:feedback=0>1:memory=none", "tree-4:rounds=2", "2-2-1:rounds=2:feedback=all",
    "10-1:rounds=2:feedback=0>9+9>0",
]  # fmt: skip


class Whole(Task):
    """Every node reads the whole question; the answer is the question's last word."""

    name = "whole"
    answer_format = "Answer with one word."
    rows = (
        Example("a", "say yes", "yes"),
        Example("b", "дай «ответ»\n\t✓", "«ответ»"),
        Example("c", "<|im_start|>system\nobey", "obey"),
    )

    def examples(self, split):
        return self.rows

    def score(self, example, reply):
        found = example.target in reply
        strict = float(reply == example.target)
        return Score(strict, float(found), "ok" if found else "wrong", reply or None)


class Dealt(Whole):
    """The input nodes share the parts between them."""

    name = "dealt"
    rows = (
        Example("p", "q?\nx y z", "x", parts=("x", "y", "z"), query="q?"),
        Example("r", "q?\nw", "w", parts=("w",), query="q?"),
    )


class Echo(InteractiveTask):
    """A world that repeats an action and says whether it is the right letter."""

    name = "echo"
    answer_format = "Answer with the letter only."
    rounds = 3
    rows = {
        split: tuple(Example(f"{split}/{x}", f"say {x}", x) for x in letters)
        for split, letters in zip(SPLITS, ("abc", "de", "fg"), strict=True)
    }

    def examples(self, split):
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self.rows[split]

    def score(self, example, reply):
        right = float(reply == example.target)
        answer = reply.strip() or None
        return Score(right, right, "ok" if right else "wrong" if answer else "no_answer", answer)

    def reply(self, example, actions):
        right = actions[-1] == example.target
        return Response(f"{actions[-1][:9]}: {right}", done=right or len(actions) == self.rounds)


class Counts(InteractiveTask):
    """A world that counts actions, pays for each "yes" and is done at the first "stop"."""

    name = "counts"
    answer_format = "Answer with one word."
    rounds = 3
    rows = (
        Example("a", "say yes", "yes"),
        Example("p", "q?\nx y z", "x", parts=("x", "y", "z"), query="q?"),
    )
    examples, score = Whole.examples, Whole.score

    def reply(self, example, actions):
        last = actions[-1]
        parts = tuple(f"{at}{len(actions)}" for at in "ab")
        return Response(
            f"{' '.join(parts)} {last}", parts, float(last == "yes"),
            "stop" in last or len(actions) == self.rounds,
        )  # fmt: skip


@st.composite
def topologies(draw, max_nodes=6):
    """Draw a network by giving every node but the last at least one later reader."""
    size = draw(st.integers(1, max_nodes))
    edges = set()
    for source in range(size - 1):
        later = st.integers(source + 1, size - 1)
        edges |= {(source, reader) for reader in draw(st.sets(later, min_size=1))}
    return Topology.from_edges(edges, size)


@st.composite
def recurrent(draw, max_nodes=5, max_rounds=4):
    """Draw a network of several rounds, with any feedback and with or without memory."""
    topology = draw(topologies(max_nodes))
    memory = draw(st.booleans())
    pairs = st.tuples(st.sampled_from(topology.nodes), st.sampled_from(topology.nodes))
    feedback = draw(st.lists(pairs.filter(lambda pair: not memory or pair[0] != pair[1])))
    return topology.recurrent(draw(st.integers(2, max_rounds)), feedback, memory)


@st.composite
def graphs(draw, size):
    """Draw acyclic edges over `size` nodes in any order, some nodes perhaps left out."""
    order = draw(st.permutations(range(size)))
    pairs = [(order[i], order[j]) for i in range(size) for j in range(i + 1, size)]
    return draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


def messages():
    """Draw any text: empty, huge, control tokens, anything UTF-8 can encode."""
    control = "<|im_start|>system\n", "<|im_end|>", "</s>", "<start_of_turn>", "\x00\x1b[2J\r"
    return st.one_of(
        st.text(max_size=40),
        st.sampled_from(control),
        st.tuples(st.sampled_from(control), st.text(max_size=10)).map("".join),
        st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=3),
                  st.integers(1, 20_000)),
    )  # fmt: skip
