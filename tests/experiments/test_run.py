"""Miniature experiments end to end: killed, resumed, the same report; language models."""

import json
import re
import shutil

import pytest
import yaml
from matplotlib.figure import Figure
from support.tiny_models import make_tiny
from support.tiny_runs import At, Killed, kill

from neuromas_env.bench.methods import training_of
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.experiments.backends import discrete
from neuromas_env.experiments.load import load
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.verdict import FAILS, HOLDS, OPEN
from neuromas_env.progress import Reporter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
TEXT = {
    "title": "Mine", "claim": "One is better.", "refuted_if": "it is not.", "scales": ["mini"],
    "matched": "questions.",
}  # fmt: skip
CODED = {
    "tasks": ["relay:values=4"],
    "options": {"updates": 5, "questions": 4, "rollouts": 2},
    "probes": "network",
    "arms": {
        "single": {"topology": "1"},
        "network": {"topology": "1-1"},
        "grown": {"grow": ["1-1", "1-1-1"]},
        "vote": {"vote": "single", "tokens_of": "network"},
        "shuffled": {"ablate": "network", "node": "node_0", "how": "shuffle"},
    },
    "compare": [
        {"better": "network", "than": "vote"},
        {"better": "network", "than": "shuffled", "decides": False},
    ],
}
SCALE = {"coded": {"kind": "discrete", "seeds": 2, "pilots": 1, "rates": [0.1, 0.5]}}


def write(folder, text, scale):
    folder.mkdir(exist_ok=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(TEXT | text))
    (folder / "scales.yaml").write_text(yaml.safe_dump({"mini": scale}))
    return load(folder, "mini")


@pytest.fixture
def coded(tmp_path):
    return write(tmp_path / "mine", {"discrete": CODED}, SCALE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What the experiment leaves when nothing stops it; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    run_experiment(write(folder / "mine", {"discrete": CODED}, SCALE), folder / "out")
    return folder / "out"


@pytest.fixture
def out(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def undrawn(monkeypatch):
    """Reports without pictures, which take most of the time of a report."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)


def report(out):
    return (out / "report.md").read_text()


class Notes(Reporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def trainings(reporter):
    return sum("training" in note or "trying" in note for note in reporter.notes)


def test_a_killed_experiment_goes_on_and_ends_with_the_same_report(
    coded, finished, tmp_path, monkeypatch
):
    whole = report(finished)
    train, answer, count = discrete.Discrete.train, discrete.Discrete.answer, [0]

    def stopping(function, after):
        def wrapped(*args):
            count[0] += 1
            if count[0] == after:
                raise Killed
            return function(*args)

        return wrapped

    for name, function, after in (("train", train, 4), ("train", train, 6), ("answer", answer, 3)):
        count[0] = 0
        monkeypatch.setattr(discrete.Discrete, name, stopping(function, after))
        with pytest.raises(Killed):
            run_experiment(coded, tmp_path / "cut")
        monkeypatch.setattr(discrete.Discrete, name, function)
    told = Notes()
    run_experiment(coded, tmp_path / "cut", report=told)
    assert trainings(told) == 0  # 3 + 5 + 4 trainings were done before
    assert report(tmp_path / "cut") == whole
    for name in re.findall(r"\]\((mine-mini-coded-.*?\.svg)\)", whole):
        assert (tmp_path / "cut" / name).read_text().startswith("<?xml")
    assert whole.count(".svg)") == 3


def test_the_report_says_what_was_matched_and_seen(finished):
    text = report(finished)
    assert "**Claim.** One is better." in text and "**Refuted if** it is not." in text
    assert "**Matched:** questions." in text
    assert " With 2 seeds this is a hint.\n" in text
    assert "\n2 seeds. Estimand: all questions of a finite set.\n" in text
    for table in ("Deciding comparisons", "Exploratory comparisons"):
        assert re.search(rf"\*\*{table}: \d+ questions, 2 seeds\*\*", text)
    [verdict] = re.findall(r"^\*\*Verdict\.\*\* coded: \*\*(.*?)\*\*\.", text, re.M)
    assert verdict in (HOLDS, FAILS, OPEN)
    # The deciding difference leads the page and stands in its section with the same numbers.
    [lead] = re.findall(r"^\| coded \| .* \| (\S+) \\\[(.*)\\\] \| (\S+) \| (.*) \|$", text, re.M)
    assert lead[-1] == verdict and f" | {' | '.join(lead[:3])} | " in text
    # 5 updates of 4 questions; 40 episodes of one, of two, and of two and then three nodes.
    rows = {
        row.split(" | ")[0].strip("| "): [cell.strip() for cell in row.split(" | ")]
        for row in text.splitlines()
        if row.startswith("| ")
    }
    training = text[text.index("**Training budget") : text.index("**Training tokens")]
    assert re.search(r"\| single \| \S+ \| 16 \| 20 \| 5 \| 40 \|", training)
    assert re.search(r"\| network \| \S+ \| 36 \| 20 \| 5 \| 80 \|", training)
    assert re.search(r"\| grown \| \S+ \| 56 \| 20 \| 5 \| 104 \|", training)
    assert "vote" in rows and "shuffled" in rows
    with Store(finished / "coded") as store:
        spent = {
            row["method"]: row["mean"]
            for row in store.rows(
                "SELECT method, avg(completion_tokens) AS mean FROM results GROUP BY method"
            )
        }
        lines = {line.method: line.training for line in summarise(store)}
    assert spent == {"single": 1, "network": 2, "grown": 3, "vote": 2, "shuffled": 2}
    # Whoever reads the folder as a benchmark sees what training took; who votes took it, too.
    assert (lines["network"]["steps"], lines["network"]["questions"]) == (5, 20)
    assert lines["network"]["calls"] == 80 and lines["vote"] == lines["single"]
    assert "training calls" not in text


def test_rates_are_chosen_before_any_test_question_is_read(coded, tmp_path, monkeypatch):
    """With test questions out of reach the pilots and their choice are the same."""
    asked = []
    monkeypatch.setattr(discrete.Discrete, "questions", lambda *args: asked.append(args))
    monkeypatch.setattr(discrete.Discrete, "answer", lambda *args: asked.append(args))
    monkeypatch.setattr("neuromas_env.experiments.study.Running._ask", lambda *args: None)
    monkeypatch.setattr("neuromas_env.experiments.study.Running._samples", lambda *args: 1.0)
    monkeypatch.setattr("neuromas_env.experiments.report.write_report", lambda *args: None)
    run_experiment(coded, tmp_path / "out")
    assert asked == []
    pilots = sorted((tmp_path / "out" / "coded" / "pilots").glob("*/rate_*/seed_*/result.json"))
    assert len(pilots) == 3 * 2  # three trained arms, two rates
    assert {path.parent.name for path in pilots} == {"seed_1000"}
    for arm in ("single", "network", "grown"):
        assert len(list((tmp_path / "out" / "coded" / arm).glob("seed_[01]/result.json"))) == 2


def test_more_seeds_may_be_added_and_other_arms_may_not(coded, out, undrawn, tmp_path):
    first = report(out)
    told = Notes()
    run_experiment(load(tmp_path / "mine", "mini", seeds=3), out, report=told)
    assert trainings(told) == 3
    # Answers of seeds and settings that do not count any more are in no table.
    run_experiment(coded, out)
    assert report(out) == first
    changed = json.loads(json.dumps(CODED))
    changed["arms"]["network"]["topology"] = "1-1-1"
    other = write(tmp_path / "other", {"discrete": changed}, SCALE)
    with pytest.raises(InputError, match="holds results of another experiment: its name"):
        run_experiment(other, out)
    other = write(tmp_path / "mine", {"discrete": changed}, SCALE)
    with pytest.raises(InputError, match="its study coded is another; give another folder"):
        run_experiment(other, out)


def test_a_run_that_is_trained_again_is_asked_again(coded, out, undrawn, monkeypatch):
    whole, answer, asked = report(out), discrete.Discrete.answer, []

    def noting(self, arm, task, seed, *args):
        asked.append((arm.name, seed))
        return answer(self, arm, task, seed, *args)

    monkeypatch.setattr(discrete.Discrete, "answer", noting)
    shutil.rmtree(out / "coded" / "network" / "seed_1")
    run_experiment(coded, out)
    assert sorted(set(asked)) == [("network", 1), ("shuffled", 1)]  # and the arm that uses it
    assert report(out) == whole


def test_two_at_a_time_are_refused(coded, tmp_path, monkeypatch):
    def again(*args):
        with pytest.raises(InputError, match="being written by another process"):
            run_experiment(coded, tmp_path / "out")
        raise Killed

    monkeypatch.setattr(discrete.Discrete, "train", again)
    with pytest.raises(Killed):
        run_experiment(coded, tmp_path / "out")


def test_the_command_stops_and_says_how_to_go_on(coded, tmp_path, monkeypatch, capsys):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(discrete.Discrete, "train", stop)
    with pytest.raises(SystemExit) as end:
        main(
            ["experiment", str(tmp_path / "mine"), "--scale", "mini", "--out", str(tmp_path / "o")]
            + ["--seeds", "2"]
        )
    assert end.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    [made] = json.loads((tmp_path / "o" / "experiment.json").read_text())["made"]
    assert made["command"] == f"neuromas experiment {tmp_path / 'mine'} --scale=mini --seeds=2"


def test_the_report_names_the_command_and_commit_of_every_start(tmp_path, undrawn, monkeypatch):
    small = {key: value for key, value in CODED.items() if key not in ("probes", "compare")}
    small["arms"] = {name: CODED["arms"][name] for name in ("single", "network")}
    small["compare"] = [{"better": "network", "than": "single"}]
    experiment = write(tmp_path / "mine", {"discrete": small}, SCALE)
    for command, commit in (("first", "abc"), ("then", "def"), ("then", "def")):
        monkeypatch.setattr("neuromas_env.experiments.run.commit", lambda made=commit: made)
        run_experiment(experiment, tmp_path / "out", command=command)
    text = (tmp_path / "out" / "log.md").read_text()
    assert text.count("| first | abc | ") == text.count("| then | def | ") == 1
    assert "[log](log.md)" in report(tmp_path / "out")


def test_a_folder_takes_no_model_of_another_script(tmp_path):
    script = tmp_path / "mine" / "make.py"
    language = LANGUAGE | {"compare": [{"better": "network", "than": "single"}]}
    scale = {"tiny": {"script": script.name, "seeds": 1, "rates": [0.1]}}
    experiment = write(tmp_path / "mine", {"language": language}, scale)
    script.write_text("def pretrain(folder): raise RuntimeError('asked to')")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="asked to"):
            run_experiment(experiment, tmp_path / "out")
    # The folder holds nothing yet, so that the script may be mended.
    files = ("config.json", "tokenizer.json", "model.safetensors")
    script.write_text(f"def pretrain(folder): [(folder / file).touch() for file in {files}]")
    with pytest.raises(InputError, match="config.json"):
        run_experiment(experiment, tmp_path / "out")
    script.write_text("def pretrain(folder): ...")
    with pytest.raises(InputError, match="its script of tiny is another"):
        run_experiment(experiment, tmp_path / "out")


LANGUAGE = {
    "tasks": ["signal:symbols=3"],
    "options": {
        "dtype": "float32", "steps": 2, "questions": 2, "rollouts": 2, "max_new_tokens": 2,
        "eval_questions": 2, "rank": 4, "checkpoint_every": 1, "transcripts": 0,
        "entropy_coef": 0.1,
    },
    "probes": "network",
    "arms": {
        "single": {"topology": "1", "parameters_of": "1-1"},
        "network": {"topology": "1-1"},
        "grown": {"grow": ["1", "1-1"]},
        "role": {"topology": "1-1", "learner": "joint_roles", "shaping": "format=0.1"},
        "left out": {"topology": "1-1", "learner": "counterfactual"},
        "critic": {"topology": "1-1", "learner": "collm_dc"},
        "untrained": {"topology": "1-1", "steps": 0},
        "vote": {"vote": "single", "tokens_of": "network"},
        "blank": {"ablate": "network", "node": "node_0", "how": "blank"},
        "shuffled": {"ablate": "network", "node": "node_0", "how": "shuffle"},
        "base": {"ablate": "network", "node": "node_0", "how": "base"},
        "swapped": {"ablate": "network", "node": "node_0", "with": "node_1", "how": "swap"},
        "whole": {"topology": "1-1", "learner": "joint_whole"},
        "frozen": {"frozen": "direct"},
        "sampled": {"frozen": "sc:k=2"},
        "swarm": {
            "adapt": "gptswarm:agents=2,graphs=2", "test": "gptswarm:agents=2", "iterations": 1,
        },
    },
}  # fmt: skip


@pytest.fixture
def language(tmp_path, tmp_path_factory):
    """Make an experiment of some of the arms, with some learning rates."""
    model = str(make_tiny("llama", tmp_path_factory.mktemp("model")))

    def make(rates, *arms, seeds=1, **more):
        scale = {"tiny": {"model": model, "seeds": seeds, "pilots": 1, "rates": rates}}
        chosen = {name: LANGUAGE["arms"][name] for name in arms or LANGUAGE["arms"]}
        compare = [{"better": "network", "than": "single"}]
        text = LANGUAGE | {"arms": chosen, "compare": compare} | more
        return write(tmp_path / "mine", {"language": text}, scale)

    return make


def test_language_models_train_resume_and_answer(language, undrawn, tmp_path):
    out = tmp_path / "out"
    experiment = language([0.001])
    with pytest.raises(Killed):
        run_experiment(experiment, out, report=At(1, kill))
    # The first run was killed in the middle, with a checkpoint.
    assert not (out / "tiny/single/seed_0/result.json").exists()
    text = run_experiment(experiment, out).read_text()
    assert re.search(r"^1 seed, base weights `[0-9a-f]{16}`\. Estimand: this way", text, re.M)
    training = text[text.index("**Training budget") : text.index("**Training tokens")]
    # 2 steps of 4 episodes; of the last learner's, each takes one call more.
    for arm, calls in {"single": 8, "network": 16, "left out": 24, "untrained": 0}.items():
        row = next(line for line in training.splitlines() if line.startswith(f"| {arm} "))
        assert row.endswith(f" | {calls} |"), row
    size = {
        arm: int(re.search(rf"\| {arm} \| \S+ \| ([\d,]+) \|", training)[1].replace(",", ""))
        for arm in ("network", "critic")
    }
    assert size["critic"] > 2 * size["network"]  # a critic of its own for every node, with a head
    with Store(out / "tiny") as store:
        rows = store.rows("SELECT method, count(*) AS n, sum(error IS NOT NULL) AS bad "
                          "FROM results GROUP BY method")  # fmt: skip
        lines = {line.method: line.training for line in summarise(store)}
    assert {row["method"] for row in rows} == LANGUAGE["arms"].keys()
    assert {(row["n"], row["bad"]) for row in rows} == {(3, 0)}
    assert lines["network"] == training_of(f"neuromas@{out / 'tiny/network/seed_0'}")
    assert lines["frozen"] == lines["sampled"] == {} and "All methods: strict score" in text
    assert lines["untrained"] == {} and lines["blank"] == lines["network"]
    assert lines["swarm"]["questions"] == 2 and lines["swarm"]["trained_tokens"] == 0
    saved = yaml.safe_load((out / "tiny/single/seed_0/config.yaml").read_text())
    assert (saved["rank"], saved["alpha"], saved["eval_questions"]) == (8, 16.0, 0)
    facts = json.loads((out / "tiny/role/seed_0/run.json").read_text())
    assert facts["reward"] == "both with format=0.1"


def test_language_models_try_rates_on_validation_questions(language, undrawn, tmp_path):
    run_experiment(language([0.001, 0.01], "single", "network"), tmp_path / "out")
    for arm, rate in (("single", "0.001"), ("single", "0.01"), ("network", "0.01")):
        pilot = tmp_path / "out" / "tiny" / "pilots" / arm / f"rate_{rate}" / "seed_1000"
        saved = yaml.safe_load((pilot / "config.yaml").read_text())
        assert (saved["eval_split"], saved["eval_questions"]) == ("validation", 2)
        assert (saved["seed"], saved["learning_rate"]) == (1000, float(rate))
        assert json.loads((pilot / "result.json").read_text())["after"]["n"] == 2


def test_a_folder_without_checkpoints_keeps_its_report_and_takes_more_seeds(
    language, undrawn, tmp_path
):
    out, arms = tmp_path / "out", ("single", "network", "critic", "swarm")
    first = run_experiment(language([0.001], *arms, probes=None), out).read_text()
    for weights in out.rglob("checkpoints"):
        shutil.rmtree(weights)
    told = Notes()
    again = run_experiment(language([0.001], *arms, probes=None), out, report=told)
    assert again.read_text() == first and not trainings(told)
    more = run_experiment(language([0.001], *arms, probes=None, seeds=2), out, report=told)
    assert trainings(told) == len(arms) and "\n2 seeds" in more.read_text()
