"""A trained network goes to the hub and comes back; a stand-in takes the hub's place."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from support.hub import TOKEN, Hub, serving
from support.tiny_models import make_tiny
from support.tiny_runs import tiny_config

from neuromas_env.agents.training import checkpoint, publish
from neuromas_env.agents.training.api import train
from neuromas_env.agents.training.card import model_card
from neuromas_env.agents.training.publish import push, run_folder
from neuromas_env.bench.methods import read_run
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError

pytestmark = pytest.mark.slow

ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs")
    model = make_tiny("llama", folder / "model")
    train(tiny_config(model, folder / "run", steps=1, report_to="none", data=str(folder)))
    return folder / "run"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in as this process's hub, whose client reads its settings once."""
    with serving(Hub()) as hub:
        files = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        settings = {"ENDPOINT": hub.address, "HUGGINGFACE_CO_URL_TEMPLATE": files}
        settings |= {"HF_HUB_CACHE": str(tmp_path / "hf"), "HF_HUB_OFFLINE": False}
        for name, value in settings.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
        publish._fetch.cache_clear()
        yield hub


def neuromas(capsys, *args):
    """Return the exit code of a command and what it says."""
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    said = capsys.readouterr()
    return end.value.code or 0, said.out + said.err


def test_what_is_uploaded_is_the_network_and_says_what_it_is(run, hub, capsys):
    assert neuromas(capsys, "push", run, "me/net") == (0, f"{hub.address}/me/net\n")
    files = hub.files["me/net"]
    facts = {"config.yaml", "result.json", "run.json", "metrics.jsonl", "state.json", "README.md"}
    nodes = {f"{node}/{name}" for node in ("node_0", "node_1") for name in ADAPTER}
    assert files.keys() - {".gitattributes"} == facts | nodes and not hub.private
    end = checkpoint.latest(run)
    for name in nodes:
        assert files[name] == (end / "adapters" / name).read_bytes()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert yaml.safe_load(files["config.yaml"]) == {
        key: value for key, value in config.items() if key not in ("out", "data")
    }
    result = json.loads((run / "result.json").read_text())
    assert json.loads(files["result.json"]) == result | {"folder": "me/net"}
    card = ModelCard(files["README.md"].decode())
    assert card.data.library_name == "peft" and "neuromas" in card.data.tags
    assert (card.data.task, card.data.topology) == ("signal:symbols=3", "1-1")
    assert card.data.base_model is None  # a local one
    scores = {score.metric_name: score.metric_value for score in card.data.eval_results}
    assert scores["extracted accuracy"] == result["after"]["extracted"]
    low, high = (f"{100 * bound:.1f}" for bound in result["after"]["extracted_interval"])
    assert f"[{low}, {high}]" in card.text and "neuromas eval --run me/net" in card.text
    assert f"| eval | {result['cost']['eval']['calls']} |" in card.text
    assert result["facts"]["versions"]["torch"] in card.text


def test_of_a_smaller_network_the_name_is_uploaded_not_the_place(run, hub, capsys, tmp_path):
    grown = shutil.copytree(run, tmp_path / "grown")
    config = yaml.safe_load((grown / "config.yaml").read_text())
    (grown / "config.yaml").write_text(yaml.safe_dump(config | {"grow_from": str(run)}))
    assert neuromas(capsys, "push", grown, "me/grown")[0] == 0
    assert yaml.safe_load(hub.files["me/grown"]["config.yaml"])["grow_from"] == run.name


def test_a_card_says_which_step_the_weights_are_of(run):
    config, result = (run / "config.yaml", run / "result.json")
    held = yaml.safe_load(config.read_text()), json.loads(result.read_text())
    for kept, said in ((1, False), (0, True)):
        card = model_card("me/net", "org/base", held[0], held[1] | {"kept": kept})
        assert ("The weights are those after step 0, the best on these" in card) == said


def test_a_base_of_the_hub_is_named_in_the_metadata(run, hub, tmp_path):
    other = tmp_path / "run"
    other.symlink_to(run)
    name = checkpoint.latest(run) / "adapters" / "node_1" / "adapter_config.json"
    held = name.read_text()
    try:
        changed = json.loads(held) | {"base_model_name_or_path": "org/base"}
        name.write_text(json.dumps(changed))
        push(other, "me/net")
    finally:
        name.write_text(held)
    card = ModelCard(hub.files["me/net"]["README.md"].decode())
    assert card.data.base_model == "org/base"
    assert 'AutoModelForCausalLM.from_pretrained("org/base")' in card.text


def test_a_smaller_network_leaves_no_nodes_of_a_larger_one_behind(run, hub):
    kept = {"node_9/adapter_config.json": b"{}", "picture.png": b"a user's own"}
    hub.files["me/net"] = dict(kept)
    push(run, "me/net")
    assert "picture.png" in hub.files["me/net"]
    assert "node_9/adapter_config.json" not in hub.files["me/net"]


def test_a_private_network_is_never_put_where_all_see_it(run, hub, capsys):
    assert neuromas(capsys, "push", run, "me/net", "--private")[0] == 0
    assert hub.private == {"me/net"}
    hub.files["me/open"] = {}
    code, said = neuromas(capsys, "push", run, "me/open", "--private")
    assert code == 2 and "me/open is public already" in said
    assert hub.files["me/open"] == {}


def test_what_is_pushed_is_loaded_by_its_name(run, hub, tmp_path, capsys):
    push(run, "me/net")
    code, said = neuromas(capsys, "eval", "--run", "me/net", "--limit", 2)
    assert code == 0 and "trained 1-1 of" in said
    read = read_run("neuromas@me/net")
    [folder] = (tmp_path / "cache" / "runs").glob("me--net-*")
    assert read.checkpoint == folder / "checkpoints" / "step_000001"
    assert read.hashes == read_run(f"neuromas@{run}").hashes and read.training["steps"] == 1
    assert not list(folder.rglob("*.pt"))


@pytest.mark.parametrize(
    ("token", "repo", "says"),
    [
        ("hf_WrongSecret", "me/net", "the hub does not know the token or me/net; run `hf auth"),
        ("hf_Illegal\u00e9Secret", "me/net", "the hub cannot be asked about me/net (Unicode"),
        (TOKEN, "they/net", "the hub does not let this token write to they/net"),
        (TOKEN, "net", "a repository must be named ORG/NAME, got 'net'"),
    ],
)
def test_what_the_hub_refuses_is_one_line_without_the_token(
    run, hub, capsys, monkeypatch, token, repo, says
):
    monkeypatch.setenv("HF_TOKEN", token)
    code, said = neuromas(capsys, "push", run, repo)
    assert code == 2 and said.startswith(f"error: {says}") and said.count("\n") == 1
    assert "Secret" not in said and not hub.files


def test_no_network(run, hub, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    code, said = neuromas(capsys, "push", run, "me/net")
    assert code == 2 and said.count("\n") == 1
    assert said.startswith("error: the hub cannot be asked about me/net (ConnectError); check")


def test_what_is_no_finished_run_is_refused(run, hub, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is no run folder: it holds no config.yaml"):
        push(tmp_path, "me/net")
    unfinished = tmp_path / "my run"
    unfinished.mkdir()
    (unfinished / "config.yaml").touch()
    with pytest.raises(InputError, match=f"no result yet; .*train --resume '{unfinished}'"):
        push(unfinished, "me/net")
    assert not hub.asked


def test_a_folder_is_looked_for_here_before_the_hub_is_asked(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert run_folder("runs/misspelt").as_posix() == "runs/misspelt"
    with pytest.raises(InputError, match="the hub"):
        run_folder("me/nothing")
