"""Free replies to the prompt TOTAL of `code_replies`, by what could mislead a reader."""

from support.code_replies import BAD, BODY, GOOD, TOTAL, fenced

TEST = (
    f"{GOOD}\n\nimport unittest\n\nclass T(unittest.TestCase):\n    def test(self):\n"
    "        self.assertEqual(total([1]), 1)\n"
)
# Each stands after the right function, in the same block.
AFTER = {
    "a test run": f"{TEST}\nunittest.main()",
    "a test run that does not exit": f"{TEST}\nunittest.main(argv=['x'], exit=False)",
    "a test run that is guarded": f"{TEST}\nif __name__ == '__main__':\n    unittest.main()",
    "a package that is not there": f"{GOOD}\nimport pytest\npytest.main()",
    "doctest": f"{GOOD}\nimport doctest\ndoctest.testmod()",
    "sys.exit": f"{GOOD}\nimport sys\nprint(total([1]))\nsys.exit(0)",
    "sys.exit of the result": f"{GOOD}\nfrom sys import exit\nexit(total([1]))",
    "SystemExit": f"{GOOD}\nraise SystemExit",
    "SystemExit with words": f"{GOOD}\nraise SystemExit('done')",
    "exit()": f"{GOOD}\nexit()\nprint(2)",
    "quit()": f"{GOOD}\nquit()",
    "os._exit": f"{GOOD}\nimport os\nos._exit(0)",
    "os._exit in a main function": (
        f"import os\n{GOOD}\ndef main():\n    print(total([1]))\n    os._exit(1)\nmain()"
    ),
    "an exit and a wrong function": f"{GOOD}\nimport sys\nsys.exit()\n{BAD}",
    "options of a command": (
        f"import argparse\n{GOOD}\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('x')\nparser.parse_args()"
    ),
    "KeyboardInterrupt": f"{GOOD}\nraise KeyboardInterrupt",
    "a wrong example": f"{GOOD}\nassert total([1, 2]) == 4, 'no'",
    "input": f"{GOOD}\nn = int(input('n? '))\nprint(total(range(n)))",
    "input without end": f"{GOOD}\nwhile True:\n    print(total([int(input())]))",
    "standard input": f"import sys\n{GOOD}\nn = int(sys.stdin.read().split()[0])",
    "a call of what is not there": f"{GOOD}\nprint(totals([1]))",
}
BINDINGS = {
    "an import under another name": "from math import fsum as total",
    "an import of the name": "from shutil import nothing\nfrom builtins import sum as total",
    "an annotated assignment": "from typing import Callable\ntotal: Callable = sum",
    "an annotated lambda": "total: 'Callable[[list], int]' = lambda numbers: sum(numbers)",
    "functools.partial": (
        "from functools import partial, reduce\nimport operator\n"
        "total = partial(reduce, operator.add)"
    ),
    "an object that can be called": (
        "class Adder:\n    def __call__(self, numbers):\n        return sum(numbers)\n"
        "total = Adder()"
    ),
    "a method": (
        "class Adder:\n    @staticmethod\n    def add(numbers):\n        return sum(numbers)\n"
        "total = Adder.add"
    ),
    "a class that makes something else": (
        "class total:\n    def __new__(cls, numbers):\n        return sum(numbers)"
    ),
    "a closure": (
        "def make():\n    def inner(numbers):\n        return sum(numbers)\n    return inner\n"
        "total = make()"
    ),
    "several names at once": "total, other = sum, max",
    "one name after another": "other = total = sum",
    "an assignment expression": "(total := sum)",
    "a with statement": "import contextlib\nwith contextlib.nullcontext(sum) as total:\n    pass",
    "a loop": "for total in (sum,):\n    pass",
    "a decorator that fills it in": (
        "def added(function):\n    return sum\n\n@added\ndef total(numbers):\n    ..."
    ),
    "single dispatch": (
        "from functools import singledispatch\n\n@singledispatch\ndef total(numbers):\n"
        "    raise NotImplementedError\n\n@total.register(list)\ndef _(numbers):\n"
        "    return sum(numbers)"
    ),
    "an import, or a function in its place": (
        f"try:\n    from nothing import total\nexcept ImportError:\n    {GOOD}".replace(
            "\n    return", "\n        return"
        )
    ),
    "a condition": (
        "import sys\nif sys.version_info >= (3,):\n    def total(numbers):\n"
        "        return sum(numbers)\nelse:\n    total = None"
    ),
}
STUBS = [
    "...", "pass", '"""Add up some numbers."""', '"""Add."""\n    pass', '"""Add."""\n    ...',
    "raise NotImplementedError", "raise NotImplementedError('later')", "# your code\n    pass",
    "return NotImplemented", "return ...",
]  # fmt: skip
UNFINISHED = [
    f"<think>\nMaybe\n{fenced(GOOD)}\nno, that",
    f"<thinking>\n{fenced(GOOD)}\nbut",
    f"[THINK]\n{fenced(GOOD)}\nbut",
    f"◁think▷{GOOD}",
    f"<think>short</think>\n<think>\n{fenced(GOOD)}\nor",
    f"<think>{fenced(GOOD)}",
]
CUT = [
    f"```python\n{GOOD}\n\nprint(tot",
    f"```python\n{GOOD}\n\ndef test():\n    assert total([1",
    f"First:\n{fenced(BAD)}\nBetter:\n```python\n{GOOD}\n\nprint(tot",
    f"{fenced('import math')}\n```python\ndef total(x):\n    return math.fsum(x)\n\nx =",
    f"```python\n{GOOD}\n\n# An example:\n'''",
]
KINDS = [
    *((fenced(code), 1, f"after the function: {what}") for what, code in AFTER.items()),
    (f"Here:\n\n{GOOD}\n\nsys.exit(0)\n", 1, "after the function, in prose: sys.exit"),
    (fenced(f"import sys\nsys.exit(0)\n{GOOD}"), 0, "an exit before the function"),
    (fenced(f"import os\nos._exit(0)\n{GOOD}"), 0, "os._exit before the function"),
    *((fenced(code), 1, f"the name is bound by {what}") for what, code in BINDINGS.items()),
    (fenced("from nothing import add as total"), 0, "the name is bound by an import that fails"),
    (fenced("import math as total"), 0, "the name is bound to a module"),
    (fenced("total = 6"), 0, "the name is bound to a number"),
    (fenced("total: int"), 0, "the name is only declared"),
    (fenced(f"{GOOD}\ntotal: int"), 1, "the name is declared once more"),
    (fenced(f"{GOOD}\ntotal = None"), 0, "the name is bound to nothing in the end"),
    *(
        case
        for body in STUBS
        for stub in [f"def total(numbers):\n    {body}"]
        for case in [
            (f"{fenced(GOOD)}\n\nSignature:\n\n{fenced(stub)}", 1, f"a stub in a block: {body}"),
            (fenced(f"{GOOD}\n\n{stub}"), 1, f"a stub in the same block: {body}"),
            (f"{fenced(stub)}\n\nThen:\n\n{fenced(GOOD)}", 1, f"a stub before: {body}"),
            (f"Code:\n{GOOD}\n\nSignature:\n\n{stub}\n", 1, f"a stub in prose: {body}"),
            (fenced(stub), 0, f"a stub alone: {body}"),
        ]
    ),
    (f"{fenced(GOOD)}\nSignature:\n{fenced(TOTAL)}", 1, "the prompt once more"),
    (f"{fenced(GOOD)}\nSignature:\n{fenced('def total(numbers):')}", 1, "a signature without body"),
    (
        f"{fenced('def add(x): return sum(x)')}\n{fenced('def total(x): return add(x)')}\nwith\n"
        f"{fenced('def add(x): ...')}", 1, "a stub of a helper",
    ),
    (
        f"{fenced('class A:' + chr(10) + ' def f(self, x): return sum(x)')}\nclass:\n"
        f"{fenced('class A: ...')}\nuse:\n{fenced('total = A().f')}", 1, "a stub of a class",
    ),
    *(
        (mark + text, 1, f"U+{ord(mark):04X} before {what}")
        for mark in "\ufeff\u200b\u200c\u200d\u200e\u2060\u00ad"
        for what, text in (("code", GOOD), ("a fence", fenced(GOOD)), ("a body", BODY))
    ),
    (fenced(f"\ufeff{GOOD}"), 1, "a byte order mark in a fence"),
    (fenced(GOOD.replace("(", "\u200b(")), 1, "a zero-width space in code"),
    (fenced(GOOD.replace("    ", "\u00a0\u00a0\u00a0 ")), 1, "an indent of no-break spaces"),
    (fenced(GOOD.replace("\n", "\r")), 1, "line ends of an old Macintosh"),
    (fenced(GOOD).replace("\n", "\r\n"), 1, "line ends of Windows"),
    *((text, 0, f"an unfinished thought, {n}") for n, text in enumerate(UNFINISHED)),
    (f"<thinking>\n{fenced(BAD)}\n</thinking>\n{fenced(GOOD)}", 1, "another mark of thoughts"),
    *((text, 1, f"cut off, {number}") for number, text in enumerate(CUT)),
    ("```python\ndef total(numbers):\n    result = 0\n    for n in num", 0, "cut off inside"),
    (f"Here is the code: ```python\n{GOOD}\n```", 1, "a fence after words"),
    (f"Use ```total``` like so:\n\n{fenced(GOOD)}", 1, "inline code between three backticks"),
    (f"```python\n{GOOD}\n```python\nprint(total([1]))\n```", 1, "a fence that opens twice"),
    (f"````markdown\n{fenced(GOOD)}\n````", 1, "a fence in a longer fence"),
    (f"~~~\n{GOOD}\n~~~~", 1, "a longer end of a fence"),
    (
        fenced('def total(numbers):\n    """Add.\n\n    ```\n    x\n    ```\n    """\n'
               "    return sum(numbers)"), 1, "fences in a docstring",
    ),
    (
        fenced("    return add(numbers)\n\ndef add(numbers):\n    return sum(numbers)"), 1,
        "the body with a helper after it",
    ),
]  # fmt: skip
