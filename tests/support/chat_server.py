"""A server that speaks OpenAI's chat completions, for tests."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer:
    """Answers with `reply(body)`: a text, or `(status, headers, body)` to fail.

    Attributes:
        url: Base address for the client.
        bodies: What was asked, in the order of arrival.
        heads: The headers of each.
        times: When, on the monotonic clock.
        most: The most calls that were open at once.
    """

    def __init__(self, reply, *, usage=True, finish="stop", seconds=0.0, message=None, tokens=3):
        self.bodies, self.heads, self.times, self.most = [], [], [], 0
        outer, lock = self, threading.Lock()
        outer._open = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    outer.bodies.append(body)
                    outer.heads.append(f"{self.requestline}\n{self.headers}")
                    outer.times.append(time.monotonic())
                    outer._open += 1
                    outer.most = max(outer.most, outer._open)
                time.sleep(seconds)
                try:
                    text = reply(body)
                finally:
                    with lock:
                        outer._open -= 1
                if isinstance(text, tuple):
                    self.send(*text)
                    return
                used = {
                    "prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens,
                }  # fmt: skip
                said = {"role": "assistant", **({"content": text} if message is None else message)}
                answer = {
                    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                    "choices": [{"index": 0, "message": said, "finish_reason": finish}],
                    "usage": used if usage else None,
                }  # fmt: skip
                self.send(200, {}, answer)

            def send(self, status, headers, answer):
                data = json.dumps(answer).encode()
                self.send_response(status)
                for key, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
