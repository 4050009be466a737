"""Model names, and loading what they name."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_models import FAMILIES, make_tiny, tiny_tokenizer
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from neuromas_env.agents.engines.devices import precision
from neuromas_env.agents.engines.models import (
    HUB_TIMEOUT,
    load_base,
    resolve_model,
    weights_hash,
)
from neuromas_env.errors import InputError

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny("llama", tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def own_copy(tiny, tmp_path) -> Path:
    """A tiny model's folder that a test may break."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


# --- loading -------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_any_family_loads_frozen(family, tmp_path, capfd):
    folder = make_tiny(family, tmp_path)
    capfd.readouterr()
    loaded = load_base(str(folder), dtype="float32")
    assert loaded.name == str(folder)
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    ids = torch.tensor([loaded.tokenizer.encode("Which number?")])
    assert torch.isfinite(loaded.model(ids).logits).all()
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()


@pytest.mark.slow
@pytest.mark.model
def test_the_default_model_is_one_set_of_weights_and_answers(smollm2):
    assert smollm2.weights_hash == "341a2e58cad68e4f"
    assert {p.dtype for p in smollm2.model.parameters()} == {getattr(torch, precision("auto"))}
    prompt = "The capital of France is"
    ids = smollm2.tokenizer(prompt, return_tensors="pt").input_ids
    best = smollm2.model(ids).logits[0, -1].argmax()
    assert smollm2.tokenizer.decode([best]) == " Paris"


def test_weights_hash_is_the_weights_alone(tiny, tmp_path):
    exact = load_base(str(tiny), dtype="float32")
    exact.model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    sharded = AutoModelForCausalLM.from_pretrained(tmp_path / "shards")
    assert weights_hash(sharded) == exact.weights_hash
    assert load_base(str(tiny), dtype="bfloat16").weights_hash == exact.weights_hash
    assert re.fullmatch("[0-9a-f]{16}", exact.weights_hash)

    with torch.no_grad():
        sharded.model.norm.weight[3] += 0.5
    assert weights_hash(sharded) != exact.weights_hash
    other = make_tiny("llama", tmp_path / "other", seed=1)
    assert load_base(str(other)).weights_hash != exact.weights_hash


def test_device_auto_loads_somewhere(tiny):
    device = load_base(str(tiny), device="auto").model.device.type
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")


# --- GGUF ----------------------------------------------------------------------------


def write_gguf(path: Path, folder: Path, rule: str) -> Path:
    """Write a tiny Llama-type model the way llama.cpp's converter does."""
    config = json.loads((folder / "config.json").read_text())
    tokenizer = tiny_tokenizer("llama")
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokenizer))])
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, value in load_file(folder / "model.safetensors").items():
        if ".q_proj" in name or ".k_proj" in name:  # GGUF pairs a head's rotated halves
            heads = config["num_attention_heads" if ".q_proj" in name else "num_key_value_heads"]
            halves = value.reshape(heads, 2, value.shape[0] // heads // 2, -1)
            value = halves.transpose(1, 2).reshape(value.shape).contiguous()
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_converted_once_and_known_by_content(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    file = write_gguf(tmp_path / "tiny.gguf", tiny, rule="gpt-2")
    loaded = load_base(str(file))
    assert "converting" in capfd.readouterr().err
    assert loaded.weights_hash == load_base(str(tiny)).weights_hash
    assert loaded.tokenizer.chat_template == tiny_tokenizer("llama").chat_template
    text = "the answer\n\n12"
    assert loaded.tokenizer.encode(text) == tiny_tokenizer("llama").encode(text)

    renamed = file.rename(tmp_path / "same.gguf")
    capfd.readouterr()
    assert resolve_model(str(renamed)) == resolve_model(str(renamed))
    assert len(list((tmp_path / "cache" / "models").glob("gguf-*"))) == 1
    assert capfd.readouterr().err == ""


def test_a_gguf_file_of_smollms_rule_keeps_digits_apart(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    file = write_gguf(tmp_path / "tiny.gguf", tiny, rule="smollm")
    tokenizer = load_base(str(file), quiet=True).tokenizer
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a\n\n12")
    assert [piece for piece, _ in pieces] == ["a", "ĊĊ", "1", "2"]


def test_a_broken_gguf_file_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(InputError, match="cannot load model .*broken.gguf"):
        load_base(str(tmp_path / "broken.gguf"), quiet=True)
    assert not list((tmp_path / "cache" / "models").glob("*gguf-*[!k]"))


def test_a_full_disk_during_conversion_is_said(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    file = write_gguf(tmp_path / "tiny.gguf", tiny, rule="gpt-2")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot write .*NEUROMAS_CACHE"):
            resolve_model(str(file), quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = {path.name for path in (tmp_path / "cache" / "models").iterdir()}
    assert all(name.endswith(".lock") for name in left)


# --- the hub -------------------------------------------------------------------------


def resolve_from(endpoint: str, cache: Path, name: str, timeout: float = 5) -> str:
    """Resolve a hub id in a process of its own: the hub's client reads its settings once."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
    script = (
        "import sys, time, huggingface_hub\n"
        "from neuromas_env.agents.engines import models\n"
        "from neuromas_env.errors import InputError\n"
        "models.HUB_TIMEOUT = float(sys.argv[2])\n"
        "start = time.monotonic()\n"
        "try: print(models.resolve_model(sys.argv[1], quiet=True))\n"
        "except InputError as error: print(f'{time.monotonic() - start:.1f}', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name, str(timeout)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def hub(own_copy, tmp_path):
    """A hub with one model, `org/tiny`; yields its address."""
    files = {path.name: path.read_bytes() for path in own_copy.iterdir()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            kind, _, rest = self.path.lstrip("/").partition("?")[0].partition("org/tiny")
            if kind == "api/models/" and rest.startswith("/tree"):
                self.answer(
                    json.dumps(
                        [
                            {"type": "file", "path": name, "size": len(data), "oid": name}
                            for name, data in files.items()
                        ]
                    ).encode()
                )
            elif kind == "api/models/":
                self.answer(json.dumps({"id": "org/tiny", "sha": SHA, "siblings": []}).encode())
            elif rest.startswith(f"/resolve/{SHA}/"):
                self.answer(files[rest.rpartition("/")[2]], ETag=f'"{rest.rpartition("/")[2]}"')
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def answer(self, body: bytes, **headers: str) -> None:
            self.send_response(200)
            for name, value in {"X-Repo-Commit": SHA, **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_hub_id_is_downloaded_once_and_then_needs_no_hub(hub, tiny, tmp_path):
    first = resolve_from(hub, tmp_path / "hf", "org/tiny")
    assert load_base(first).weights_hash == load_base(str(tiny)).weights_hash
    again = resolve_from("http://127.0.0.1:9", tmp_path / "hf", "org/tiny")
    assert again == first


@pytest.mark.slow
def test_a_name_that_the_hub_does_not_know(hub, tmp_path):
    printed = resolve_from(hub, tmp_path / "hf", "org/nothing")
    assert "the hub has no model 'org/nothing'" in printed


@pytest.mark.slow
def test_no_network(tmp_path):
    printed = resolve_from("http://127.0.0.1:9", tmp_path / "hf", "org/tiny")
    assert "the hub is out of reach" in printed and "smollm2-135m" in printed


@pytest.mark.slow
def test_a_silent_hub_is_given_up_in_time(tmp_path):
    assert HUB_TIMEOUT <= 5
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        printed = resolve_from(endpoint, tmp_path / "hf", "org/tiny", timeout=0.5)
    seconds, _, message = printed.partition(" ")
    assert "the hub is out of reach" in message
    assert float(seconds) < 9  # the hub client itself would wait for 10 s and try again


# --- bad input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm2-135", "unknown model 'smollm2-135'. Did you mean 'smollm2-135m'.*hub id"),
        ("a/b/c", "unknown model 'a/b/c'"),
        ("./nowhere", "no such file or folder"),
        ("nowhere.gguf", "no such file or folder"),
        (__file__, "must be a folder or a .gguf file"),
        (str(Path(__file__).parent), "holds no model: give one with config.json"),
    ],
    ids=["misspelt", "not an id", "no folder", "no GGUF file", "a file", "a folder of else"],
)
def test_what_is_no_model_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        resolve_model(name)


def test_unknown_precision_and_device(tiny):
    with pytest.raises(InputError, match="unknown precision 'bf16'.*'bfloat16'"):
        load_base(str(tiny), dtype="bf16")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        load_base(str(tiny), device="gpu")


def test_a_model_without_chat_template_is_refused(own_copy):
    (own_copy / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="has no chat template.*chat_template.jinja"):
        load_base(str(own_copy))


def test_missing_weights_are_refused(own_copy):
    weights = load_file(own_copy / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, own_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks the weights model.layers.1.mlp.up_proj.weight"):
        load_base(str(own_copy))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_half_a_file_is_refused(own_copy, file):
    data = (own_copy / file).read_bytes()
    (own_copy / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot load model"):
        load_base(str(own_copy))


@pytest.mark.parametrize("package", ["torch", "transformers", "peft", "gguf"])
def test_a_missing_package_names_the_extra(package, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"needs {package}.*neuromas-env\[llm\]"):
        load_base(str(tiny))
