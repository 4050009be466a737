"""Rows whose tests attack: the sandbox, the judge that runs them, and the verdicts on others.

Each is what a row brings, `tests`, and the outcomes that it may have. `WRITABLE` and `PARENT`
stand for a folder that anyone may write to and for the process that asks for the verdict.
"""

PATCH = """
import builtins, gc, sys, types
for thing in gc.get_objects():
    if isinstance(thing, types.FunctionType) and thing.__module__.startswith("neuromas_env"):
        thing.__code__ = (lambda *given, **named: {"outcome": "passed"}).__code__
builtins.AssertionError = SystemExit
"""
DESCRIPTORS = "import os\nfor fd in range(3, 64):\n    try: {}\n    except OSError: pass\n"
FRAME = """
import json
def frame(message):
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data
"""
JUNK = {
    "no JSON": "b'x' * 100",
    "a length that never comes": "b'\\xff\\xff\\xff\\xff'",
    "a verdict of no known outcome": "frame({'outcome': 'won'})",
    "a list": "frame([1] * 1000)",
    "nesting": "(5000).to_bytes(4, 'big') + b'[' * 5000",
    "a number of 5,000 digits": "(5000).to_bytes(4, 'big') + b'9' * 5000",
    "a verdict of wrong types": "frame({'outcome': ['passed'], 'detail': 7, 'reading': -1, "
    "'returned': None, 'failure': {}, 'limit': 'sky', 'gone': 'yes'})",
    "a reading that is none": "frame({'outcome': 'passed', 'detail': '', 'reading': 10**6, "
    "'returned': '', 'failure': None, 'limit': '', 'gone': False})",
    "a long detail": "frame({'outcome': 'passed', 'detail': 'x' * 10**5, 'reading': 0, "
    "'returned': '', 'failure': None, 'limit': '', 'gone': False})",
    "a megabyte": "b'\\0' * (1 << 20)",
    "words for the fork server": "b'dhcdhc'",
}
GIVEN_UP = ("failed", "error", "timeout")
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a command": ("import os\nassert os.system('touch WRITABLE/planted') == 0", GIVEN_UP),
    "a command by way of subprocess": (
        "import subprocess\nsubprocess.run(['touch', 'WRITABLE/planted'], check=True)", GIVEN_UP),
    "a file": ("open('WRITABLE/planted', 'w').write('x')", GIVEN_UP),
    "fork bomb": ("import os\nwhile True: os.fork()", GIVEN_UP),
    "thread bomb": ("import threading\nwhile True: threading.Thread(target=print).start()",
                    GIVEN_UP),
    "memory": ("held = []\nwhile True: held.append(bytearray(1 << 26))", GIVEN_UP),
    "memory in one piece": ("bytearray(1 << 40)", GIVEN_UP),
    "endless loop": ("while True: pass", ("timeout",)),
    "endless loop that swallows": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        ("timeout",)),
    "endless plain loop": ("for n in range(1 << 60): 1", ("timeout",)),
    "a power": ("9 ** 9 ** 9", ("timeout", "failed")),
    "a search without end": ("import re\nre.match('(a+)+b', 'a' * 50)", ("timeout",)),
    "kill the parent": ("import os, signal\nos.kill(PARENT, signal.SIGKILL)", GIVEN_UP),
    "kill the fork server": ("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)", GIVEN_UP),
    "kill everybody": ("import os\nos.kill(-1, 9)", GIVEN_UP),
    "secrets of the environment": (
        "import os\nassert any('swordfish' in v for v in os.environ.values())", GIVEN_UP),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', 9))", GIVEN_UP),
    "exit": ("import os\nos._exit(0)", GIVEN_UP),
    "crash": ("import ctypes\nctypes.string_at(0)", GIVEN_UP),
    "recursion": ("import sys\nsys.setrecursionlimit(10**9)\ndef g(): g()\ng()", GIVEN_UP),
    "nesting that compilers dislike": ("x = " + "(" * 10**5, GIVEN_UP),
    "a syntax error": ("def", GIVEN_UP),
    "surrogates in an error": (r"raise KeyError('\ud800' * 500)", GIVEN_UP),
    "an error without words": (
        "class E(Exception):\n    def __str__(self): raise self\nraise E", GIVEN_UP),
    "SystemExit": ("raise SystemExit", GIVEN_UP),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", GIVEN_UP),
    "closes all": (DESCRIPTORS.format("os.close(fd)"), GIVEN_UP),
    "closes all and stays": (DESCRIPTORS.format("os.close(fd)") + "while True: pass", GIVEN_UP),
    "reads all": (DESCRIPTORS.format("os.read(fd, 1 << 20)"), GIVEN_UP),
    "patches the judge": (PATCH, ("passed", *GIVEN_UP)),
    "patches what the next one uses": (
        "import builtins, sys\nbuiltins.compile = builtins.exec = print\nsys.modules.clear()",
        ("passed", *GIVEN_UP)),
    "says that it is done and stays": (
        DESCRIPTORS.format("os.write(fd, b'd' * 9)") + "while True: pass", GIVEN_UP),
    "says without end that it is changed": (
        "import os\nwhile True:\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'c')\n        except OSError: pass", GIVEN_UP),
    **{f"says {what}": (FRAME + DESCRIPTORS.format(f"os.write(fd, {junk})") + "os._exit(0)",
                        GIVEN_UP)
       for what, junk in JUNK.items()},
}  # fmt: skip
