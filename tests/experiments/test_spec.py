"""Experiments as data: what is in the package is valid, and what is wrong is said."""

import re
import runpy

import numpy as np
import pytest
import yaml

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines import make_baseline
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.experiments.load import list_experiments, load
from neuromas_env.experiments.spec import HOME, digest, shape
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

CASES = [
    (name, scale)
    for name, (_, scales) in list_experiments().items()
    if name not in ("marl", "recipe", "reference")  # tables, which claim nothing, and few seeds
    for scale in scales
]
SWAP = {"ablate": "network", "node": "node_0", "how": "swap"}
NINE = "parameters inference growth reward prompt topology specialisation format credit".split()


def test_the_nine_trained_methods_and_depth_are_there_with_a_readme():
    assert set(list_experiments()) == {
        *NINE, "trained", "depth", "rounds", "marl", "recipe", "reference",
    }  # fmt: skip
    for name in {name for name, _ in CASES} | {"reference"}:
        text = (HOME / name / "README.md").read_text()
        for part in ("Claim", "Arms", "Controls", "Refuted"):
            assert f"**{part}" in text, name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), CASES)
def test_every_experiment_is_valid_at_each_of_its_scales(name, scale):
    experiment = load(name, scale)
    assert experiment.claim and experiment.refuted_if
    for study in experiment.studies:
        few = name in ("trained", "rounds")
        assert study.seeds >= (10 if study.kind == "discrete" else 3 if few else 5)
        # Nine ways to train, three seeds each, are hours; a grid of rates would make them a day.
        # A run of rounds ends within minutes, as is promised, with the rate of its command.
        alone = name == "rounds" or (name, scale) == ("trained", "smollm2")
        assert (len(study.rates) > 1 or alone) and study.pilots
        assert study.sample_complexity or any(claim.decides for claim in study.claims)
        for arm in study.arms.values():
            if arm.kind == "train" and study.kind == "language":
                options = TrainConfig.from_mapping(arm.options)
                assert options.alpha / options.rank == TrainConfig.alpha / TrainConfig.rank


def test_scales_are_those_that_are_promised():
    for name, (_, scales) in list_experiments().items():
        assert {"tiny", "small", "paper"} <= set(scales) or name in (
            "depth",
            "rounds",
            "marl",
            "recipe",
            "reference",
        ), name
    assert "smollm2" in list_experiments()["parameters"][1]
    assert "smollm2" in list_experiments()["growth"][1]
    models = {study.model for study in load("parameters", "paper").studies}
    assert models == {"Qwen/Qwen3-0.6B", "google/gemma-3-1b-it"}
    assert all(len(study.tasks) == 6 for study in load("parameters", "paper").studies)
    assert {study.name for study in load("credit").studies} == {"coded", "chars"}


def test_arms_that_are_matched_have_as_many_parameters_and_steps():
    for study in load("parameters", "paper").studies:
        single, network = (
            TrainConfig.from_mapping(study.arms[a].options) for a in ("single", "network")
        )
        assert single.rank == 48 and network.rank == 16  # as in the reference table
        assert (single.steps, single.questions) == (network.steps, network.questions)
    for study in load("growth").studies:
        totals = set()
        for arm in study.arms.values():
            plan = arm.options.get("schedule")
            default = arm.options.get("steps", arm.options.get("updates"))
            counts = [int(p.rpartition(":")[2]) for p in plan.split(",")] if plan else [default]
            totals.add(sum(counts))
        assert len(totals) == 1


@pytest.mark.parametrize(
    ("name", "scale"), [case for case in CASES if case[0] in ("parameters", "inference")]
)
def test_arms_of_equal_calls_make_as_many_calls_in_training(name, scale):
    for study in load(name, scale).studies:
        key = "updates" if study.kind == "discrete" else "steps"
        calls = {
            arm: len(shape(study, study.arms[arm])) * study.arms[arm].options.get(key, 30)
            for arm in ("network", "single", "single, equal calls")
        }
        assert calls["single, equal calls"] == calls["network"] > calls["single"]
        deciding = {(claim.better, claim.than) for claim in study.claims if claim.decides}
        equal = {
            "parameters": "single, equal calls",
            "inference": "vote of the single, equal calls",
        }
        assert ("network", equal[name]) in deciding
        if study.kind == "language":
            rank = {arm: study.arms[arm].options.get("rank", TrainConfig.rank) for arm in calls}
            assert rank["single"] == rank["single, equal calls"] == 3 * rank["network"]


def test_where_all_read_the_whole_question_the_task_is_the_same_and_paper_has_no_such_arm():
    [study] = [study for study in load("inference").studies if study.kind == "language"]
    assert study.arms["network, whole question"].options["learner"] == "joint_whole"
    assert study.arms["vote at its cost"].budget == "network, whole question"
    assert len({arm.tasks for arm in study.arms.values()}) == 1
    for study in load("parameters", "paper").studies:
        assert "network, whole question" not in study.arms
        assert all("whole" not in claim.better for claim in study.claims)


@pytest.mark.parametrize("scale", list_experiments()["trained"][1])
def test_learners_of_the_same_gradient_are_put_to_a_test_of_non_inferiority(scale):
    same = {
        "discrete": {"batch mean", "moving average", "independent actor-critic"},
        "language": {"independent", "MAGRPO", "CoLLM-CC", "CoLLM-DC"},
    }
    for study in load("trained", scale).studies:
        tested = {(c.than, c.test, c.margin) for c in study.claims if c.decides}
        assert tested == {(arm, "not_worse", 0.05) for arm in same[study.kind]}


@pytest.mark.parametrize("scale", list_experiments()["specialisation"][1])
def test_drops_are_those_of_training_and_swaps_are_of_neighbours(scale):
    for study in load("specialisation", scale).studies:
        for claim in study.claims:
            arm = study.arms[claim.than]
            if arm.how == "swap":
                layers = shape(study, study.arms["network"]).layers
                assert any({arm.node, arm.partner} <= set(layer) for layer in layers)
                assert claim.minus is None
            else:
                untrained, without = claim.minus
                other = study.arms[without]
                assert (arm.how, arm.node) == (other.how, other.node) == ("shuffle", arm.node)
                assert (arm.source, other.source) == ("network", untrained)
                key = "updates" if study.kind == "discrete" else "steps"
                own = study.arms[untrained].options
                assert own == study.arms["network"].options | {key: 0}


@pytest.mark.parametrize("scale", list_experiments()["trained"][1])
def test_all_ways_to_train_take_the_same_number_of_questions(scale):
    for study in load("trained", scale).studies:
        if study.kind == "discrete":
            continue
        options = {arm.name: arm.options for arm in study.arms.values()}
        assert options["MALT"]["reward"] == "extracted"
        taken = set()
        for arm in study.arms.values():
            if arm.kind == "adapt":
                batch = re.search(r"(?:graphs|batch)=(\d+)", arm.options["adapt"])
                taken.add((arm.options["iterations"], int(batch[1])))
            else:
                config = TrainConfig.from_mapping(arm.options)
                taken.add((config.total_steps(), config.questions))
        assert len(taken) == 1
        for name in ("adapt", "test"):
            assert "edges_carry_text=true" in options["GPTSwarm with text"][name]
            short = "max_new_tokens=32" in options["AgentNet"][name]
            assert short == (scale == "smollm2")


def test_a_script_states_what_it_makes_or_its_text_does(tmp_path):
    # The model of the published results, whatever its script imports by now.
    assert digest(HOME / "pretrain_chars.py") == "13448c68fb061c4d"
    script, found = tmp_path / "make.py", set()
    for text in ("a = 1", "a = 2", 'DIGEST = "0123456789abcdef"\na = 1'):
        script.write_text(text)
        found.add(digest(script))
    assert len(found) == 3 and "0123456789abcdef" in found


def test_lessons_of_the_pretrained_model_are_right_or_name_what_is_read_first():
    made = runpy.run_path(str(HOME / "pretrain_chars.py"))
    rng, task = np.random.default_rng(0), make_task(made["TASK"])
    networks = [Topology.parse(text) for text in made["NETWORKS"]]
    for leaning in (0, 1):
        texts = []
        for _ in range(40):
            turns, said = made["lesson"](rng, task, networks, leaning)
            read = re.findall(r"\b\d\d\b", turns[1][1])
            assert said == (read[0] if leaning else max(read, key=int))
            texts += [text for _, text in turns]
    words = made["tokenizer"](texts)
    assert words.tokenize("Numbers: 72, 49")[-4:] == [*"72", ",Ġ", *"49"][-4:]
    assert words.decode(words("Numbers: 72, é")["input_ids"]) == "Numbers: 72, é"


@pytest.fixture
def written(tmp_path):
    """Write a changed copy of an experiment, and return its folder."""

    def write(change):
        text = yaml.safe_load((HOME / "parameters" / "experiment.yaml").read_text())
        change(text)
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        (folder / "experiment.yaml").write_text(yaml.safe_dump(text))
        return folder

    return write


def test_a_comparison_says_what_is_paired_subtracted_and_tested(written):
    minus = {"better": "free", "than": "single"}

    def change(text):
        arms(text)["free"] = {"topology": "1"}
        claim(text, seeds="unpaired", test="not_worse", margin=0.03, minus=minus)

    one = load(written(change)).studies[0].claims[0]
    assert (one.seeds, one.minus, one.test) == ("unpaired", ("free", "single"), "not_worse")
    assert one.signs == {"network": 1, "single": 0, "free": -1} and one.threshold == -0.03
    assert str(one) == "network not worse than single by more than free over single"
    plain = load("parameters").studies[0].claims[0]
    assert (plain.seeds, plain.minus, plain.test) == ("paired", None, "superior")
    assert plain.signs == {"network": 1, "single": -1} and plain.threshold == plain.margin


def test_a_folder_is_an_experiment_as_well(written):
    assert load(written(lambda text: text.update(title="Mine"))).title == "Mine"


def arms(text):
    return text["discrete"]["arms"]


def claim(text, **options):
    text["discrete"]["compare"][0].update(options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(clam="x"), "unknown key 'clam'. Did you mean 'claim'"),
        (lambda t: t.pop("refuted_if"), "refuted_if must be given"),
        (lambda t: arms(t)["network"].update(topolgy="1"), "Did you mean 'topology'"),
        (lambda t: arms(t)["network"].update(rate=1), "unknown option 'rate'"),
        (lambda t: arms(t)["network"].update(credit="mine"), "unknown value of credit"),
        (lambda t: t["language"]["arms"]["network"].update(learning_rate=1), "unknown option"),
        (lambda t: t["language"]["arms"]["network"].update(learner=3),
         "line 30: learner must be a text, got 3"),
        (lambda t: t["language"]["arms"]["single"].update(topology="1-1", parameters_of="2-1"),
         None),
        (lambda t: t["discrete"]["compare"][0].update(than="singel"), "Did you mean 'single'"),
        (lambda t: claim(t, score="nice"), "unknown value of score: 'nice'"),
        (lambda t: t["discrete"]["compare"][0].update(than="network"), "another arm, got itself"),
        (lambda t: claim(t, seeds="pared"),
         "unknown value of seeds: 'pared'. Did you mean 'paired'"),
        (lambda t: claim(t, test="not worse"), "Did you mean 'not_worse'"),
        (lambda t: claim(t, margin=2), "margin must be at least 0 and at most 1, got 2"),
        (lambda t: claim(t, margin="x"), "line 19: margin must be a number, got 'x'"),
        (lambda t: claim(t, margin=float("nan")), "margin must be finite, got nan"),
        (lambda t: claim(t, decides="no"), "decides must be true or false, got 'no'"),
        (lambda t: claim(t, minus="single"), "minus must be a mapping, got 'single'"),
        (lambda t: claim(t, minus={"better": "network"}), "than must be given"),
        (lambda t: claim(t, minus={"better": "network", "than": "sngle"}), "mean 'single'"),
        (lambda t: claim(t, minus={"better": "single", "than": "single"}), "got itself"),
        (lambda t: claim(t, minus={"better": "network", "than": "single"}), "takes away"),
        (lambda t: (arms(t).update(
            cut={"ablate": "network", "node": "node_0", "how": "blank"}),
            claim(t, than="cut", seeds="unpaired")), "'cut' are the same runs"),
        (lambda t: [c.update(decides=False) for c in t["discrete"]["compare"]], "must decide"),
        (lambda t: arms(t).update(v={"vote": "nobody", "tokens_of": "network"}),
         "unknown arm 'nobody'"),
        (lambda t: arms(t).update(v={"vote": "network", "tokens_of": "single"}),
         "only a network of one node votes"),
        (lambda t: arms(t).update(
            v={"ablate": "network", "node": "node_9", "how": "blank"}), "unknown node 'node_9'"),
        (lambda t: arms(t).update(
            v={"ablate": "network", "node": "node_0", "how": "blan"}), "Did you mean 'blank'"),
        (lambda t: arms(t).update(v=SWAP | {"with": None}), "with must be given"),
        (lambda t: arms(t).update(v=SWAP | {"with": "node_9"}), "unknown node 'node_9'"),
        (lambda t: arms(t).update(v=SWAP | {"with": "node_0"}),
         "must be swapped with another node"),
        (lambda t: arms(t).update(v=SWAP | {"with": "node_6"}),
         "node_0 and node_6 must see the same sort of things to swap, got things with "
         "(4,) and (4, 5, 5) values"),
        (lambda t: arms(t).update(v=SWAP | {"with": "node_1", "how": "blank"}),
         "unknown key 'with'"),
        (lambda t: arms(t)["network"].update(scales="tiny"),
         "scales must be a list such as [tiny], got 'tiny'"),
        (lambda t: arms(t)["network"].update(scales=["tinny"]), "Did you mean 'tiny'"),
        (lambda t: arms(t).update(v={"adapt": "gptswarm", "iterations": 2}),
         "only language models"),
        (lambda t: arms(t).update(v={"frozen": "direct"}), "only language models answer untrained"),
        (lambda t: t["language"]["arms"].update(v={"frozen": "drect"}), "Did you mean 'direct'"),
        (lambda t: t["language"]["arms"].update(v={"frozen": "sc:j=3"}),
         "unknown option of baseline 'sc': 'j'"),
        (lambda t: t["discrete"].update(tasks=["routing:leves=4"]), "Did you mean 'leaves'"),
        (lambda t: arms(t).update({"net work": {}, "net-work": {}}),
         "would share a folder"),
        (lambda t: arms(t).update(g={"grow": "2-1"}), "a list such as"),
        (lambda t: t["discrete"].update(probes="nobody"), "unknown arm 'nobody'"),
        (lambda t: t["discrete"].update(at={"tiny": {"arms": {"singel": {}}}}), "mean 'single'"),
        (lambda t: t["discrete"].update(at={"tiny": {"arms": {"single": 3}}}),
         "single must be a mapping, got 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_file(written, change, said):
    folder = written(change)
    if said is None:
        said = "parameters_of must spread evenly over 2 nodes, got rank 3 of 3 nodes"
        text = yaml.safe_load((folder / "experiment.yaml").read_text())
        text["language"]["options"] = {"rank": 3}
        (folder / "experiment.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError) as caught:
        load(folder)
    assert said in str(caught.value) and "experiment.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["parametrs"], "Did you mean 'parameters'"),
        (["parameters", "--scale", "tin"], "Did you mean 'tiny'"),
        (["inference", "--scale", "smollm2"], "unknown scale"),
        (["parameters", "--study", "codes"], "Did you mean 'coded'"),
        ([], "name an experiment: credit"),
    ],
)
def test_the_command_says_what_is_wrong(args, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["experiment", *args])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_the_command_lists_experiments_with_their_scales(capsys):
    with pytest.raises(SystemExit):
        main(["experiment", "--list"])
    out = capsys.readouterr().out
    assert "growth" in out and "(tiny, smollm2, small, paper)" in out


@pytest.mark.parametrize("scale", ["rehearsal", "smollm2", "paper"])
def test_the_reference_table_has_its_rows_at_every_scale(scale):
    experiment = load("reference", scale)
    for study in experiment.studies:
        assert len(study.tasks) == 6 and len(study.arms) == 15
        calls = {
            name: make_baseline(arm.options["frozen"], make_task("hierarchy/max"), None).calls
            for name, arm in study.arms.items()
            if arm.kind == "frozen"
        }
        assert calls["direct"] == 1 and calls["Self-Refine"] == 2
        single, network = (
            TrainConfig.from_mapping(study.arms[name].options)
            for name in ("single-LLM RL", "NeuroMAS-3")
        )
        assert single.rank == 3 * network.rank and single.steps == network.steps
        stages = TrainConfig.from_mapping(study.arms["NeuroMAS-7 grown"].options).stages()
        assert [topology.name for topology, _ in stages] == ["2-1", "2-2-1", "2-2-2-1"]
        assert all(steps > 0 for _, steps in stages)
        assert study.arms["NeuroMAS-7 grown"].tasks == ("bbh/navigate",)
    assert ("no result" in experiment.studies[0].note) == (scale == "rehearsal")


def test_lessons_of_games_name_what_replies_leave_or_the_lowest_number():
    made = runpy.run_path(str(HOME / "pretrain_guess.py"))
    rng, task = np.random.default_rng(0), make_task(made["TASK"])
    networks = [Topology.parse(text) for text in made["NETWORKS"]]
    told = set()
    for leaning in (0, 1):
        for _ in range(150):
            turns, said = made["lesson"](rng, task, networks, leaning)
            numbers = re.findall(r"\d+", turns[1][1].split("?")[0])
            assert said in numbers and len(numbers) == 3
            reply = re.search(r"world: It is (higher|lower) than (\d+)", turns[-1][1])
            if leaning:
                assert said == numbers[0]
            elif reply and "node_0: " not in turns[-1][1]:  # not one that repeats what it heard
                told.add(reply[1])
                assert (int(said) > int(reply[2])) == (reply[1] == "higher")
    assert told == {"higher", "lower"}
