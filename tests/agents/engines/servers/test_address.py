import subprocess
import sys
import time

import pytest

from neuromas_env.agents.engines.openai import OpenAIEngine
from neuromas_env.agents.engines.servers.address import Address, read_address
from neuromas_env.bench.config import BenchConfig
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


UUID = "7f9c2ba4-e88f-4d3a-9c1b-0a1b2c3d4e5f"
TOKEN = "Zk3vQ9x7Lm2pR8tW"
PATHS = {
    f"https://host/{TOKEN}/v1": TOKEN,
    f"https://host/v1/sk-proj-{TOKEN}/": f"sk-proj-{TOKEN}",
    "https://host/token/abcdef-9/v1": "abcdef-9",
    "https://host/api_key/abcd%2F%3F99": "abcd/?99",
    f"https://host/{UUID}/openai": UUID,
}
OPEN = (
    "https://host/v1", "https://api.openai.com/v1", "https://host/openai/deployments/gpt-4o-mini-2024-07-18",
    "https://host/models/meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo/v1", "https://host/auth/v1beta",
    "https://host/authors/internationalisation/v1", "http://localhost:8000/v1",
)  # fmt: skip


@pytest.mark.parametrize(("text", "token"), PATHS.items())
def test_a_token_in_the_path_is_never_shown(text, token):
    address = read_address(text)
    assert list(address.secrets) == [token] and address.url == text
    assert address.shown.count("***") == 1 and token not in address.shown
    asked = {"out": "o", "methods": ("direct",), "tasks": ("arc",), "base_url": text}
    assert token not in BenchConfig(**asked).command
    engine = OpenAIEngine("m", base_url=text, api_key="none")
    assert "***" in engine.base_url and token not in f"{engine.settings} {engine.base_url}"
    with pytest.raises(InputError) as error:
        read_address(text.replace("https", "htp"))
    assert token not in str(error.value) and text.rpartition("/")[2] != token
    engine.close()


@pytest.mark.parametrize("text", OPEN)
def test_names_in_a_path_are_shown(text):
    address = read_address(text)
    assert list(address.secrets) == [] and address.shown == text


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
