import subprocess
import sys
import time

import pytest

from neuromas_env.agents.engines.openai import OpenAIEngine
from neuromas_env.agents.engines.servers.address import Address, read_address
from neuromas_env.errors import InputError

UNUSABLE = (
    "", "x", "localhost:8000/v1", "htp:/x", "ftp://host/v1", "http:/host", "http://", "http:///v1",
    "http://:80/v1", "http://host:99999/v1", "http://host:0/v1", "http://host:port/v1",
    "http://[::1/v1", "http://ho st/v1", "http://host\n/v1", "http://host\\v1", "http://\x1b[2J/v1",
    "file:///etc/passwd", "http://☃.net/v1", "http://\ud800/v1", "http://me:secret@", "htp://me:secret@host?api_key=secret",
)  # fmt: skip


@pytest.mark.parametrize("text", UNUSABLE, ids=repr)
def test_an_unusable_address_is_one_line_without_secrets(text):
    with pytest.raises(InputError, match="base_url must be http") as error:
        OpenAIEngine("m", base_url=text)
    said = str(error.value)
    assert said.isprintable() and "secret" not in said


def test_what_is_secret_in_an_address_stands_apart():
    address = read_address("https://me:p%40ss@host:1/v1?api_key=k%26y&version=2#x")
    assert address == Address(
        "https://host:1/v1", ("me", "p@ss"), {"api_key": "k&y", "version": "2"}
    )
    assert list(address.secrets) == ["p@ss", "k&y"]
    assert list(read_address("http://token@host").secrets) == ["token"]


def test_a_key_that_cannot_be_sent_is_said_and_not_shown():
    with pytest.raises(InputError, match="ASCII") as error:
        OpenAIEngine("m", base_url="http://localhost:1", api_key="sk-secret\n")
    assert "secret" not in str(error.value)


@pytest.mark.slow
def test_the_command_says_so_at_once_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "neuromas_env", "bench", "--methods", "direct"]
    command += ["--tasks", "hierarchy/max", "--engine", "openai", "--base-url", "http://me:secret@"]
    started = time.monotonic()
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True
    )
    assert ended.returncode == 2 and "base_url must be" in " ".join(ended.stderr.split())
    assert "secret" not in ended.stdout + ended.stderr and not (tmp_path / "out").exists()
    assert time.monotonic() - started < 20
