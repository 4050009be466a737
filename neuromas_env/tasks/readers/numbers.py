"""Reading a number out of a reply: with its sign, separators, power, and right-hand side.

math-verify, the field's library, was tried and is not used: of the 31 number rows of
`tests/fixtures` it reads 19, it stops only by SIGALRM, so not off the main thread (where it
refuses to run, or runs without limit), and it brings SymPy.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction

from neuromas_env.tasks.readers.assertion import decide
from neuromas_env.tasks.readers.marks import GAP, MARK, TWO, Marks
from neuromas_env.tasks.readers.number_words import SCALES, WORDS, value_of
from neuromas_env.tasks.readers.plain import plain
from neuromas_env.tasks.reply import cut_off

_D = "[0-9]"  # not those of other scripts
_GROUPED = "|".join(
    [
        *(rf"{_D}{{1,3}}(?:{separator}{_D}{{3}}){{1,12}}" for separator in (",", "'", " ", "_")),
        rf"{_D}{{1,2}}(?:,{_D}{{2}}){{1,9}},{_D}{{3}}",  # as in India
        rf"{_D}{{1,3}}(?:\.{_D}{{3}}){{2,12}}",
        rf"{_D}{{1,3}}(?:[. ]{_D}{{3}}){{1,12}},{_D}{{1,2}}",  # a decimal comma
    ]
)
_DIGITS = rf"(?:(?:{_GROUPED})(?![0-9_']|,{_D})|{_D}+(?!{_D}))"
_UNITS = "[kcm]?m|[km]?g|m?l|h|s|min|hrs?|lbs?|oz|ft|mph|USD|EUR|GBP"
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\w)\]%.+-])(?<!{_D} )[+-]"
    r"|(?:(?<=[=:(] )|(?<=\bis )|(?<=\bequals )|(?<![^\n]))- )?"
    r"(?:(?:US|U\.S\.)?[$€£¥₹₽]\s?(?P<late>-)?)?"
    rf"(?<![\w.])(?:(?P<number>{_DIGITS}(?:\.{_D}+)?)|(?P<part>\.{_D}+))"
    rf"(?:(?P<e>[eE][+-]?{_D}{{1,3}})(?!\w)"
    rf"|\s?(?:[x×*·]\s?(?P<base>10))?\s?(?:\^|\*\*)\s?\(?(?P<power>[+-]?{_D}{{1,4}})\)?"
    rf"(?![\w^]|\.{_D})"
    rf"|\s?/\s?(?P<over>{_D}{{1,30}})(?![\w/]|\.{_D})"
    rf"|\s(?P<top>{_D}{{1,9}})/(?P<bottom>{_D}{{1,9}})(?![\w/]|\.{_D})"
    rf"|\s(?P<scale>{'|'.join(SCALES)})\b)?"
    rf"(?:(?=(?:{_UNITS})\b)|(?!\w|\.{_D}))"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAY = rf"{_D}{{1,2}}(?:st|nd|rd|th)?"
_NO_QUANTITY = re.compile(
    rf"(?<!{_D})(?:{_D}{{1,4}}([/-]){_D}{{1,2}}\1{_D}{{1,4}}|{_D}{{1,2}}:{_D}{{2}}(?::{_D}{{2}})?)(?!{_D})"
    rf"|\b(?:{_MONTHS}) {_DAY}(?:,? {_D}{{4}})?\b"
    rf"|(?<!{_D}){_DAY} (?:{_MONTHS})(?:,? {_D}{{4}})?\b"
)
_DIGIT = re.compile(_D)
_A_HUNDRED = re.compile(rf"(?<!half )\ban? (?=(?:{'|'.join(SCALES)})\b)", re.IGNORECASE)
_MINUS = re.compile(rf"(?<![0-9)]\s)\b(?:minus|negative) (?=\W?{_D})", re.IGNORECASE)
_BULLET = re.compile(r"^[-*•>] (?=\S)", re.MULTILINE)
_ITEM = re.compile(rf"^({_D}{{1,3}})[.)] (?=[^\W\d_]|\()", re.MULTILINE)
_COUNTED = re.compile(r"[^\w]{0,3}(?:\n|$)|[,;.](?!\w)")

_OPERATOR = r" ?(?:[-+*/×·÷^%]|\b(?:x|plus|minus|times|divided by)\b) ?"
_NO_UNIT = r"(?!(?:is|was|or|and|x|plus|minus|times|divided|mod|of|at|equals|which|that|giving)\b)"
_UNIT = rf"(?:[ /]?{_NO_UNIT}[a-z²³]{{1,20}}+(?:[ /]{_NO_UNIT}[a-z²³]{{1,20}}+)?)?+"
_OPERAND = rf"\(?{MARK}%?+{_UNIT}(?:\^\d)?\)?+"
_OPERATES = rf"(?:{_OPERATOR}| (?:of|at|mod|modulo) ){_OPERAND}|\)"
_LEFT_HAND_SIDE = re.compile(
    rf"{_OPERAND}(?:{_OPERATES}){{0,60}}+ ?(?:=>|[=≈→⇒]) ?(?={GAP}{{0,3}}(?:\w|{MARK}))"
    rf"|{_OPERAND}(?:{_OPERATES}){{1,60}}+,? (?:(?:which|that) (?:is|equals|makes|gives)|equals|is"
    rf"|giving|makes) (?=[$€£]?{MARK})"
    rf"|{MARK}(?:,? [a-z]{{1,20}}){{0,3}},? round(?:s|ed|ing) (?:(?:it|up|down|off) )?to (?={MARK})"
)
# A result before its calculation: "24 = 4 x 6".
_DERIVED = re.compile(
    rf"({MARK}) ?[=≈] ?\(?{MARK}\)?(?:{_OPERATOR}\(?{MARK}\)?){{1,60}}+(?! ?[=≈→]|\w)"
)
_MEASURE = (
    "(?:hours?|hrs?|h|min(?:ute)?s?|sec(?:ond)?s?|s|days?|weeks?|months?|years?|feet|foot|ft"
    "|inch(?:es)?|in|yards?|pounds?|lbs?|ounces?|oz|dollars?|euros?|cents?|pence|k?m|cm|k?g)"
)
# What names several numbers and is none: "3 x 4", "3 to 4", "x = 3, y = 4", "3 h and 4 min".
_SEVERAL = re.compile(
    rf"{MARK}(?:(?:{_OPERATOR}\(?| ?){MARK}\)?){{1,60}}"
    rf"|(?:\b(?:between|from) )?{MARK} ?(?:-|to|and) ?{MARK}"
    rf"|{MARK}[:']{MARK}|\b[a-z] = {MARK}(?:,| or|,? and) [a-z] = {MARK}"
    rf"|{MARK} [a-z]+ and {MARK}(?= [a-z]+ ?(?:$|[.,;!\n]))"
    rf"|{MARK} {_MEASURE},? {MARK}(?= {_MEASURE} ?(?:$|[.,;!\n]))",
    re.MULTILINE,
)
# A calculation in parentheses after its result: "45 (15 x 3)".
_ADDED = re.compile(
    rf"(?<={MARK})((?: \w{{1,20}}){{0,2}}) \((?:= )?{_SEVERAL.pattern}\)", re.MULTILINE
)
_AND_A = re.compile(rf"({MARK}) and an? (half|third|quarter)\b", re.IGNORECASE)
_PARTS = {"half": 2, "third": 3, "quarter": 4}
# Not one number: "2x + 3", "12 + 3i", "√2".
_UNKNOWN = rf"(?:{_D}{{1,9}}[a-z]|[b-hj-z])"
_FORMULA = re.compile(
    rf"(?<![a-z0-9]){_UNKNOWN} ?[-+*/^] ?{MARK}(?! ?[=≈])"
    rf"|{MARK} ?[-+*/^] ?(?!x ?{MARK}){_UNKNOWN}(?![\w'])"
    rf"|{MARK}? ?√ ?[({{]?{MARK}|{MARK} ?π"
)
_BOUND = re.compile(
    r"(?:(?:[<>≤≥≠]=?|(?<![\w)])!=) ?|\b(?:at least|at most|up to|over|under|above|below|within)\s)"
    rf"{MARK}"
    rf"|{MARK}(?: \w+)? or (?:more|less|fewer|higher|lower)",
    re.IGNORECASE,
)
# What a sentence says beside its result: "18 eggs at $2 each".
_ASIDE = re.compile(
    r"(?:\b(?:at|per|each|every|in|within|after|during|by|over|from|on|out of|of|of which|step"
    r"|question|number|page|example|equation|case|part|line|problem|times|only|mod|modulo)"
    r" (?:(?:a|the|his|her|its|their|these|those) )?"
    rf"|@ ?)({MARK})|\bfor ({MARK}) (?:minute|hour|day|week|month|year)s?\b"
    rf"|({MARK}) of (?:which|them|these|those|whom)\b"
    rf"|({MARK})%?(?: \w+)? (?:more|less|fewer) than\b",
    re.IGNORECASE,
)
# Nor is what stands in parentheses after it: "72 clips (24 in May)".
_BRACKETED = re.compile(rf"{MARK}%?(?: \w+){{0,3}} \((?![=≈]|i\.e|that is)([^()\n]{{1,80}})\)")
# How a result is found is none: "18 by adding 9 to 9", "7 left after giving away 5".
_MEANS = re.compile(r"(?<=[^\s.,;:])\s(?:after|by|before) \w+ing\b([^.,;:=\n]{1,200})")
_EXACT = Context(prec=60)


def extract_number(reply: str) -> str | None:
    """Return the number that a reply gives, in plain digits such as `-35`, or None.

    Separators of thousands, currency, unit, leading zeros and trailing zeros of a fraction are
    dropped; `1/2` is `0.5`, `10^6` and `one million` are `1000000`, and of `256 + 37 = 293` the
    right-hand side counts. A calculation without its result, a range, a bound ("more than 18"),
    a date, a time and an ordinal are no number. A number at which a reply was cut off may lack
    digits, so it counts only where it is the whole reply.
    """
    text = plain(reply)
    if _DIGIT.search(text):
        text = _MINUS.sub("-", text)
    if (whole := _NUMBER.fullmatch(text.strip(" .,;:!()[]\"'"))) and (value := _value(whole)):
        return value
    marks = Marks()
    text = _mark(text, marks, cut_off(reply))
    if not marks.values:
        return None
    text = _LEFT_HAND_SIDE.sub("= ", _DERIVED.sub(r"\1", text))
    text = _FORMULA.sub(" ~ ", _AND_A.sub(lambda m: marks.add(_with_part(marks[m[1]], m[2])), text))
    text = _SEVERAL.sub(lambda _: marks.add(TWO), _ADDED.sub(r"\1", _BOUND.sub(" ~ ", text)))
    marks.asides = {match[match.lastindex or 0] for match in _ASIDE.finditer(text)}
    for pattern in (_MEANS, _BRACKETED):
        marks.asides |= {mark for match in pattern.finditer(text) for mark in match[1]}
    return decide(text, marks, quantities=True)


def _mark(text: str, marks: Marks, cut: bool) -> str:
    def digits(match: re.Match[str]) -> str:
        value = _value(match)
        ends = match.end() == len(match.string.rstrip())
        return " ~ " if value is None or (cut and ends) else marks.add(value)

    def words(match: re.Match[str]) -> str:
        value = value_of(match[2])
        if value is None:
            return " ~ "
        if value == 1 and not _COUNTED.match(text, match.end()):
            return match[0]  # "one" is mostly no number
        return marks.add(str(-value if match[1] else value), weak=True)

    if _DIGIT.search(text):
        text = _BULLET.sub("", _NO_QUANTITY.sub(" ~ ", text))
        text = _ITEM.sub(lambda match: "" if match.start() or match[1] == "1" else match[0], text)
        text = _NUMBER.sub(digits, text)
    return WORDS.sub(words, _A_HUNDRED.sub("one ", text))


def _value(match: re.Match[str]) -> str | None:
    """Return a number in plain digits, None if it is too large or no number."""
    digits = match["number"] or match["part"]
    if re.search(r"[. ].*,", digits):
        digits = digits.replace(".", "").replace(",", ".")
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    digits = re.sub(r"[,' _]", "", digits)
    negative = (match["sign"] or match["late"] or "").startswith("-")
    if not any(match[name] for name in ("e", "power", "over", "bottom", "scale")):
        return _plain(digits, negative)
    number = Fraction(digits[:200])
    if match["e"]:
        number *= _ten_to(int(match["e"][1:]))
    elif match["power"]:
        power = int(match["power"])
        base = Fraction(10) if match["base"] else number
        # A bound on the digits of the result.
        if abs(power) * len(str(base)) > 600 or (not base and power < 0):
            return None
        raised = base**power
        number = number * raised if match["base"] else raised
    elif match["over"] or match["bottom"]:
        below = int(match["over"] or match["bottom"])
        if not below:
            return None
        number = number / below if match["over"] else number + Fraction(int(match["top"]), below)
    else:
        number *= SCALES[match["scale"].lower()]
    return _plain(_decimal(number), negative)


def _with_part(value: str, part: str) -> str:
    return _plain(_decimal(Fraction(value) + Fraction(1, _PARTS[part.lower()])))


def _ten_to(power: int) -> Fraction:
    return Fraction(10) ** max(-400, min(400, power))


def _decimal(number: Fraction) -> str:
    """Write a fraction as a decimal, exactly if it ends within 60 digits, else 15 of them."""
    exact = _EXACT.divide(Decimal(number.numerator), Decimal(number.denominator))
    if Fraction(exact) != number:
        exact = Context(prec=15).divide(Decimal(number.numerator), Decimal(number.denominator))
    return f"{exact:f}"


def _plain(digits: str, negative: bool = False) -> str:
    # Not int(): it refuses more than 4,300 digits.
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    value = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return f"-{value}" if negative and value != "0" else value
