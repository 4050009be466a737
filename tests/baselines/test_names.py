"""Baselines by name: options, refusals, budgets, plug-ins, and the vote that they share."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.asking import Sums, Told, ask_one
from support.paths import folders
from support.plugins import install
from support.tiny_models import make_tiny

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.baselines import (
    BASELINES,
    list_baselines,
    make_baseline,
    matched_self_consistency,
    register_baseline,
)
from neuromas_env.baselines.direct import direct
from neuromas_env.baselines.vote import Vote, vote
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import SPLITS, make_task
from neuromas_env.tasks.names import split_names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dirct", "unknown baseline 'dirct'. Did you mean 'direct'"),
        ("sc:kk=5", "unknown option of baseline 'sc': 'kk'. Did you mean 'k'?"),
        ("direct:k=5", "unknown option of baseline 'direct': 'k'"),
        (
            "sc:k",
            "options must be key=value, each key once, as in 'sc:k=5,temperature=0.7'",
        ),
        ("sc:k=5,k=6", "each key once, as in 'sc:k=5,temperature=0.7', got 'k=6'"),
        ("sc:k=five", "'sc:k=five': k must be a number, got 'five'"),
        ("sc:k=nan", "k must be finite, got nan"),
        ("sc:k=0.5", "k must be from 1 to 500, not 0.5"),
        ("debate:rounds=2.5", "rounds must be a whole number, got '2.5'"),
        ("debate:history=yes", "history must be true or false, got 'yes'"),
        ("debate:agents=0", "agents must be from 1 to 32, not 0"),
        ("debate:order=shufled", "Did you mean 'shuffled'?"),
        ("debate:agents=1,history=false", "one agent without history reads nothing"),
        ("sc:ties=sed", "unknown value of ties: 'sed'. Did you mean 'seed'?"),
        ("sc:prompt=direkt", "Did you mean 'direct'?"),
        ("moa:aggregator=llms", "Did you mean 'llm'?"),
        ("macnet:shape=tre", "Did you mean 'tree'"),
        ("network:topology=2-2", "did you mean '2-2-1'?"),
        ("debate:prompts=rolefree", "Did you mean 'role_free'"),
        ("sc:prompts=role_free", "has no roles: none of its models reads another"),
        ("goa:prompts=role_free", "has no role-free form"),
        ("sc:temperature=-1", "temperature must be at least 0 and at most 10, got -1"),
        ("sc:max_new_tokens=0", "max_new_tokens must be at least 1"),
    ],
)
def test_bad_names_say_what_would_be_right(name, says):
    with pytest.raises(InputError) as error:
        make_baseline(name, Sums(), None)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "sc:k=2",
        "debate",
        "debate_llm_agg",
        "moa",
        "macnet:shape=star,profiles=false",
        "gptswarm",
        "tot",
        "self_verification:k=1",
    ],  # fmt: skip
)
def test_methods_that_need_sampling_refuse_to_be_greedy(name):
    with pytest.raises(InputError, match="at temperature 0 they would all give the same reply"):
        make_baseline(name, Sums(), None, temperature=0.0)
    assert make_baseline(name, Sums(), None).sampled


@pytest.mark.parametrize(
    "name",
    [
        "sc:k=1",
        "debate:agents=1",
        "self_refine",
        "goa",
        "macnet",
        "gptswarm:agents=1",
        "p_true:k=1",
    ],
)
def test_methods_that_can_be_greedy_then_need_no_seeds(name):
    assert not make_baseline(name, Sums(), None, temperature=0.0).sampled
    assert make_baseline(name, Sums(), None).sampled


def test_decoding_is_canonical_unless_it_is_given():
    def sampling(name, **options):
        return make_baseline(name, Sums(), None, **options).team["node_0"].sampling

    def pair(*args, **options):
        found = sampling(*args, **options)
        return found.temperature, found.max_new_tokens

    assert pair("direct") == (0, 10) and pair("cot") == (0, 200)
    assert pair("sc") == (0.7, 200) and pair("debate") == (1, 200)
    assert pair("sc:prompt=direct") == (0.7, 10)
    assert pair("sc", temperature=0.3, max_new_tokens=64) == (0.3, 64)
    named = "sc:temperature=0.4,max_new_tokens=5"
    assert pair(named, temperature=0.3, max_new_tokens=64) == (0.4, 5)


def test_one_name_for_one_method():
    def name(text):
        return make_baseline(text, Sums(), None).name

    assert name("sc:k=40,ties=index") == "sc" == name("sc:k=40.0")
    assert name("sc:temperature=0.5, k=5.0") == "sc:k=5,temperature=0.5"
    assert name("debate:history=FALSE,rounds=3") == "debate:rounds=3,history=false"
    for listed in list_baselines():
        assert name(listed) == listed
    assert name(name("sc:k=2.4,ties=seed")) == "sc:k=2.4,ties=seed"


def test_names_in_a_row():
    text = "direct,sc:k=5,temperature=0.7, debate ,moa:layers=2,network:topology=2-1:skip"
    assert split_names(text) == [
        "direct", "sc:k=5,temperature=0.7", "debate", "moa:layers=2", "network:topology=2-1:skip",
    ]  # fmt: skip
    text = "direct,neuromas@runs/lr=0.1,gptswarm:state=runs/a@b,agents=2,malt@RUN"
    assert split_names(text) == [
        "direct", "neuromas@runs/lr=0.1", "gptswarm:state=runs/a@b,agents=2", "malt@RUN",
    ]  # fmt: skip
    assert split_names("") == []


def mine(setup, size: int = 3):
    return direct(setup)


def test_third_parties_add_baselines_by_entry_point(monkeypatch, tmp_path):
    offered = {"mine": f"{__name__}:mine", "broken": "no_such_module:x", "sc": "evil:sc"}
    install(monkeypatch, tmp_path, "more-baselines", {"neuromas_env.baselines": offered})
    assert list_baselines()["mine"] == f"the package more-baselines ({__name__}:mine)"
    assert list_baselines()["sc"].startswith("self-consistency")
    method = make_baseline("mine:size=4", Sums(), MockEngine())
    assert method.name == "mine:size=4" and method.calls == 1
    with pytest.raises(InputError, match="'sise'. Did you mean 'size'"):
        make_baseline("mine:sise=4", Sums(), None)
    with pytest.raises(InputError, match="'broken' of the package more-baselines .* No module"):
        make_baseline("broken", Sums(), None)


def test_registered_in_code(monkeypatch):
    monkeypatch.setattr(BASELINES, "registered", {})
    register_baseline("mine", mine, about="one call")
    assert list_baselines()["mine"] == "one call"
    assert make_baseline("mine:size=4", Sums(), MockEngine()).name == "mine:size=4"
    with pytest.raises(InputError, match="baseline 'sc' is built in"):
        register_baseline("sc", mine)


@pytest.mark.slow
def test_fraction_of_a_sample_goes_to_that_share_of_questions():
    task = make_task("hierarchy/max")
    rows = list(task.examples("test"))[:400]
    engine = Told()
    method = make_baseline("sc:k=2.4", task, engine)
    taken = [
        sum(s.completion is not None for s in t.turns) for t in run_episodes(method, task, rows)
    ]
    assert set(taken) == {2, 3} and method.calls == 3
    assert sum(taken) / len(rows) == pytest.approx(2.4, rel=0.05)
    again = [method.options(row.question) for row in rows]
    assert again == [method.options(row.question) for row in rows]


@given(st.floats(0.1, 1e5), st.floats(0.1, 1e4))
def test_matched_self_consistency_costs_the_same_within_five_percent(budget, sample):
    assume(budget / sample < 500)
    if sample > 1.05 * budget:
        with pytest.raises(InputError, match="do not pay for one sample"):
            matched_self_consistency(budget, sample)
        return
    k = matched_self_consistency(budget, sample)["k"]
    assert k >= 1 and abs(k * sample - budget) <= 0.05 * budget + 1e-9


def test_matched_row_can_be_made():
    options = matched_self_consistency(700, 100)
    assert options == {"k": 7}
    assert make_baseline(f"sc:k={options['k']}", Sums(), None).calls == 7
    with pytest.raises(InputError, match="do not pay for one sample"):
        matched_self_consistency(951, 1000)  # `sc` takes no 0.951 samples, and one is 5.2 % off
    with pytest.raises(InputError, match="tokens_per_question must be above 0"):
        matched_self_consistency(0, 100)


@pytest.mark.slow
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1), st.randoms())
def test_order_of_voters_matters_to_ties_alone(answers, random):
    tally = vote(answers)
    counts = {answer: answers.count(answer) for answer in set(answers) - {None}}
    assert tally.abstained == answers.count(None)
    if not counts:
        assert tally.winner is None and not tally.tie
        return
    best = [answer for answer in counts if counts[answer] == max(counts.values())]
    assert tally.tie == (len(best) > 1) and answers[tally.winner] in best
    assert tally.winner == min(answers.index(answer) for answer in best)
    other = random.sample(answers, len(answers))
    if not tally.tie:
        assert other[vote(other).winner] == answers[tally.winner]
    seeds = {answers[vote(answers, seed=seed).winner] for seed in range(64)}
    assert seeds == set(best)


def test_weights_break_ties_or_decide():
    assert vote(["a", "b"], [0.1, 0.2]).winner == 1
    assert vote(["a", "b", "b"], [9, 1, 1]).winner == 1
    assert vote(["a", "b", "b"], [9, 1, 1], by_weight=True).winner == 0
    assert not vote(["a", "b"], [0.1, 0.2]).tie


def test_seeded_ties_follow_the_seed():
    def answers(seed):
        said = Told(lambda _, number: str(number % 2))
        _, trajectory, _ = ask_one("sc:k=2,ties=seed", said, seed=seed)
        return trajectory.answer

    found = [answers(seed) for seed in range(12)]
    assert found == [answers(seed) for seed in range(12)] and set(found) == {"0", "1"}


def test_vote_makes_no_call():
    assert Vote(Sums()).request({"question": "?", "inbox": ()}, 0) == ""


@pytest.mark.slow
@folders
@pytest.mark.parametrize("family", ["arc", "bbh"])
def test_votes_read_replies_as_scores_do(folder, family):
    variants = ["challenge", "easy"]
    if family == "bbh":
        variants = sorted(file.name.split(".")[0] for file in (folder / "bbh").iterdir())
    for variant in variants:
        task = make_task(f"{family}/{variant}", folder)
        for split in SPLITS:
            for example in task.examples(split)[::4]:
                if example.id in task.flaws:
                    continue  # no answer of the question is its target
                for reply in (example.target, f"I think the answer is {example.target}."):
                    found = task.score(example, reply).answer
                    assert task.extract(example.question, reply) == found, example.id


@pytest.mark.parametrize("name", ["hierarchy/bool", "hierarchy/modsum", "signal"])
def test_votes_read_replies_of_procedural_tasks(name):
    task = make_task(name)
    for example in task.examples("test")[:20]:
        assert task.extract(example.query, f"It is {example.target}") == example.target


@pytest.mark.slow
def test_command_evaluates_a_baseline(tmp_path, capsys):
    model = str(make_tiny("llama", tmp_path))
    args = ["eval", "--model", model, "--dtype", "float32", "--max-new-tokens", "3"]
    for name, code, says in [
        ("sc:k=3", 0, "6 calls"),
        ("sc:temperature=0", 2, "usual temperature is 0.7"),
    ]:
        with pytest.raises(SystemExit) as end:
            main([*args, "--limit", "2", "--baseline", name])
        captured = capsys.readouterr()
        assert end.value.code == code
        assert says in " ".join((captured.out + captured.err).split())
    with pytest.raises(SystemExit):
        main([*args, "--limit", "2", "--baseline", "self_refine", "--ablation"])
    assert "in self_refine they differ" in capsys.readouterr().err
