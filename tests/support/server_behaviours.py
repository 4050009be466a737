"""Ways in which servers behave, each with what has to come of it.

A behaviour is `name: (script, right)`, or with options of the engine as a third. `right` is the
text of the reply, or an `Error` with a pattern that the error of that call matches. To print how
many of each kind end as they should:

    PYTHONPATH=tests python -m support.server_behaviours
"""

import json
import re
import time
from base64 import b64encode
from urllib.parse import quote, urlencode

from support.odd_server import OddServer

from neuromas_env.agents.engines.openai import OpenAIEngine
from neuromas_env.policy import Request, Sampling

KEY, PASSWORD, TOKEN = "sk-Qz7/w+9'x\"", "pä ss/w0rd", "tok&en=77"
SHORT = 0.5  # seconds for a call whose server is slow
LONGEST = 8.0  # seconds that any call may take on a busy machine


class Error(str):
    """A pattern of an error."""


def http(status=200, body="", **headers):
    data = body if isinstance(body, bytes) else body.encode()
    named = {"content_type": "application/json", "content_length": len(data), **headers}
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in named.items() if v is not None]
    head = "\r\n".join([f"HTTP/1.1 {status} x", *lines, "connection: close"])
    return f"{head}\r\n\r\n".encode() + data


def chat(content="42", *, message=None, usage=(7, 3), finish="stop", **fields):
    said = {"role": "assistant", "content": content} if message is None else message
    used = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True)) if usage else None
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return json.dumps({"id": "1", "choices": [choice], "usage": used, **fields})


def answer(*parts, **options):
    """Answer so every time."""
    return lambda call: [http(200, chat(*parts, **options))]


def says(body, status=200, **headers):
    """Answer with a body, every time."""
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return lambda call: [http(status, text, **headers)]


def then_right(*first):
    """Answer the first calls so, and the others right."""
    return lambda call: [*first[call.number : call.number + 1]] or [http(200, chat())]


def refuses(status, words, *faulty):
    """Refuse calls of which one of some tests is true."""

    def script(call):
        wrong = next((i for i, is_wrong in enumerate(faulty) if is_wrong(call.body)), None)
        if wrong is None:
            return [http(200, chat())]
        said = words[wrong] if isinstance(words, list) else words
        return [http(status, said if isinstance(said, str) else json.dumps(said))]

    return script


def choice(text, **index):
    return {**index, "message": {"content": text}, "finish_reason": "stop"}


def chunked(*pieces):
    yield b"HTTP/1.1 200 x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def endless(head):
    def script(call):
        yield head.encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        while True:
            yield b"10000\r\n" + b" " * 65536 + b"\r\n"

    return script


def drip(data, seconds):
    def script(call):
        for byte in data:
            yield bytes([byte])
            yield seconds

    return script


def echo(status, encode=lambda text: text, whole=False):
    """Send back head and body of the request, in an error or as a reply."""

    def script(call):
        said = encode(f"{call.head}\n{call.raw}")
        body = chat(said, usage=(7, 1000)) if whole else json.dumps({"error": {"message": said}})
        return [http(status, body)]

    return script


def in_base64(text):
    return b64encode(text[text.lower().index("authorization") :].encode()).decode()


def elsewhere(status, place):
    return says("", status, location=place)


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm, 41?"}]},
    {"type": "text", "text": "It is "},
    {"type": "text", "text": "42."},
]
TOO_LONG = {"error": {"message": "maximum context length is 10 tokens, reduce max_tokens"}}
SLOW, ONCE, FEW = {"timeout": SHORT, "retries": 0}, {"retries": 0}, {"retries": 2}
SOON = {"retry_after_ms": "10"}

KINDS = {
    "forms of a reply": {
        "plain": (answer(), "42"),
        "parts": (answer(PARTS), "It is 42."),
        "output_text": (answer([{"type": "output_text", "text": "42"}]), "42"),
        "foreign_parts": (answer([7, None, {}, {"type": "text"}, PARTS[2]]), "42."),
        "lone_surrogate": (answer("4\ud8002"), "4\ufffd2"),
        "lone_surrogate_in_part": (answer([{"type": "text", "text": "\udfff42"}]), "\ufffd42"),
        "not_utf8": (says(chat("4X2").encode().replace(b"X", b"\xff")), "4\ufffd2"),
        "byte_order_mark": (says(b"\xef\xbb\xbf" + chat().encode()), "42"),
        "slow_charset": (says(chat("é"), content_type="text/x; charset=punycode"), "é"),
        "blanks_around": (says(f"\n\n {chat()} \n"), "42"),
        "control_characters": (answer("4\x00\x1b[2J2"), "4\x00\x1b[2J2"),
        "unknown_fields": (answer(choices_=[[[{}]]], object=7, model=None), "42"),
        "same_key_twice": (says('{"choices": 7, ' + chat()[1:]), "42"),
        "no_content_type": (says(chat(), content_type=None), "42"),
        "content_type_html": (says(chat(), content_type="text/html"), "42"),
        "without_length": (says(chat(), content_length=None), "42"),
        "chunks_of_a_byte": (lambda call: chunked(*[bytes([b]) for b in chat().encode()]), "42"),
        "early_hints": (lambda call: [b"HTTP/1.1 103 x\r\n\r\n", http(200, chat())], "42"),
        "no_finish_reason": (answer(finish=None), "42"),
        "empty_text": (answer("", usage=(7, 1)), ""),
        "refusal_null": (answer(message={"content": "42", "refusal": None}), "42"),
    },
    "choices": {
        "out_of_order": (answer(choices=[choice("no", index=1), choice("42", index=0)]), "42"),
        "without_index": (answer(choices=[choice("42"), choice("no", index=1)]), "42"),
        "index_null": (answer(choices=[choice("42", index=None)]), "42"),
        "same_index": (answer(choices=[choice("42", index=0), choice("no", index=0)]), "42"),
        "index_text": (answer(choices=[choice("42", index="first")]), Error("choices.index")),
        "none": (answer(choices=[]), Error("without a choice")),
        "null": (answer(choices=None), Error("without a choice")),
        "object": (answer(choices={"0": 1}), Error("choices")),
        "of_null": (answer(choices=[None]), Error("choices")),
        "message_null": (answer(choices=[{"message": None}]), Error("message")),
    },
    "no answer": {
        "content_null": (answer(None), Error("without any text")),
        "content_null_no_tokens": (answer(None, usage=(7, 0)), Error("without any text")),
        "content_missing": (answer(message={}), Error("without any text")),
        "content_object": (answer({"text": "42"}), Error("message.content")),
        "content_number": (answer(42), Error("message.content")),
        "thoughts_alone": (answer(PARTS[:1]), Error("without any text")),
        "reasoning_alone": (
            answer(message={"content": None, "reasoning_content": "42"}), Error("without any text")
        ),
        "tool_call": (
            answer(message={"content": None, "tool_calls": [{}]}), Error("without any text")
        ),
        "empty_no_tokens": (answer("", usage=(7, 0)), Error("without any text")),
        "filtered": (answer(finish="content_filter"), Error("filter")),
        "refusal": (answer(message={"content": None, "refusal": "I cannot"}), Error("I cannot")),
        "error_with_200": (says({"error": {"message": "overloaded"}}), Error("overloaded")),
    },
    "counts of tokens": {
        "of_what_was_new": (answer(usage=(0, 3)), "42"),
        "floats": (answer(usage=(7.0, 3.0)), "42"),
        "absent": (answer(usage=None), Error("cost cannot be counted")),
        "zero": (answer("word " * 99, usage=(0, 0)), Error("counts 0 tokens")),
        "zero_of_a_reply": (answer("word " * 99, usage=(7, 0)), Error("counts 0 tokens")),
        "too_few": (answer("word " * 999, usage=(7, 1)), Error("counts 1 tokens")),
        "negative": (answer(usage=(7, -3)), Error("usage.completion_tokens")),
        "absurd": (answer(usage=(7, 10**12)), Error("usage.completion_tokens")),
        "absurd_prompt": (answer(usage=(10**12, 3)), Error("usage.prompt_tokens")),
        "of_400_digits": (answer(usage=(7, 10**400)), Error("usage.completion_tokens")),
        "of_5000_digits": (
            says(chat().replace('"completion_tokens": 3', f'"completion_tokens": {"9" * 5000}')),
            Error("no JSON"),
        ),
        "words": (answer(usage=(7, "many")), Error("usage.completion_tokens")),
        "list": (says(json.dumps(json.loads(chat()) | {"usage": [7]})), Error("usage")),
    },
    "no reply at all": {
        "html": (says("<!DOCTYPE html><p>Sign in"), Error("no JSON: <!DOCTYPE html>")),
        "empty": (says(""), Error("no JSON: nothing")),
        "no_content": (says("", 204, content_length=None), Error("no JSON: nothing")),
        "event_stream": (says(f"data: {chat()}\n\n"), Error("no JSON: data:")),
        "half_json": (says(chat()[:50]), Error("no JSON")),
        "list": (says([chat()]), Error("at its top")),
        "null": (says(None), Error("at its top")),
        "nan": (says("NaN"), Error("at its top")),
        "deep": (says("[" * 100_000), Error("no JSON")),
        "no_http": (lambda call: [b"SSH-2.0-x\r\n"], Error("ProtocolError"), ONCE),
        "huge_head": (lambda call: [b"HTTP/1.1 200 x\r\na: " + b"x" * 200_000], Error("."), ONCE),
        "compressed": (says("x", content_encoding="gzip"), Error("compresses")),
        "endless": (endless("HTTP/1.1 200 x"), Error("longer than 16 MiB")),
        "endless_error": (endless("HTTP/1.1 400 x"), Error("longer than 16 MiB")),
        "closed": (lambda call: [], Error("disconnected"), ONCE),
        "half_a_body": (says(chat(), content_length=999), Error("closed"), ONCE),
    },
    "time": {
        "body_drips": (drip(http(200, chat()), 0.02), Error("within 0.5 s"), SLOW),
        "head_drips": (drip(b"HTTP/1.1 200 x\r\nx: " + b"x" * 999, 0.02), Error("0.5 s"), SLOW),
        "error_drips": (drip(http(500, "x" * 999), 0.02), Error("0.5 s"), SLOW),
        "silence": (lambda call: [3.0], Error("in time|within 0.5 s|timed out"), SLOW),
        "silence_after_head": (lambda call: [http(200, chat())[:50], 3.0], Error("."), SLOW),
        "asks_to_wait_long": (
            says("", 429, retry_after="100"), Error("within 0.5 s"), {"timeout": SHORT}
        ),
        "asks_to_wait_forever": (says("", 429, retry_after="1e99"), Error("429|within"), SLOW),
    },
    "failures that pass": {
        "rate_limit": (then_right(http(429, "", **SOON), http(429, "", **SOON)), "42", FEW),
        "overload": (then_right(http(503, "<html>", **SOON)), "42", FEW),
        "dropped_connection": (then_right(b""), "42", FEW),
        "half_a_body_once": (then_right(http(200, chat(), content_length=999)), "42", FEW),
    },
    "statuses": {
        "bad_key": (says({"error": {"message": "bad key"}}, 401), Error("401 - bad key")),
        "no_such_model": (says({"error": "no model m"}, 404), Error("404.*no model m")),
        "too_large": (says("", 413), Error("413")),
        "broken": (says("oops", 500), Error("500 - oops"), ONCE),
        "gateway_page": (says("<html>502", 502), Error("502 - <html>502"), ONCE),
        "long_words": (says("x" * 10**6, 400), Error("^.{0,600}$")),
        "escapes": (says("\x1b[2J\u202eno", 400), Error(r"\\x1b\[2J\\u202eno")),
        "surrogate": (says({"error": {"message": "no \ud800"}}, 400), Error("400 - no .")),
        "error_number": (says("7", 400), Error("400 - 7")),
        "error_nested": (says('{"error":' * 500 + "7" + "}" * 500, 400), Error("400")),
        "error_deep": (says("[" * 100_000, 400), Error("400")),
        "context": (says(TOO_LONG, 400), Error("maximum context length")),
        "redirect_away": (elsewhere(307, "http://127.0.0.2:1/"), Error("redirects to .*127.0.0.2")),
        "redirect_here": (elsewhere(302, "/other/v1"), Error("redirects to '/other/v1'")),
        "redirect_odd": (elsewhere(308, "ht!tp://["), Error("redirects")),
    },
    "refusals": {
        "seed": (
            refuses(422, {"detail": [{"loc": ["body", "seed"], "msg": "extra field"}]},
                    lambda body: "seed" in body), "42",
        ),
        "seed_in_plain_words": (refuses(400, "unknown field `seed`", lambda b: "seed" in b), "42"),
        "temperature_0": (
            refuses(400, {"error": {"message": "must be positive", "param": "temperature"}},
                    lambda body: body.get("temperature") == 0), "42",
        ),
        "top_p": (refuses(400, {"error": "top_p is no option"}, lambda b: "top_p" in b), "42"),
        "system_role": (
            refuses(400, {"message": "System role not supported"},
                    lambda body: body["messages"][0]["role"] == "system"), "42",
        ),
        "max_tokens": (
            refuses(400, {"error": {"message": "Unrecognized: max_tokens"}},
                    lambda body: {"max_tokens", "max_completion_tokens"} & set(body)), "42",
        ),
        "older_name_of_the_limit": (
            refuses(400, {"error": {"message": "use 'max_completion_tokens', not max_tokens"}},
                    lambda body: "max_completion_tokens" not in body), "42",
        ),
        "everything": (
            refuses(422, [{"detail": "no seed"}, {"detail": "no top_p"}, {"detail": "temperature"},
                          {"detail": "messages.0.role"}, {"detail": "max_tokens unsupported"}],
                    lambda b: "seed" in b, lambda b: "top_p" in b, lambda b: "temperature" in b,
                    lambda b: b["messages"][0]["role"] == "system", lambda b: "max_tokens" in b),
            "42",
        ),
        "without_words": (says("", 422), Error("422")),
        "whatever_is_left_out": (says({"error": "seed, top_p"}, 400), Error("seed, top_p")),
    },
    "echoes of the request": {
        "of_the_key": (echo(400), Error("authorization: Bearer \\*\\*\\*"), ONCE),
        "of_the_password": (echo(400), Error("Authorization: Basic \\*\\*\\*"), ONCE),
        "in_a_page": (lambda call: [http(500, call.head)], Error("api_key=\\*\\*\\*"), ONCE),
        "as_repr": (echo(400, repr), Error("authorization: Bearer \\*\\*\\*"), ONCE),
        "as_json": (echo(400, json.dumps), Error("authorization: Bearer \\*\\*\\*"), ONCE),
        "as_base64": (echo(400, in_base64), Error("400 - .*\\*\\*\\*"), ONCE),
        "in_a_reply": (echo(200, whole=True), re.compile("authorization: Bearer \\*\\*\\*")),
        "of_the_password_in_a_reply": (echo(200, whole=True), re.compile("Basic \\*\\*\\*")),
        "in_a_refusal": (
            lambda call: [http(200, chat(message={"refusal": call.head}))], Error("server refused")
        ),
        "in_no_json": (lambda call: [http(200, call.head)], Error("no JSON: POST")),
        "in_a_location": (
            lambda call: [http(307, "", location=f"http://x/?k={call.head.split()[1]}")],
            Error("redirects.*api_key=\\*\\*\\*"),
        ),
    },
}  # fmt: skip
BEHAVIOURS = {f"{kind}: {name}": row for kind, rows in KINDS.items() for name, row in rows.items()}
SECRETS = (KEY, PASSWORD, TOKEN)


def path_of(name):
    return re.sub(r"\W+", "_", name)


def script_of(script):
    """Let a script have its way with the question `odd` alone; the others are answered right."""
    return lambda call: script(call) if call.question.endswith("odd") else [http(200, chat())]


def serve():
    return OddServer({path_of(name): script_of(row[0]) for name, row in BEHAVIOURS.items()})


def ask(server, name, wrap=lambda engine: engine):
    """Ask one odd question between two others; return the replies, the engine and seconds."""
    options = {"timeout": 10.0, "retries": 1} | dict(*BEHAVIOURS[name][2:])
    url = f"{server.url(path_of(name))}?{urlencode({'api_key': TOKEN})}"
    if "password" in name:
        url = url.replace("//", f"//me:{quote(PASSWORD, safe='')}@")
    engine = wrap(OpenAIEngine("m", base_url=url, api_key=KEY, concurrency=1, **options))
    texts = ("even", "odd", "even")
    asked = [
        Request((("system", "short"), ("user", text)), engine, sampling=Sampling(0.0, 5), seed=i)
        for i, text in enumerate(texts)
    ]
    started = time.monotonic()
    replies = engine.generate(asked)
    return replies, engine, time.monotonic() - started


def fault(name, replies, seconds):
    """Return what is wrong with the replies, empty if nothing is."""
    before, odd, after = replies
    right = BEHAVIOURS[name][1]
    if [reply.text for reply in (before, after)] != ["42", "42"]:
        return f"others are lost: {before}, {after}"
    if seconds > LONGEST:
        return f"takes {seconds:.1f} s"
    if isinstance(right, Error):
        return "" if odd.error and re.search(right, odd.error) else f"{odd.text!r}, {odd.error}"
    if odd.error is not None:
        return odd.error
    fits = right.search(odd.text) if isinstance(right, re.Pattern) else right == odd.text
    return "" if fits else repr(odd.text)


def main():
    print("| kind | behaviours | right text | error of that call | mishandled |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with serve() as server:
        for kind, rows in KINDS.items():
            counts = {"text": 0, "error": 0, "wrong": 0}
            for name in rows:
                replies, engine, seconds = ask(server, full := f"{kind}: {name}")
                wrong = fault(full, replies, seconds)
                counts["wrong" if wrong else "error" if replies[1].error else "text"] += 1
                engine.close()
            print(f"| {kind} | {len(rows)} | {' | '.join(map(str, counts.values()))} |")
    print(f"{len(BEHAVIOURS)} behaviours")


if __name__ == "__main__":
    main()
