import html
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.agents.engines.servers.secrets import PLACEHOLDERS, LogFilter, cutter

KEY = "sk-Qz7/w+9'x\"é<&"
WRITTEN = {
    "as it is": lambda text: text,
    "percent": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "path": quote,
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json with slashes": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "repr of json": lambda text: repr(json.dumps(text)),
    "html": html.escape,
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 for urls": lambda text: urlsafe_b64encode(text.encode()).decode(),
    **{
        f"base64 from byte {n}": lambda text, n=n: b64encode(
            b"x" * n + text.encode() + b"yz"
        ).decode()
        for n in range(1, 5)
    },
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_key_is_cut_however_it_is_written(form):
    said = cutter([KEY])(f"no such key: {WRITTEN[form](KEY)}, sorry")
    assert said.startswith("no such key: ") and said.endswith(", sorry") and "***" in said
    core = KEY if "base64" not in form else b64encode(KEY.encode()).decode()[4:-4]
    assert core not in said and "Qz7" not in said


def test_a_short_password_is_cut_beside_its_name_alone():
    cut = cutter(["pw"], [("me", "pw")])
    token = b64encode(b"me:pw").decode()
    assert cut(f"http://me:pw@host Basic {token}") == "http://***@host Basic ***"
    assert cut("what a pw") == "what a pw"


@pytest.mark.parametrize("key", [*sorted(PLACEHOLDERS), "EMPTY", ""])
def test_what_opens_nothing_stays(key):
    text = f"the answer is {key}."
    assert cutter([key])(text) == text


@given(st.text(alphabet="abcdefghijkl mnop", max_size=40))
def test_other_texts_are_left_alone(text):
    assert cutter([KEY, "tok&en=77"], [("me", "pa ss/w0rd")])(text) == text


@given(st.text(min_size=8, max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_no_key_is_left(key, before, behind):
    said = cutter([key])(before + key + behind)
    assert "***" in said or key.lower() in PLACEHOLDERS


def test_the_log_is_cut_while_the_filter_is_there(caplog):
    caplog.set_level(logging.DEBUG)
    log = logging.getLogger("httpx")
    there = LogFilter(cutter(["sk-secret"]))
    log.info("POST %s", "http://host?api_key=sk-secret")
    try:
        raise ValueError("sk-secret")
    except ValueError:
        log.exception("failed")
    assert "sk-secret" not in caplog.text and "api_key=***" in caplog.text
    assert "ValueError: ***" in caplog.text
    there.remove()
    log.info("sk-secret")
    assert "sk-secret" in caplog.text
