"""The known returns of discrete tasks, against enumeration and simulation."""

import itertools

import numpy as np
import pytest

from neuromas_env import Topology
from neuromas_env.envs.discrete.families import disjoint_paths
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.discrete.tasks import (
    DiscreteTask,
    Returns,
    list_discrete_tasks,
    make_discrete_task,
)
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError

SMALL = [
    ("relay:values=2", "1-1-1", 2, 1),
    ("relay:values=2", "2-1", 3, 1),
    ("xor", "2-1", 2, 1),
    ("xor", "2-1-1", 2, 1),
    ("xor", "1", 2, 1),
    ("parity:bits=3", "3-1", 2, 1),
    ("modsum:parts=2,modulus=3", "2-1", 3, 1),
    ("routing:leaves=2,values=2", "2-1-1", 2, 1),
    ("routing:leaves=2,values=2", "2-1", 2, 1),
    ("knockout:leaves=2", "2-1", 3, 1),
    ("knockout:leaves=3", "1", 3, 1),
    ("lewis:objects=4,candidates=2", "1-1", 2, 1),
    ("lewis:objects=6,candidates=3", "1-1", 3, 1),
    ("lewis:objects=5,candidates=2", "1-1", 2, 2),
    ("lewis:objects=5,candidates=2", "2-1", 2, 1),
    ("lewis:objects=5,candidates=2", "1-1-1", 2, 1),
    ("lewis:objects=3,candidates=2", "2-1-1", 2, 1),
    ("lewis:objects=3,candidates=2", "1", 2, 1),
    ("index:bits=2", "1", 2, 1),
    ("index:bits=2", "2-1", 3, 1),
    ("index:bits=2", "2-1-1", 2, 1),
]
TWICE = "2-1:rounds=2:feedback=0>1:memory=none"


def every_question(layout):
    parts, query = layout.task.every()
    return (parts, query), parts.shape[1]


def best_answers(layout, seen):
    """The reward of an output node that makes the best of what it sees, over all questions."""
    target = layout.task.rule(*layout.task.every())
    table = np.zeros((seen.max() + 1, layout.task.answers))
    np.add.at(table, (seen, target), 1)
    return table.max(1).sum() / len(target)


def best_by_enumeration(layout):
    """Try every deterministic policy of every node but the output, which answers best."""
    questions, count = every_question(layout)
    hidden = [node for layer in layout.layers[:-1] for node in layer]
    # Nothing is unsaid at a node's turn, so of its observations only these occur.
    env = VectorNetwork(
        layout.task, layout.topology, layout.codebook, layout.bandwidth, batch=count
    )
    sizes = [1 + int(np.prod(layout.radices[node])) for node in hidden]
    best = 0.0
    used = [sorted(_occurring(layout, node)) for node in hidden]
    choices = [itertools.product(range(layout.messages), repeat=len(u)) for u in used]
    for policies in itertools.product(*choices):
        tables = []
        for policy, observations, size in zip(policies, used, sizes, strict=True):
            table = np.zeros(size, int)
            table[observations] = policy
            tables.append(table)
        env.reset(questions=questions)
        for layer in layout.layers[:-1]:
            env.step(np.stack([_reply(env, node, tables[hidden.index(node)]) for node in layer]))
        best = max(best, best_answers(layout, env.observe(layout.layers[-1][0])))
    return best


def _reply(env, node, table):
    return table[env.observe(node) - env.layout.offsets[node]]


def _occurring(layout, node):
    radices, first = layout.radices[node], len(layout.radices[node]) - len(layout.sources[node])
    spans = [range(1, r) if i >= first else range(r) for i, r in enumerate(radices)]
    return {int(np.ravel_multi_index(x, radices)) for x in itertools.product(*spans)}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "topology", "codebook", "bandwidth"), SMALL)
def test_the_optimal_return_is_that_of_the_best_of_all_policies(
    task, topology, codebook, bandwidth
):
    layout = make_layout(task, topology, codebook, bandwidth)
    assert np.isclose(best_by_enumeration(layout), layout.returns.optimal, atol=1e-12)


@pytest.mark.parametrize("case", [*SMALL, *(tuple(v.values()) for v in LEVELS.values())])
def test_the_silent_return_is_the_best_answer_to_the_query_alone(case):
    layout = make_layout(*case)
    parts, query = layout.task.every()
    own = [parts[part] for part in layout.parts[-1]] + list(query)
    seen = np.unique(np.stack([*own, 0 * parts[0]], 1), axis=0, return_inverse=True)[1].ravel()
    assert np.isclose(best_answers(layout, seen), layout.returns.silent, atol=1e-12)


@pytest.mark.parametrize(
    "arguments", [*LEVELS.values(), {"task": "knockout:leaves=4", "topology": "tree-4"}]
)
def test_random_messages_earn_the_random_return(arguments):
    env = VectorNetwork(**arguments, batch=40_000, seed=0)
    rng = np.random.default_rng(1)
    env.reset()
    for layer in env.layout.ticks:
        messages = rng.integers(env.layout.messages, size=(len(layer), env.batch))
        _, reward = env.step(messages)
    assert abs(reward.mean() - env.layout.returns.random) < 0.01


def sum_up(env):
    """Along a tree of paths every node sends the sum of what it sees."""
    layout, task = env.layout, env.layout.task
    readers = [layout.topology.readers(node)[:1] for node in layout.topology.nodes]
    sums = np.zeros_like(env.messages)
    for part in range(len(task.parts)):
        holder = next(node for node in layout.layers[0] if part in layout.parts[node])
        sums[holder] += env.parts[part]
    for layer in layout.layers:
        for node in layer:
            sums[node] %= task.answers
            for reader in readers[node]:
                sums[int(reader[5:])] += sums[node]
        _, reward = env.step(sums[list(layer)])
    return reward


@pytest.mark.parametrize(
    ("task", "topology"),
    [
        *((v["task"], v["topology"]) for k, v in LEVELS.items() if k[:3] in ("rel", "xor", "par")),
        ("modsum:parts=4,modulus=3", "tree-4"),
        ("modsum:parts=5,modulus=7", "6-3-2-1:skip"),
        ("parity:bits=3", Topology.from_edges([(0, 4), (1, 3), (2, 3), (3, 4), (0, 3)])),
    ],
)
def test_sums_reach_the_output_of_any_network(task, topology):
    env = VectorNetwork(task, topology, observation="box", batch=500, seed=0)
    env.reset()
    assert sum_up(env).min() == env.layout.returns.optimal == 1.0


@pytest.mark.parametrize("name", ["routing-easy-v0", "routing-hard-v0"])
def test_what_is_asked_for_reaches_the_output_of_a_tree(name):
    env = VectorNetwork(**LEVELS[name], batch=1000, seed=0)
    env.reset()
    below = {node: {i} for i, node in enumerate(env.layout.layers[0])}
    for layer in env.layout.layers:
        messages = []
        for node in layer:
            said = env.parts[min(below[node])] if node in below else 0
            for source in env.layout.sources[node]:
                below.setdefault(node, set()).update(below[source])
                said = np.where(
                    np.isin(env.query[0], list(below[source])), env.messages[source], said
                )
            messages.append(said)
        _, reward = env.step(np.stack(messages))
    assert reward.min() == env.layout.returns.optimal == 1.0


@pytest.mark.parametrize("name", ["lewis-easy-v0", "lewis-hard-v0"])
def test_classes_of_objects_earn_what_the_formula_says(name):
    layout = make_layout(**LEVELS[name])
    (parts, query), count = every_question(layout)
    env = VectorNetwork(**LEVELS[name], batch=count)
    env.reset(questions=(parts, query))
    classes = layout.messages ** len(layout.layers[0])
    shown = parts[0] % classes
    for layer in layout.layers[:-1]:
        env.step(
            np.stack([shown // layout.messages**i % layout.messages for i in range(len(layer))])
        )
    heard = best_answers(layout, env.observe(layout.layers[-1][0]) - layout.offsets[-1])
    assert np.isclose(heard, layout.returns.optimal)


@pytest.mark.parametrize(
    ("leaves", "topology"), [(2, "2-1"), (3, "tree-3"), (5, "tree-5"), (8, "tree-8")]
)
def test_a_knockout_is_played_along_a_tree(leaves, topology):
    """Each node sends the winner of what it hears, by a table written by hand."""
    layout = make_layout(f"knockout:leaves={leaves}", topology)
    parts, query = layout.task.every()
    answers = layout.task.rule(parts, query)
    assert np.bincount(answers).tolist() == [3 ** (leaves - 1)] * 3  # all three win as often
    assert layout.returns.optimal == 1.0
    beats = np.array([[0, 1, 0], [1, 1, 2], [0, 2, 2]])  # rock, paper, scissors
    env = VectorNetwork(layout.task, layout.topology, batch=len(answers))
    env.reset(questions=(parts, query))
    _, reward = env.step(parts)
    for layer in layout.layers[1:]:
        pairs = [env.messages[list(layout.sources[node])] for node in layer]
        _, reward = env.step(np.stack([beats[one, other] for one, other in pairs]))
    assert reward.min() == 1.0


def test_the_optimum_of_a_knockout_of_other_pairs_is_not_made_up():
    cut = Topology.from_edges([(0, 4), (2, 4), (1, 5), (3, 5), (4, 6), (5, 6)])
    known = make_layout("knockout:leaves=4", cut).returns
    assert known.optimal is None and known.silent == known.random == 1 / 3
    with pytest.raises(InputError, match="the optimum, which is not known"):
        known.normalise(0.5)
    for topology in ("4-1", "4-2-1", "tree-8"):
        assert make_layout("knockout:leaves=4", topology).returns.optimal == 1.0


@pytest.mark.parametrize("reads", [False, True])
def test_of_a_rule_of_ones_own_nothing_is_claimed_that_was_not_computed(reads):
    """Its answers are not equally frequent, and a bit from each node is not enough for it."""
    size = (2,) if reads else ()
    task = DiscreteTask(
        "all", (3, 3), size, "later", 2, lambda parts, query: parts.sum(0) < 1 + sum(query)
    )
    layout = make_layout(task, "2-1")
    parts, query = task.every()
    answers = task.rule(parts, query)
    asked = query[0] if reads else np.zeros(len(answers), int)
    best = [np.bincount(answers[asked == one]).max() for one in np.unique(asked)]
    assert layout.returns.optimal is None
    assert layout.returns.silent == pytest.approx(sum(best) / len(answers))
    assert make_layout(task, "1").returns.optimal == 1.0
    many = DiscreteTask("many", (64,) * 4, (), "later", 2, lambda parts, query: parts[0] % 2)
    assert make_layout(many, "4-1").returns == Returns(None, 0.5, None)


def test_disjoint_paths():
    cases = {"1-1": 1, "3-1": 3, "3-2-1": 2, "3-1-3-1": 1, "2-1-1:skip": 3, "tree-8": 2}
    for text, paths in cases.items():
        assert disjoint_paths(make_layout("relay", text).topology) == (
            paths if text != "2-1-1:skip" else 2
        )


@pytest.mark.parametrize("task", [v["task"] for v in LEVELS.values()])
def test_all_questions_are_drawn_equally_often(task):
    task = make_discrete_task(task)
    parts, query = task.draw(np.random.default_rng(0), 60_000)
    drawn = np.concatenate([parts, query])
    every = np.concatenate(task.every())
    assert every.shape[1] == task.questions() == len(np.unique(every, axis=1).T)
    sizes = np.array(task.parts + task.query)
    places = [np.ravel_multi_index(list(rows), sizes) for rows in (every, drawn)]
    counts = np.array([(places[1] == place).sum() for place in places[0]])
    assert counts.sum() == 60_000
    expected = 60_000 / len(counts)
    # Chi-square over its degrees of freedom is 1 on average, 1.5 practically never.
    assert ((counts - expected) ** 2).sum() / expected / (len(counts) - 1) < 2.5
    assert set(np.unique(task.rule(parts, query))) == set(range(task.answers))


def test_rules():
    cases = {
        "relay:values=5": ([3], [], 3),
        "xor": ([1, 0], [], 1),
        "parity:bits=3": ([1, 1, 1], [], 1),
        "modsum:parts=3,modulus=5": ([4, 4, 3], [], 1),
        "lewis:objects=9,candidates=3": ([7], [1, 7, 0], 1),
        "routing:leaves=3": ([3, 1, 2], [2], 2),
        "knockout:leaves=3": ([0, 2, 1], [], 1),
        "knockout:leaves=5": ([1, 1, 0, 2, 2], [], 2),
        "index:bits=4": ([2, 0b0100], [], 1),
    }
    for name, (parts, query, answer) in cases.items():
        task = make_discrete_task(name)
        column = np.array(parts, np.int16)[:, None], np.array(query, np.int16)[:, None]
        assert task.rule(*column).tolist() == [answer] and task.name == name


def test_families_are_listed_with_their_parameters():
    names = list_discrete_tasks()
    assert "lewis:objects=8,candidates=2" in names and "xor" in names
    for name in names:
        assert make_discrete_task(name).answers >= 2


@pytest.mark.parametrize("name", ["parity:bits=64", "lewis:objects=64,candidates=8"])
def test_too_many_questions_are_not_listed(name):
    task = make_discrete_task(name)
    with pytest.raises(InputError, match="too many to list: at most 1,000,000 can be"):
        task.every()
    assert task.draw(np.random.default_rng(0), 3)[0].shape[1] == 3


def test_levels_are_fixed():
    """A level never changes under its name: a change makes a new version beside it."""
    frozen = {
        "relay-easy-v0": ("1-1-1", 4, 1, 1.0, 1 / 4, 1 / 4),
        "relay-hard-v0": ("1-1-1-1-1", 8, 1, 1.0, 1 / 8, 1 / 8),
        "xor-easy-v0": ("2-1", 2, 1, 1.0, 1 / 2, 1 / 2),
        "xor-hard-v0": ("2-2-1", 2, 1, 1.0, 1 / 2, 1 / 2),
        "parity-easy-v0": ("custom-7", 2, 1, 1.0, 1 / 2, 1 / 2),
        "parity-hard-v0": ("custom-15", 2, 1, 1.0, 1 / 2, 1 / 2),
        "modsum-easy-v0": ("2-1", 3, 1, 1.0, 1 / 3, 1 / 3),
        "modsum-hard-v0": ("custom-7", 3, 1, 1.0, 1 / 3, 1 / 3),
        "lewis-easy-v0": ("1-1", 2, 2, 13 / 14, 1 / 4, 1 / 2),
        "lewis-hard-v0": ("2-2-1", 4, 1, 1.0, 1 / 4, 1 / 2),
        "routing-easy-v0": ("2-1", 4, 1, 1.0, 1 / 4, 1 / 4),
        "routing-hard-v0": ("custom-7", 4, 1, 1.0, 1 / 4, 1 / 4),
        "index-easy-v0": (TWICE, 2, 1, 1.0, 1 / 2, 1 / 2),
        "index-hard-v0": (TWICE, 4, 1, 1.0, 1 / 4, 1 / 2),
    }
    assert frozen.keys() <= LEVELS.keys()
    for name, (topology, codebook, bandwidth, *returns) in frozen.items():
        layout = make_layout(**LEVELS[name])
        found = layout.topology.name, layout.codebook, layout.bandwidth
        assert found == (topology, codebook, bandwidth)
        known = layout.returns
        assert np.allclose([known.optimal, known.random, known.silent], returns)
        assert known.normalise(known.optimal) == 1 and known.normalise(known.random) == 0
