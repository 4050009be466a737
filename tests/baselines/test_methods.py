"""Every baseline with the mock engine: who reads what, how many calls, what comes out."""

import math

import pytest
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.baselines.macnet import SHAPES, shape_edges
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.topology import Topology

CALLS = {
    "direct": 1,
    "cot": 1,
    "sc:k=7": 7,
    "more_agents:n=3": 3,
    "p_true": 10,
    "p_true:k=2,scores=2,show=false": 6,
    "debate": 6,
    "debate:agents=2,rounds=3": 6,
    "debate:agents=4,rounds=3,history=false": 12,
    "debate:agents=1,rounds=4": 4,
    "debate:prompts=role_free": 6,
    "debate_llm_agg": 7,
    "moa": 13,
    "moa:layers=2": 7,
    "moa:aggregator=vote": 12,
    "self_refine": 9,
    "self_refine:iterations=1,merged=true": 2,
    "self_refine:merged=true": 5,
    "self_refine:history=false": 9,
    "macnet": 9,
    "macnet:shape=net,nodes=4,reverse=true": 15,
    "macnet:shape=star,profiles=false": 10,
    "metagpt": 8,
    "metagpt:reviews=0": 4,
    "chatdev:turns=2,cycles=1": 19,
    "chatdev:talk=1,turns=1,cycles=2": 9,
    "network": 5,
    "network:topology=2-2-2-1:skip,prompts=role_free": 7,
}
NAMES = [
    *CALLS, "goa", "goa:pool=max,rounds=2", "tot:steps=2,beam=2,ratings=1", "least_to_most",
    "dylan",
]  # fmt: skip
# These show parts of a solution, and so not the whole question, to some of their nodes.
ALL = [
    *NAMES, "self_check:n=2,max_steps=2", "self_check_two_stage:n=2",
    "self_verification:k=2,derivations=2",
]  # fmt: skip
GREEDY = ("direct", "cot", "network", "least_to_most", "metagpt")
VOTING = [
    "sc:k=3",
    "more_agents:n=3",
    "p_true",
    "self_verification",
    "debate",
    "moa:aggregator=vote",
]


def tagged(request, number):
    return f"tag{number}x The answer is {number}."


def read_by(method, requests):
    """Return for every node, by label, the labels of the nodes whose text it was shown."""
    order = {f"tag{number}x": node for number, node in enumerate(requests)}
    shown = {
        node: {method.labels[order[tag]] for tag in order if tag in text_of(request)}
        for node, request in requests.items()
    }
    return by_label(method, shown)


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_the_closed_form(name):
    engine = Told()
    method, trajectory, requests = ask_one(name, engine)
    assert method.calls == CALLS[name] == engine.cost.total("eval").calls == len(requests)
    assert trajectory.error is None and trajectory.answer == "The answer is 1."


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_transcript_follows_from_the_seed(name):
    task = Sums()
    rows = task.examples("test")[:3]

    def transcript(seed, **options):
        method = make_baseline(name, task, MockEngine())
        done = run_episodes(method, task, rows, seed=seed, **options)
        return [[(s.node, s.text) for s in t.turns] for t in done]

    first = transcript(5)
    assert first == transcript(5)
    sampled = make_baseline(name, task, None).sampled
    assert sampled == (name.split(":")[0] not in GREEDY)
    assert first != transcript(6)  # the mock engine uses the seed even where a model would not
    alone = run_episodes(
        make_baseline(name, task, MockEngine()), task, rows[2:], seed=5, numbers=[2]
    )
    assert [(s.node, s.text) for s in alone[0].turns] == first[2]


@pytest.mark.parametrize("name", NAMES)
def test_prompts_hold_the_whole_question_and_no_gold(name):
    task, engine = Sums(), Told("no idea")
    ask_one(name, engine, task)
    example = task.examples("test")[0]
    for request in engine.requests:
        text = text_of(request)
        assert example.question in text
        assert example.target not in text and "SECRET" not in text
        assert request.turns[0][0] == "system" and request.turns[-1][0] == "user"


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_any_failing_call_is_an_error_of_the_episode(name):
    whole = Told()
    _, _, requests = ask_one(name, whole)
    for number, node in enumerate(requests):
        method, failed, _ = ask_one(name, Told(fail={number}))
        assert failed.error.startswith(f"{node}:") and failed.score is None
        assert failed.reward == 0 and not failed.by_node(node)


@pytest.mark.parametrize("name", VOTING)
def test_if_all_abstain_the_answer_is_empty_and_earns_nothing(name):
    method, trajectory, _ = ask_one(name, Told("no idea"))
    assert trajectory.answer == "" and trajectory.reward == 0
    assert trajectory.score.reason == "no_answer" and method.tied(trajectory) is False


def test_vote_keeps_the_winners_own_words_and_tells_ties():
    said = ["5", "The answer is 1,008,000.", "I say 1008000", "none"]
    method, trajectory, _ = ask_one("sc:k=4", Told(lambda _, n: said[n]))
    assert trajectory.answer == said[1] and method.tied(trajectory) is False
    method, trajectory, _ = ask_one("sc:k=4", Told(lambda _, n: ["5", "6", "6", "5"][n]))
    assert trajectory.answer == "5" and method.tied(trajectory) is True


def transcripts(name, seed=3):
    engine = MockEngine()
    _, trajectory, _ = ask_one(name, engine, seed=seed)
    calls = [s.completion for s in trajectory.turns if s.completion]
    return [(bytes(c.prompt_ids.astype("uint8")), c.text) for c in calls], trajectory.answer


def test_self_consistency_of_one_is_direct_prompting():
    (calls, answer), (alone, said) = transcripts("sc:k=1,prompt=direct"), transcripts("direct")
    assert calls == alone and said.startswith(answer)
    assert transcripts("sc:k=1,temperature=0")[0] == transcripts("cot")[0]


@pytest.mark.parametrize(
    "name", ["moa:layers=2,proposers=5,aggregator=vote", "debate:agents=5,rounds=1,temperature=0.7"]
)
def test_without_exchange_all_votes_are_self_consistency(name):
    assert transcripts(name) == transcripts("sc:k=5")
    first, *_ = ask_one(name, MockEngine())[0].team.values()
    assert first.sampling == next(iter(ask_one("sc:k=5", MockEngine())[0].team.values())).sampling


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_the_transcript(name):
    engine = MockEngine()
    _, trajectory, _ = ask_one(name, engine)
    calls = [s.completion for s in trajectory.turns if s.completion]
    cost = engine.cost.total("eval")
    assert cost.completion_tokens == sum(len(c.ids) for c in calls)
    assert cost.prompt_tokens == sum(len(c.prompt_ids) for c in calls)


def test_debaters_keep_their_conversation():
    engine = Told(tagged)
    method, _, requests = ask_one("debate:agents=3,rounds=3", engine)
    asked = by_label(method, requests)
    turns = asked["agent 1 round 2"].turns
    assert [role for role, _ in turns] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert "tag1x" in turns[2][1] and "tag4x" in turns[4][1]
    assert all(tag in turns[3][1] for tag in ("tag0x", "tag2x")) and "tag1x" not in turns[3][1]
    assert all(tag in turns[5][1] for tag in ("tag3x", "tag5x")) and "tag4x" not in turns[5][1]
    assert all(asked[f"agent {i} round 0"].turns == turns[:2] for i in range(3))


def test_debaters_without_history_read_the_round_before():
    method, _, requests = ask_one("debate:rounds=3,history=false", Told(tagged))
    read = read_by(method, requests)
    assert read["agent 0 round 2"] == {"agent 1 round 1", "agent 2 round 1"}
    name = "debate:agents=6,history=false,include_self=true,order=shuffled,max_inbox=2"
    method, _, requests = ask_one(name, Told(tagged))
    inboxes = [requests[node].turns[-1][1] for node in list(requests)[6:]]
    places = [[inbox.find(f"tag{i}x") for i in range(6)] for inbox in inboxes]
    assert all(sum(place >= 0 for place in row) == 2 for row in places)
    orders = {tuple(sorted((p, i) for i, p in enumerate(r) if p >= 0)) for r in places}
    assert len({tuple(i for _, i in order) for order in orders}) > 1


def test_lone_debater_is_asked_to_check_itself():
    _, _, requests = ask_one("debate:agents=1", Told(tagged))
    last = list(requests.values())[-1].turns
    assert "tag0x" in last[2][1] and last[3][1].startswith("Check your answer")


def test_aggregator_of_a_debate_reads_the_last_round():
    method, trajectory, requests = ask_one("debate_llm_agg", Told(tagged))
    assert read_by(method, requests)["llm"] == {f"agent {i} round 1" for i in range(3)}
    assert trajectory.answer.startswith("tag6x")


def test_proposers_read_the_layer_before_as_an_unlabelled_list():
    method, trajectory, requests = ask_one("moa:proposers=3", Told(tagged))
    read = read_by(method, requests)
    assert read["proposer 2 layer 0"] == set()
    assert read["proposer 2 layer 1"] == {f"proposer {i} layer 0" for i in range(3)}
    assert read["aggregator"] == {f"proposer {i} layer 1" for i in range(3)}
    system, user = by_label(method, requests)["aggregator"].turns
    assert "1. tag3x" in system[1] and "3. tag5x" in system[1] and "node" not in system[1]
    assert user == ("user", Sums().examples("test")[0].question)
    assert trajectory.answer.startswith("tag6x")


def test_refining_reads_the_history_or_what_it_needs():
    method, _, requests = ask_one("self_refine:iterations=2", Told(tagged))
    read = read_by(method, requests)
    assert read["feedback 1"] == {"solution 0"}
    assert read["solution 2"] == {"solution 0", "feedback 1", "solution 1", "feedback 2"}
    method, _, requests = ask_one("self_refine:iterations=2,history=false", Told(tagged))
    read = read_by(method, requests)
    assert read["feedback 2"] == {"solution 1"}
    assert read["solution 2"] == {"solution 1", "feedback 2"}
    method, _, requests = ask_one("self_refine:merged=true,history=false", Told(tagged))
    assert read_by(method, requests)["solution 3"] == {"solution 2"}


@pytest.mark.parametrize(
    ("name", "says", "calls", "answer"),
    [
        ("self_refine", {3: "All well.\nNo errors.\n"}, 4, "tag2x"),
        ("self_refine", {1: "no errors"}, 2, "tag0x"),
        ("self_refine", {1: "There are No errors in line 1, but line 2"}, 9, "tag8x"),
        ("self_refine", {0: "No errors", 2: "No errors"}, 9, "tag8x"),
        ("self_refine:stop=false", {1: "No errors"}, 9, "tag8x"),
        ("self_refine:merged=true", {2: "No errors"}, 3, "tag1x"),
        ("self_refine:merged=true,stop=false", {2: "No errors", 4: "No errors"}, 5, "tag3x"),
    ],
)
def test_refining_ends_when_feedback_finds_nothing(name, says, calls, answer):
    engine = Told(lambda request, number: says.get(number) or tagged(request, number))
    _, trajectory, requests = ask_one(name, engine)
    assert len(requests) == calls
    assert trajectory.answer.startswith(answer)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("nodes", [2, 3, 5, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_macnet_has_a_call_per_source_two_per_edge_and_one_per_merge(shape, nodes, reverse):
    edges = shape_edges(shape, nodes, 0)
    assert all(0 <= a < b < nodes for a, b in edges) and len(set(edges)) == len(edges)
    edges = [(b, a) for a, b in edges] if reverse else edges
    fan_in = [sum(b == v for _, b in edges) for v in range(nodes)]
    leaves = sum(all(a != v for a, _ in edges) for v in range(nodes))
    expected = fan_in.count(0) + 2 * len(edges) + sum(n > 1 for n in fan_in) + (leaves > 1)
    engine = Told()
    method, _, _ = ask_one(
        f"macnet:shape={shape},nodes={nodes},reverse={str(reverse).lower()}", engine
    )
    assert method.calls == expected == len(engine.requests)
    counts = {"chain": nodes - 1, "star": nodes - 1, "tree": nodes - 1, "net": math.comb(nodes, 2)}
    assert len(edges) == counts.get(shape, len(edges))


def test_macnet_shapes():
    assert shape_edges("tree", 6) == [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)]
    assert set(shape_edges("mlp", 5)) == {(u, v) for u in (0, 1, 2) for v in (3, 4)}
    assert {len(shape_edges("random", 6, seed)) for seed in range(30)} <= set(range(5, 16))
    assert len({tuple(shape_edges("random", 6, seed)) for seed in range(9)}) > 1


def test_macnet_edges_carry_answers_and_cool_down():
    method, trajectory, requests = ask_one("macnet:shape=net,nodes=3", Told(tagged))
    read = read_by(method, requests)
    assert read["critic 0-1"] == {"node 0"} and read["actor 0-1"] == {"node 0", "critic 0-1"}
    assert read["critic 1-2"] == {"actor 0-1"}
    assert read["node 2"] == {"actor 0-2", "actor 1-2"}
    heat = {label: r.sampling.temperature for label, r in by_label(method, requests).items()}
    assert heat["node 0"] == pytest.approx(0.75) and heat["node 2"] == pytest.approx(0.25)
    assert heat["critic 0-1"] == heat["actor 0-1"] == pytest.approx(0.5)
    assert trajectory.answer.startswith(f"tag{len(requests) - 1}x")


def test_untrained_network_differs_from_training_start_in_its_roles_alone():
    task, topology = Sums(), Topology.parse("2-2-1")
    frozen, plain, told = Told(tagged), Told(tagged), Told(tagged)
    network = llm_network(
        topology, task, frozen, Sampling(0.0, task.max_new_tokens), adapter_of={}, deals_parts=False
    )
    ask_one("network:prompts=role_free", plain)
    ask_one("network", told)
    run_episodes(network, task, task.examples("test")[:1])
    asked = [(r.turns, r.sampling, r.adapter) for r in frozen.requests]
    assert asked == [(r.turns, r.sampling, r.adapter) for r in plain.requests]
    roles = set()
    for bare, cast in zip(plain.requests, told.requests, strict=True):
        assert cast.turns[1] == bare.turns[1]
        role, _, rest = cast.turns[0][1].partition("\n")
        assert rest == bare.turns[0][1]
        roles.add(role)
    assert len(roles) == 4  # two specialists, one kind of reviewer, the judge


def test_role_free_prompts_take_away_what_a_method_tells():
    method, _, requests = ask_one("debate:prompts=role_free", Told(tagged))
    turns = by_label(method, requests)["agent 1 round 1"].turns
    assert turns[0][1].startswith("[node_4 | layer 1 | index 1 | reads question, node_0, node_1")
    assert "node_2: tag2x" in turns[1][1] and "advice" not in text_of(requests["node_4"])


def test_every_baseline_is_listed_with_its_calls_and_was_tested():
    listed = list_baselines()
    assert {name.split(":")[0] for name in NAMES} <= listed.keys()
    assert "6 calls" in listed["debate"] and listed["direct"].endswith("1 call")
    assert "at most 9 calls" in listed["self_refine"]
