"""The whole corpus, tried input by input."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from fuzz.commands import CONFIGS, lines, options
from fuzz.constructors import calls
from fuzz.files import DAMAGED
from fuzz.outcome import Outcome, call, command

Tried = Iterator[tuple[str, str, Outcome]]
"""What was tried: its group, its name and what became of it."""


def try_commands(places: Mapping[str, str], share: slice = slice(None)) -> Tried:
    """Try every bad command line."""
    for name, words in [*lines(), *options()][share]:
        given = [filled(word, places) for word in words]
        outcome = _kept(places, command(given))
        yield f"command {name}", " ".join(words)[-100:], outcome


def try_configs(places: Mapping[str, str], share: slice = slice(None)) -> Tried:
    """Try every bad configuration."""
    file = Path(places["config"])
    for name, texts in CONFIGS.items():
        for text in texts[share]:
            file.write_text(text)
            words = [name, "--model", "./nowhere", "--config", str(file)]
            yield "file config.yaml", f"{name} {text!r}"[:100], _kept(places, command(words))
    file.unlink(missing_ok=True)


def try_files(places: Mapping[str, str], share: slice = slice(None)) -> Tried:
    """Try every damaged file; what was there is put back."""
    for damaged in DAMAGED:
        for name, file, content, words in list(damaged.inputs(places))[share]:
            before = file.read_bytes() if file.is_file() else None
            file.write_bytes(content)
            outcome = _kept(places, command(words))
            if before is None:
                file.unlink(missing_ok=True)
            else:
                file.write_bytes(before)
            yield f"file {file.name}", f"{words[0]} {name}", outcome


def try_calls(places: Mapping[str, str], share: slice = slice(None)) -> Tried:
    """Try every bad argument."""
    for name, argument, made in [*calls()][share]:
        given = {
            key: filled(value, places) if isinstance(value, str) else value
            for key, value in made.keywords.items()
        }
        yield f"call {name}", argument, call(partial(made.func, *made.args, **given), True)


def filled(word: str, places: Mapping[str, str]) -> str:
    """Return a word with the folders that it names."""
    for name, place in places.items():
        word = word.replace(f"{{{name}}}", place)
    return word


def _kept(places: Mapping[str, str], outcome: Outcome) -> Outcome:
    """Take away what an input wrote; one that was refused must have written nothing."""
    written = [Path(places["new"]), *Path(places["tmp"]).iterdir()]
    written = [path for path in written if path.exists()]
    for path in written:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if written and outcome.code == 2 and not outcome.fault:
        return Outcome("written", 2, f"{outcome.text}\nwrote {written[0].name}")
    return outcome


def digest(folder: str) -> str:
    """Return a hash of what a folder holds."""
    found = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.update(f"{path}\0".encode() + path.read_bytes())
    return found.hexdigest()
