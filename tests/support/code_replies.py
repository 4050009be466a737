"""Replies to code tasks and how they must be read, each with its reason."""

TOTAL = '''from typing import List


def total(numbers: List[int]) -> int:
    """ Add up some numbers.
    >>> total([1, 2])
    3
    """
'''
BODY = "    result = 0\n    for number in numbers:\n        result += number\n    return result\n"
FLAT = "result = 0\nfor number in numbers:\n    result += number\nreturn result"
GOOD = "def total(numbers):\n    return sum(numbers)"
BAD = "def total(numbers):\n    return 0"


def fenced(code, info="python"):
    return f"```{info}\n{code}\n```"


def indented(code, by="    "):
    return "".join(f"{by}{line}\n" for line in code.split("\n"))


# Reply, strict score, extracted score, reason of the score, and why that is right.
REPLIES = [
    # As it is: upstream's program is the prompt, then the reply.
    (BODY, 1, 1, "ok", "the body, as upstream wants it"),
    (TOTAL + BODY, 1, 1, "ok", "the prompt repeated"),
    (GOOD, 1, 1, "ok", "the function without its docstring"),
    ("def total(numbers: List[int]) -> int:\n    return sum(numbers)", 1, 1, "ok",
     "what the prompt imports is there"),
    ("from math import fsum\n\ndef total(numbers):\n    return int(fsum(numbers))", 1, 1, "ok",
     "imports of its own"),
    ("def add(a, b):\n    return a + b\n\ndef total(numbers):\n    result = 0\n"
     "    for n in numbers:\n        result = add(result, n)\n    return result", 1, 1, "ok",
     "a helper before"),
    ("def total(numbers):\n    return helper(numbers)\n\nhelper = sum", 1, 1, "ok",
     "a helper after, and no def"),
    ("    return add(numbers)\n\ndef add(numbers):\n    return sum(numbers)", 1, 1, "ok",
     "the body, then a helper"),
    ("total = sum", 1, 1, "ok", "a function need no def"),
    ("total = lambda numbers: sum(numbers)", 1, 1, "ok", "a lambda"),
    ("class Adder:\n    def __call__(self, numbers):\n        return sum(numbers)\ntotal = Adder()",
     1, 1, "ok", "an object that can be called"),
    (f"# adds\n{GOOD}\n# done", 1, 1, "ok", "comments are code"),
    (f"{GOOD}\n\nprint(total([1, 2]))", 1, 1, "ok", "a use of it does no harm"),
    (f"\n\n{GOOD}\n\n", 1, 1, "ok", "empty lines around"),
    (GOOD.replace("\n", "\r\n"), 1, 1, "ok", "Windows line ends"),
    (GOOD.replace("    ", "\t"), 1, 1, "ok", "tabs"),
    (f"{BAD}\n\n{GOOD}", 1, 1, "ok", "the last definition holds in Python"),
    ("def total(numbers):\n    yield 0\n    return 1\n" + GOOD, 1, 1, "ok", "replaced too"),
    ("def total(numbers):\n    if not numbers:\n        return 0\n"
     "    return numbers[0] + total(numbers[1:])", 1, 1, "ok", "recursion"),
    ("import collections, itertools, functools, re, heapq, bisect, json, datetime, decimal\n"
     + GOOD, 1, 1, "ok", "the standard library is there"),
    ("import xml.dom.minidom, difflib, graphlib\n" + GOOD, 1, 1, "ok", "and not what is preloaded"),
    # Wrong, however it is dressed.
    (BAD, 0, 0, "wrong", "wrong"),
    (fenced(BAD), 0, 0, "wrong", "wrong in a fence"),
    ("    return 0", 0, 0, "wrong", "a wrong body"),
    (f"{GOOD}\n\n{BAD}", 0, 0, "wrong", "the last definition is wrong"),
    ("def total(numbers):\n    return numbers.sum()", 0, 0, "wrong", "it fails"),
    ("def total():\n    return 6", 0, 0, "wrong", "it takes no numbers"),
    ("def total(numbers):\n    while True: pass\n    return 6", 0, 0, "wrong", "it never ends"),
    ("def total(numbers):\n    print(sum(numbers))\n    return None", 0, 0, "wrong", "it prints"),
    ("def total(numbers):\n    return input()", 0, 0, "wrong", "there is nothing to read"),
    ("class Equal:\n    def __eq__(self, other):\n        return True\n"
     "def total(numbers):\n    return Equal()", 0, 0, "wrong", "equality is not its to define"),
    ("import os\nos._exit(0)\n" + GOOD, 0, 0, "wrong", "an early exit is no pass"),
    ("import sys\nsys.exit(0)\n" + GOOD, 0, 0, "wrong", "nor is this one"),
    # Code found in a free reply.
    (fenced(GOOD), 0, 1, "ok", "a fence is no Python"),
    (fenced(GOOD, ""), 0, 1, "ok", "without language"),
    (fenced(GOOD, "py"), 0, 1, "ok", "short language"),
    (fenced(GOOD, "Python3"), 0, 1, "ok", "language with version"),
    (fenced(GOOD, "python title=x.py"), 0, 1, "ok", "more after the language"),
    (fenced(GOOD, "text"), 0, 1, "ok", "another language, but the only fence"),
    (f"~~~python\n{GOOD}\n~~~", 0, 1, "ok", "fences of tildes"),
    (f"````python\n{GOOD}\n````", 0, 1, "ok", "a longer fence"),
    (f"```python\n{GOOD}", 0, 1, "ok", "cut off before the fence ends"),
    (f"```python\n{GOOD}```", 0, 1, "ok", "no line of its own for the end"),
    (f"Sure! Here it is:\n\n{fenced(GOOD)}\n\nIt adds them up.", 0, 1, "ok", "prose around"),
    (f"1. First:\n   {fenced(GOOD)}".replace("\n", "\n   "), 0, 1, "ok", "a fence in a list"),
    (fenced(TOTAL + BODY), 0, 1, "ok", "the prompt repeated in a fence"),
    (fenced(BODY.rstrip()), 0, 1, "ok", "the body in a fence"),
    (fenced(FLAT), 0, 1, "ok", "the body not indented"),
    (fenced("return sum(numbers)"), 0, 1, "ok", "a body of one line"),
    ("return sum(numbers)", 0, 1, "ok", "the same without a fence"),
    (FLAT, 0, 1, "ok", "a body that is not indented"),
    (BODY.strip(), 0, 1, "ok", "a body whose first indent was stripped"),
    (f"{BODY}\nThis adds them up.", 0, 1, "ok", "a body, then prose"),
    (f"{fenced('import math')}\nthen\n{fenced('def total(n):' + chr(10) + ' return sum(n)')}",
     0, 1, "ok", "fences that belong together"),
    (f"{fenced('def total(n): return add(n)')}\nwith\n{fenced('def add(n): return sum(n)')}",
     0, 1, "ok", "the helper in a second fence"),
    (f"{fenced(GOOD)}\nExample:\n{fenced('print(total([1, 2]))')}", 0, 1, "ok",
     "an example of use"),
    (f"{fenced(GOOD)}\nExample:\n{fenced('assert total([1]) == 7')}", 0, 1, "ok",
     "an example that is wrong"),
    (f"{fenced(GOOD)}\nOutput:\n{fenced('6 is the sum', '')}", 0, 1, "ok", "output in a fence"),
    (f"{fenced(GOOD)}\nRun it:\n{fenced('python total.py', 'bash')}", 0, 1, "ok", "shell commands"),
    (f"First try:\n{fenced(BAD)}\nBetter:\n{fenced(GOOD)}", 0, 1, "ok", "the last one holds"),
    (f"{fenced(GOOD)}\nSimpler:\n{fenced(BAD)}", 0, 0, "wrong", "also if it is the wrong one"),
    (f"{fenced(GOOD + chr(10) + 'x = int(input())')}", 0, 1, "ok", "a main program in it"),
    (f"{fenced(GOOD + chr(10) + 'if __name__ == chr(95): main()')}", 0, 1, "ok", "and guarded"),
    (f"{fenced('import numpy as np' + chr(10) + GOOD)}", 0, 1, "ok", "an import it can do without"),
    (f"{fenced('from __future__ import annotations' + chr(10) + GOOD)}", 0, 1, "ok", "a future"),
    (f"The function:\n\n{GOOD}\n\nIt adds them up.", 0, 1, "ok", "prose around bare code"),
    (f"Here is the code:\n{GOOD}", 0, 1, "ok", "prose before"),
    (f"{GOOD}\n\nThis function adds them up.", 0, 1, "ok", "prose after"),
    (f"Use this:\n\nimport math\n\n{GOOD}\n\nprint it.", 0, 1, "ok", "an import with it"),
    ("Hm.\n\nSTART = 0\n\ndef total(numbers):\n    return sum(numbers, START)\n\nDone.", 0, 1,
     "ok", "a constant with it"),
    ("See:\n\n@staticmethod\ndef total(numbers):\n    return sum(numbers)\n\nDone.", 0, 1, "ok",
     "a decorator with it"),
    ("See:\n\ndef total(\n    numbers,\n):\n    return sum(numbers)\n\nDone.", 0, 1, "ok",
     "a signature on several lines"),
    (f"Like so:\n\n{indented(GOOD)}", 0, 1, "ok", "Markdown's indented code"),
    (f"<think>\n{fenced(BAD)}\nno...\n</think>\n\n{fenced(GOOD)}", 0, 1, "ok", "thought first"),
    (f"<think>\nshort\n</think>\n{GOOD}", 0, 1, "ok", "thought, then bare code"),
    (f"<think>\n{fenced(GOOD)}\n</think>\n{fenced(BAD)}", 0, 0, "wrong", "thought does not count"),
    (f"<think>{fenced(GOOD)}</think>I do not know.", 0, 0, "unparsable", "not even alone"),
    (f"{fenced(GOOD)}\nI hope that `total` helps!", 0, 1, "ok", "inline code"),
    ("x" * 30_000 + f"\n{fenced(GOOD)}", 0, 1, "ok", "long prose, code at its end"),
    (f"{fenced(GOOD)}\n" + "x " * 20_000, 0, 0, "unparsable", "only the end of it is read"),
    # No code for the question.
    ("", 0, 0, "no_answer", "nothing"),
    (" \n\t", 0, 0, "no_answer", "white space"),
    ("I cannot do that.", 0, 0, "unparsable", "prose"),
    ("42", 0, 0, "unparsable", "a number"),
    ("None", 0, 0, "unparsable", "a value"),
    ("pass", 0, 0, "unparsable", "a body that returns nothing"),
    (TOTAL, 0, 0, "unparsable", "the prompt alone"),
    (fenced(TOTAL), 0, 0, "unparsable", "the prompt alone, in a fence"),
    ("def total(numbers):", 0, 0, "unparsable", "cut off"),
    ("def total(numbers)\n    return sum(numbers)", 0, 0, "unparsable", "no Python"),
    ("def add(numbers):\n    return sum(numbers)", 0, 0, "unparsable", "another name"),
    ("class Solution:\n    def total(self, numbers):\n        return sum(numbers)", 0, 0,
     "unparsable", "a method is not the function"),
    ("int total(int[] numbers) { return sum(numbers); }", 0, 0, "unparsable", "another language"),
    ("```\n```", 0, 0, "unparsable", "an empty fence"),
    ("```", 0, 0, "unparsable", "a fence that opens only"),
    (f"{GOOD}\0", 0, 0, "unparsable", "a NUL"),
    ("def total(numbers): return '\ud800'", 0, 0, "unparsable", "a lone surrogate"),
    ("(" * 15_000, 0, 0, "unparsable", "brackets"),
    ("```\n" * 6_000, 0, 0, "unparsable", "fences"),
    ("def total(x):\n" * 2_000, 0, 0, "unparsable", "definitions"),
    ("x" * 1_000_000, 0, 0, "unparsable", "1 MB"),
    ("\0" * 1_000_000, 0, 0, "unparsable", "1 MB of NUL"),
]  # fmt: skip
# For MBPP, where the reply stands alone.
ALONE = [
    ("def orders(n):\n    return 1 if n < 2 else n * orders(n - 1)", 1, 1, "ok", "the function"),
    ("from math import factorial as orders", 1, 1, "ok", "a function of a module"),
    ("import math\norders = math.factorial", 1, 1, "ok", "a name for another function"),
    ("import math\n\ndef orders(n):\n    return math.factorial(n)", 1, 1, "ok", "an import"),
    (fenced("import math\ndef orders(n):\n    return math.factorial(n)"), 0, 1, "ok", "a fence"),
    ("[BEGIN]\ndef orders(n):\n    return 1 if n < 2 else n * orders(n - 1)\n[DONE]", 0, 1, "ok",
     "the marks of the paper's prompt"),
    ("    return 1 if n < 2 else n * orders(n - 1)", 0, 0, "unparsable", "no signature is given"),
    ("def orders(n):\n    return n", 0, 0, "wrong", "wrong"),
    ("def permutations(n):\n    return 6", 0, 0, "unparsable", "another name"),
]  # fmt: skip
