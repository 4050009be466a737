r"""The rules by which lm-evaluation-harness 0.4.13 scores generated answers.

| answers | task of the harness | its filter | compared without |
| --- | --- | --- | --- |
| choice | `mmlu_flan_cot_zeroshot` | `flexible-extract` | case, punctuation |
| number | `gsm8k` | `flexible-extract` | case, `,`, `$`, a final period |
| word, pairs of BBH | `bbh_cot_zeroshot`, of `navigate`, `boolean_expressions`, \
`formal_fallacies`, `sports_understanding` | `flexible-extract` | case, a final period, `,`, \
`\`, line ends, `"` |
| word, others | as `boolean_expressions`, with these words | | the same |
| text of several words | `bbh_cot_zeroshot_word_sorting` | `flexible-extract` | the same |
| text without letters | `bbh_cot_zeroshot_dyck_languages` | `flexible-extract` | the same |
| text of one word | `triviaqa` | `remove_whitespace` | case, punctuation |

Of a task's two filters `flexible-extract` is taken: `strict-match` looks for the wording of
worked examples that prompts here do not show (`#### 18`, `The answer is `). A reply ends at
the task's stop sequences, where the harness would have ended the generation. Options count by
their place: the second one is B, whatever its label.

Two things differ. The words to be sorted are read off the gold answer, a permutation of the
question's. And a form is not a table: BBH's rules for number words (`object_counting`,
`multistep_arithmetic_two`) and for "tells the truth" (`web_of_lies`) are left out.
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from string import ascii_uppercase

from neuromas_env.tasks.readers.form import Options, Reader

_READ = 20_000  # characters, as many as a message may have
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_STOPS = ("</s>", "Q:", "<|im_end|>")


@dataclass(frozen=True)
class Rule:
    """What a task of the harness does with a reply.

    Attributes:
        pattern: What is looked for.
        ignored: Patterns that are taken out before answers are compared.
        bare: Whether punctuation is taken out, too.
        until: Texts that end a reply.
    """

    pattern: str
    ignored: tuple[str, ...] = ()
    bare: bool = False
    until: tuple[str, ...] = _STOPS

    def cut(self, reply: str) -> str:
        """Return a reply up to the first text that ends it."""
        reply = reply[-_READ:]
        return reply[: min((reply.find(end) for end in self.until if end in reply), default=None)]

    def last(self, reply: str) -> str | None:
        """Return the last match in a reply, of several groups the first that is not empty."""
        matches = re.findall(self.pattern, self.cut(reply))
        if not matches:
            return None
        groups = (matches[-1],) if isinstance(matches[-1], str) else matches[-1]
        return next(filter(None, groups), "").strip() or None

    def form(self, answer: str) -> str:
        """Return the form in which answers are compared."""
        for pattern in self.ignored:
            answer = re.sub(pattern, "", answer)
        return answer.lower().translate(_PUNCTUATION if self.bare else {})


_IGNORED = (r"\.$", ",", r"\\", "\n", '"')
MMLU = Rule(r"(\([A-Z]\))", bare=True)
GSM8K = Rule(
    r"(-?[$0-9.,]{2,})|(-?[0-9]+)", (",", r"\$", r"\.$"), until=("Question:", "</s>", "<|im_end|>")
)
TRIVIAQA = Rule(r"(?s)^.*$", bare=True, until=("\n", ".", ","))
BRACKETS = Rule(r"(?<= )([\" \[\(<{}>\)\]]+)|([\" \[\(<{}>\)\]]+)", _IGNORED)
YES_NO = Rule(r"\b(Yes|No|yes|no)\b", _IGNORED)
PLAUSIBLE = Rule(r"(?i)\b(no|not plausible|yes|plausible)\b", _IGNORED)
_MEANT = {"not plausible": "no", "plausible": "yes"}


def _choice(reply: str, options: Options) -> str | None:
    """Return the last `(B)`, else the last option's text, else the last `: B`."""
    letters = ascii_uppercase[: len(options)]
    labels = dict(zip(letters, (label for label, _ in options), strict=False))
    if found := MMLU.last(reply):
        return labels.get(found[1], found[1])
    texts = {_plain(text.strip()): label for label, text in options}
    reply = MMLU.cut(reply)
    pattern = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    for found in map(str.strip, re.findall(pattern, _plain(reply))[-1:] if options else ()):
        if found:
            return texts.get(found, found)
    named = re.findall(rf":\s*([{letters}])", reply) if options else ()
    return labels[named[-1]] if named else None


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if not unicodedata.category(c).startswith("P"))


def _word(reply: str, words: tuple[str, ...]) -> str | None:
    found = _words_rule(words).last(reply)
    return found and _MEANT.get(found.lower(), found)


def _words_rule(words: tuple[str, ...]) -> Rule:
    special = {"No Yes": YES_NO, "no yes": PLAUSIBLE}
    named = "|".join(map(re.escape, words))
    return special.get(" ".join(sorted(words)), Rule(rf"\b({named})\b", _IGNORED))


def _text(reply: str, gold: str | None = None) -> str | None:
    if gold is None or _one_word(gold):
        return TRIVIAQA.last(reply)
    return BRACKETS.last(reply) if _wordless(gold) else _sorted_words(reply, gold)


def _sorted_words(reply: str, gold: str) -> str | None:
    """Return the gold answer's words in the order in which a reply has them last."""
    rule = Rule("|".join(rf"\b{re.escape(word)}\b" for word in gold.split()))
    found = re.findall(rule.pattern, rule.cut(reply))
    return " ".join(reversed(dict.fromkeys(reversed(found)))) or None


def _wordless(gold: str) -> bool:
    return not any(map(str.isalnum, gold))


def _one_word(gold: str) -> bool:
    return len(gold.split()) == 1 and not _wordless(gold)


def _same(kind: str, found: str, target: str) -> bool:
    """Compare as the harness's metric `exact_match` does with the options of the task."""
    rules = {"choice": MMLU, "number": GSM8K, "word": YES_NO}
    rule = rules.get(kind, TRIVIAQA if _one_word(target) else BRACKETS)
    return rule.form(found) == rule.form(target)


LM_EVAL = Reader("lm_eval", "0.4.13", _choice, GSM8K.last, _word, _text, _same)
