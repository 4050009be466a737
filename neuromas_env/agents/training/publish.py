"""Trained networks on the Hugging Face hub: adapters, options, result and a model card.

A repository holds `node_K/`, each an adapter in PEFT's format, `config.yaml`, `run.json`,
`result.json`, `metrics.jsonl` and `state.json` as in a run folder, and `README.md`. It holds
neither transcripts, which quote the task's rows, nor optimiser states.
"""

from __future__ import annotations

import functools
import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from neuromas_env.agents.training.card import HUB_ID, model_card
from neuromas_env.config import read_config
from neuromas_env.downloads import build_once, cache_dir
from neuromas_env.errors import InputError
from neuromas_env.files import read

FILES = ("run.json", "metrics.jsonl", "config.yaml", "result.json")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
OWN_PLACES = ("out", "data")
"""Options that name folders of one machine, and are not uploaded."""


def push(run: str | Path, repo: str, private: bool = False) -> str:
    """Upload a finished run's network to the hub; files of an earlier upload are replaced.

    Args:
        run: The run folder.
        repo: Where to, as `ORG/NAME`; made if it is not there.
        private: Whether only its owners see it.

    Returns:
        The repository's address.

    Raises:
        InputError: The run is not finished or no run, the name is none, the repository is public
            already and `private` is asked for, or the hub refuses the token or is out of reach.
    """
    if not HUB_ID.fullmatch(repo):
        raise InputError(f"a repository must be named ORG/NAME, got {repo!r}")
    run = Path(run)
    if not (run / "config.yaml").is_file():
        raise InputError(f"{run} is no run folder: it holds no config.yaml")
    if not (run / "result.json").is_file():
        end = f"neuromas train --resume {shlex.quote(str(run))}"
        raise InputError(f"{run} has no result yet; end it with: {end}")
    from huggingface_hub import HfApi

    api = HfApi(library_name="neuromas-env")
    with TemporaryDirectory() as folder:
        _gather(run, repo, Path(folder))
        with _asking(repo):
            address = api.create_repo(repo, private=private or None, exist_ok=True)
            if private and not api.model_info(repo).private:
                raise InputError(
                    f"{repo} is public already, so it cannot be pushed to with private; change "
                    "that on its page of settings, or give another name"
                )
            api.upload_folder(
                repo_id=repo,
                folder_path=folder,
                commit_message="Upload a network trained by NeuroMAS-env",
                delete_patterns="node_*",
            )
    return str(address)


def _gather(run: Path, repo: str, folder: Path) -> None:
    """Fill a folder with what is uploaded."""
    from neuromas_env.agents.training import checkpoint

    source = checkpoint.kept(run)
    nodes = tuple(checkpoint.read_state(source).adapters)
    config, result = read_config(run / "config.yaml"), read(run / "result.json")
    kept = {name: value for name, value in config.items() if name not in OWN_PLACES}
    if (smaller := kept.get("grow_from")) and Path(smaller).exists():
        # Its training cost is not known elsewhere, so that the option stays; its place does not.
        kept["grow_from"] = Path(smaller).resolve().name
    try:
        for name in FILES[:2]:
            shutil.copyfile(run / name, folder / name)
        shutil.copyfile(source / "state.json", folder / "state.json")
        for node in nodes:
            (folder / node).mkdir()
            for name in ADAPTER:
                shutil.copyfile(source / "adapters" / node / name, folder / node / name)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
    base = read(folder / nodes[-1] / ADAPTER[0])["base_model_name_or_path"]
    card = model_card(repo, base, config, result)
    (folder / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    told = json.dumps(result | {"folder": repo}, indent=1)
    (folder / "result.json").write_text(told, encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def run_folder(run: str | Path) -> Path:
    """Return the folder of a run; one that `push` has uploaded, named `ORG/NAME`, is fetched.

    What lies in a folder that exists is looked for there alone.

    Raises:
        InputError: It is on the hub and cannot be fetched from there.
    """
    folder = Path(run)
    if folder.exists() or folder.parent.exists() or not HUB_ID.fullmatch(folder.as_posix()):
        return folder
    return _fetch(folder.as_posix())


@functools.cache
def _fetch(repo: str) -> Path:
    """Return a folder of the cache, laid out as training does, with what the hub has of a run."""
    from huggingface_hub import snapshot_download

    wanted = [*FILES, "state.json", *(f"node_*/{name}" for name in ADAPTER)]
    with _asking(repo):
        snapshot = Path(snapshot_download(repo, allow_patterns=wanted))
    if not (snapshot / "state.json").is_file():
        raise InputError(f"{repo} on the hub holds no network that `neuromas push` has uploaded")
    from neuromas_env.agents.training import checkpoint

    step = checkpoint.read_state(snapshot).step

    def build(part: Path) -> None:
        end = part / "checkpoints" / f"step_{step:06d}"
        for node in snapshot.glob("node_*"):
            shutil.copytree(node, end / "adapters" / node.name)
        shutil.copyfile(snapshot / "state.json", end / "state.json")
        for name in FILES:
            shutil.copyfile(snapshot / name, part / name)

    return build_once(cache_dir() / "runs" / f"{repo.replace('/', '--')}-{snapshot.name}", build)


@contextmanager
def _asking(repo: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line.

    The client's own words stay out: about a header that cannot be sent they quote the token in it.
    """
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except InputError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = {
            401: f"does not know the token or {repo}; run `hf auth login`, or set HF_TOKEN",
            403: f"does not let this token write to {repo}; give one that may, or another name",
            404: f"has no {repo}, or it is not open to you; run `hf auth login`",
        }.get(status, f"answers {status} to a request for {repo}; try again later")
        raise InputError(f"the hub {said}") from error
    except Exception as error:  # the client has changed its network library before
        raise InputError(
            f"the hub cannot be asked about {repo} ({type(error).__name__}); check the network and "
            "the token"
        ) from error
