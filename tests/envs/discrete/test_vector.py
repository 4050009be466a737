"""The batch environment against the AEC environment, step for step."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from neuromas_env import Topology, discrete_v0
from neuromas_env.envs.discrete.layout import OBSERVATIONS, make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError

BATCH = 5


@st.composite
def networks(draw):
    """Any task on a layered, tree-shaped or arbitrary topology that fits it, in up to 3 rounds."""
    task, parts, answers = draw(
        st.one_of(
            st.integers(2, 5).map(lambda v: (f"relay:values={v}", 1, v)),
            st.integers(1, 4).map(lambda b: (f"parity:bits={b}", b, 2)),
            st.tuples(st.integers(1, 3), st.integers(2, 4)).map(
                lambda x: (f"modsum:parts={x[0]},modulus={x[1]}", x[0], x[1])
            ),
            st.tuples(st.integers(3, 6), st.integers(2, 3)).map(
                lambda x: (f"lewis:objects={x[0]},candidates={x[1]}", 1, x[1])
            ),
            st.tuples(st.integers(2, 3), st.integers(2, 4)).map(
                lambda x: (f"routing:leaves={x[0]},values={x[1]}", x[0], x[1])
            ),
        )
    )
    inputs = draw(st.integers(parts, parts + 2))
    hidden = draw(st.lists(st.integers(1, 3), max_size=2))
    widths = [inputs, *hidden, 1]
    topology = draw(
        st.sampled_from(
            [Topology.layered(widths), Topology.layered(widths, "skip"), Topology.parse("1"),
             _fan(inputs)]
        )
    )  # fmt: skip
    rounds = draw(st.integers(1, 3))
    if rounds > 1:
        node = st.integers(0, len(topology) - 1)
        feedback = draw(st.lists(st.tuples(node, node), max_size=3))
        topology = topology.recurrent(rounds, feedback, memory=False)
    bandwidth = draw(st.integers(1, 2))
    least = answers if bandwidth == 1 else int(np.ceil(np.sqrt(answers)))
    codebook = draw(st.integers(max(least, 2), 5))
    return {
        "task": task, "topology": topology, "codebook": codebook, "bandwidth": bandwidth,
        "clock": rounds > 1 and draw(st.booleans()),
    }  # fmt: skip


def _fan(inputs):
    """Inputs of which every second one passes through a node in between."""
    through = list(range(0, inputs, 2))
    hub, last = inputs, inputs + 1
    edges = [(i, hub) for i in through] + [(i, last) for i in range(inputs) if i not in through]
    return Topology.from_edges([*edges, (hub, last)])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from(OBSERVATIONS), st.integers(0, 2**32 - 1))
def test_every_episode_of_a_batch_is_that_of_the_aec_environment(arguments, observation, seed):
    try:
        vector = VectorNetwork(**arguments, observation=observation, batch=BATCH, seed=seed)
    except InputError as error:
        assert observation == "discrete" and "too many to number" in str(error)
        reject()
    singles = [discrete_v0.raw_env(**arguments, observation=observation) for _ in range(BATCH)]
    layout, rng = vector.layout, np.random.default_rng(seed)
    seen = vector.reset()
    for i, env in enumerate(singles):
        env.reset(options={"question": [*vector.parts[:, i], *vector.query[:, i]]})
    for layer in layout.layers * layout.topology.rounds:
        messages = rng.integers(layout.messages, size=(len(layer), BATCH))
        for row, node in enumerate(layer):
            for i, env in enumerate(singles):
                assert env.agent_selection == f"node_{node}"
                alone = env.observe(f"node_{node}")
                assert np.array_equal(seen[row, i], alone)
                assert vector.observation_space.contains(alone)
                symbols = layout.symbols(messages[row, i])
                env.step(symbols[0] if layout.bandwidth == 1 else symbols)
        seen, rewards = vector.step(messages)
        state = vector.state()
        assert all(np.array_equal(state[i], env.state()) for i, env in enumerate(singles))
        for node in range(len(layout.topology)):
            together = vector.observe(node)
            for i, env in enumerate(singles):
                assert np.array_equal(together[i], env.observe(f"node_{node}"))
    assert seen is None and rewards.tolist() == [env.rewards["node_0"] for env in singles]


@pytest.mark.parametrize("name", LEVELS)
def test_observation_numbers_stay_apart_between_nodes(name):
    env = VectorNetwork(**LEVELS[name], batch=500, seed=0)
    env.reset()
    for layer in env.layout.layers * env.layout.topology.rounds:
        for node, seen in zip(layer, env.observations(), strict=True):
            first = env.layout.offsets[node]
            assert first <= seen.min() and seen.max() < first + env.layout.sizes[node]
        env.step(np.random.default_rng(0).integers(env.layout.messages, size=(len(layer), 500)))
    assert env.observation_space.n == sum(env.layout.sizes)


def test_equal_seeds_draw_equal_questions():
    one, two = (VectorNetwork("routing:leaves=2", batch=50, seed=4) for _ in range(2))
    assert np.array_equal(one.reset(), two.reset())
    assert np.array_equal(one.reset(seed=1), two.reset(seed=1))
    assert not np.array_equal(one.reset(), two.reset(seed=1))
    questions = one.parts, one.query
    assert np.array_equal(one.observations(), two.reset(questions=questions))


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (np.zeros((2, 3), int), r"integers of shape \(2, 4\), not int64 of shape \(2, 3\)"),
        (np.zeros((2, 4)), r"not float64 of shape"),
        (np.zeros((2, 4), bool), r"not bool of shape"),
        (np.full((2, 4), 2), "out of the code book: they must be from 0 to 1, not 2 to 2"),
        (np.full((2, 4), -1), "not -1 to -1"),
    ],
)
def test_messages_that_are_none(messages, says):
    env = VectorNetwork(batch=4, seed=0)
    env.reset()
    with pytest.raises(InputError, match=says):
        env.step(messages)
    assert env.layer == 0 and (env.messages == -1).all()


def test_bad_batches_questions_and_steps_after_the_end():
    for batch in (0, -1, 2.0, None):
        with pytest.raises(InputError, match="batch must be (at least 1|a whole number)"):
            VectorNetwork(batch=batch)
    env = VectorNetwork(batch=2)
    for call in (env.observations, lambda: env.step(np.zeros((2, 2), int))):
        with pytest.raises(InputError, match=r"call reset\(\)"):
            call()
    for call in (env.state, lambda: env.observe(0)):
        with pytest.raises(InputError, match=r"no episodes have started: call reset\(\)"):
            call()
    none = np.zeros((0, 2), int)
    for parts in (
        np.full((2, 2), 2),
        np.zeros((2, 3), int),
        np.zeros((2, 2)),
        np.zeros((1, 2), int),
    ):
        with pytest.raises(InputError, match="parts of task xor must be integers of shape"):
            env.reset(questions=(parts, none))
    env.reset(questions=(np.array([[0, 1], [1, 1]]), none))
    env.step(env.parts)
    _, rewards = env.step(env.messages[:1] ^ env.messages[1:2])
    assert rewards.tolist() == [1.0, 1.0] and rewards.dtype == np.float32
    with pytest.raises(InputError, match="the episodes have ended"):
        env.step(np.zeros((1, 2), int))


def test_layouts_are_light_and_comparable():
    assert make_layout().messages == 2
    assert make_layout("lewis", "1-1", 2, 3).symbols(6) == (1, 1, 0)
