"""Engines for benchmarks of tests, chosen by `--engine support.bench_engines:make --model WHAT`.

WHAT is a list of words, comma separated: `right=0.7` answers as many questions right by a hash
of the call, `slow=0.01` sleeps so many seconds per request, `log=FILE` notes every question
that is asked, `say=TEXT` replies so to what is no question of `hierarchy/max`, `paid` makes it
a server whose replies are kept one by one, `add=TEXT` ends every reply so, `pids=FOLDER`
leaves a file named by its process, `fail=TEXT` fails where the prompt holds the text, `dead`
always fails, `long` writes replies whose lengths differ, `terse` writes long ones at the
temperature of self-consistency alone and `wordy=9` so many tokens more at all others,
`reasons=9` so many more where it is asked to reason, `stop=FILE` sends the process a signal if
the file holds its number, after how many calls, and how many seconds after them.
"""

import hashlib
import os
import re
import threading
import time
from pathlib import Path

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.policy import Completion


class Scripted(MockEngine):
    def __init__(self, words):
        super().__init__(self._text)
        self.words, self.calls, self.paid = words, 0, "paid" in words
        self.stop = Path(words.get("stop", os.devnull)).read_text().split()

    def generate(self, requests):
        if folder := self.words.get("pids"):
            (Path(folder) / str(os.getpid())).touch()
        self.calls += len(requests)
        if self.stop and self.calls >= int(self.stop[1]):
            signal, _, pause = self.stop
            self.stop = []
            threading.Timer(float(pause), os.kill, (os.getpid(), int(signal))).start()
        time.sleep(float(self.words.get("slow", 0)) * len(requests))
        replies = super().generate(requests)
        return [
            Completion("", error="told to fail") if self._fails(request) else reply
            for request, reply in zip(requests, replies, strict=True)
        ]

    def as_completed(self, requests):
        for place, request in enumerate(requests):
            yield place, self.generate([request])[0]

    def _fails(self, request):
        said = "\n".join(text for _, text in request.turns)
        if log := self.words.get("log"):
            with open(log, "a") as file:
                file.write(f"{key_of(said)} {request.seed}\n")
        return "dead" in self.words or self.words.get("fail", "\0") in said

    def _text(self, request):
        said = "\n".join(text for _, text in request.turns)
        digest = hashlib.sha256(f"{said}{request.seed}".encode()).digest()
        if "Numbers:" not in said:
            text = self.words.get("say", "yes")
        elif digest[0] / 256 < float(self.words.get("right", 0.5)):
            text = max(key_of(said).split("-"), key=int)
        else:
            text = str(digest[1])
        if "terse" in self.words:
            text += " " * 50 * (request.sampling.temperature == 0.7)
        if request.sampling.temperature != 0.7:
            text += " " * int(self.words.get("wordy", 0))
        if "Reason step by step" in said:
            text += " " * int(self.words.get("reasons", 0))
        text += self.words.get("add", "")
        return text + " " * (digest[2] % 20 if "long" in self.words else 0)


def key_of(prompt):
    """The numbers of a question of hierarchy/max, as they stand in any prompt about it."""
    return "-".join(re.findall(r"\d+", "".join(re.findall(r"Numbers:.*", prompt))))


def make(config):
    pairs = (word.partition("=") for word in config.model.split(","))
    return Scripted({name: value for name, _, value in pairs})
