"""Words that say what a clause asserts, denies or supposes: mostly English, cues of others too.

Every repetition is bounded, so that no pattern takes more than linear time.
"""

from __future__ import annotations

import re

from neuromas_env.tasks.readers.marks import GAP, MARK


def _words(*phrases: str) -> str:
    return rf"\b(?:{'|'.join(phrases)})\b"


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# What announces an answer.
NOUN = (
    "answer|ans|choice|option|letter|result|solution|conclusion|verdict|antwort|lösung|ergebnis"
    "|alternativa|opci[óo]n|opç[ãa]o|opzione|optie|letra|вариант|réponse|reponse|respuesta|resposta|risposta|antwoord|odpowiedź|ответ|cevap"
)
_COPULA = "is|are|be|was|equals|remains|stays|ist|lautet|est|es|é|è|jest"
CUE = _pattern(
    rf"\b(?:{NOUN})s?\b(?:[^\n.:=;?!]{{0,60}}?(?:\b(?:{_COPULA})\b|'s\b)"
    r"|\s?[:=]|\s-(?=\s)|\s→)",
    r"(?:答案|答え|答|正解|정답|답)\s?(?:应该|應該)?(?:是|为|為|は|:|은|는)|[选選](?:择|擇)?(?=\s?[(\"']?(?:[A-Z]\b|[\U000f0000-\U000ffffd]))",
)
FILL = (
    r"(?:[\s:=(\"']|(?:is|it|it's|its|that|the|an?|option|choice|answer|letter|number|correct"
    r"|right|most|likely|probably|clearly|definitely|therefore|thus|so|indeed|simply|just|surely"
    r"|actually|position|value|statement|about|approximately|roughly|around|exactly|precisely"
    r"|only|still|always|now|be|to|must|should|would|final|best|one|label+ed|marked|of|either|both|equal|word|named|called"
    r"|la|le|el|die|der|das|opción|opção|opzione|letra|lettera|lettre)\b){0,20}"
)
"""What may stand between a cue and its answer."""
JOIN = (
    r"\s?(?:[,;]\s?)?(?:\b(?:or|and|nor|oder|ou|o|y|und|et)\b|[,/&])\s?"
    r"(?:(?:maybe|perhaps|possibly|even|option|choice|the)\s){0,3}[(\"']?"
)
CUE_AT_END = _pattern(
    rf"(?:{CUE.pattern})(?:[ :]|(?:as follows|indeed|therefore|thus|option|the|still)\b){{0,6}}\n"
)
GROUP = rf"{MARK}[)\"']?(?:{JOIN}{MARK}[)\"']?){{0,20}}"
"""A mark, or several that are coordinated."""

# How one is stated.
_VERB = (
    "is|are|were|was|be|equals?|it's|that's|he's|she's|what's|choose|chose|pick(?:ed)?"
    "|select(?:ed)?|say|think|believe|guess|go(?:ing)? (?:with|for)|went with|leaves|leaving"
    "|becomes?|remains?|stays?|called|named|giv(?:es?|ing)|yields?|mak(?:es?|ing)|totals?|gets?|got"
    "|answer|answered|obtain|bet on|opt for|settle on|lean(?:ing)? (?:to|towards?)|comes? to"
    "|(?:chang|switch|revis)ed (?:(?:it|my \\w+) )?to"
)
EXPLICIT = _pattern(rf"(?:{CUE.pattern}){FILL}({GROUP})")
_RIGHT = "correct|right|true|yes|richtig|korrekt|correcte?|correct[ao]|corret[ao]"
CALLED_RIGHT = _pattern(
    rf"({GROUP})\s?(?:(?:is|was|are|would be|must be|should be|seems|looks|'s|ist|est|es|é|è)\s"
    r"(?:(?:the|my|a|most|likely|only|indeed|also|therefore|thus|clearly|definitely|then"
    rf"|probably|your)\s){{0,4}}(?:(?:{_RIGHT}|answer)\b|(?:best|final|correct|right|only|remaining"
    r"|one|possible|logical|most)(?: \w+){0,2})"
    rf"|[:=→-]\s?(?:{_RIGHT})\b|[(\[](?:{_RIGHT})[)\]]|[:=→-]?\s?[✅✓✔☑]"
    r"|(?:fits|works|holds|remains|is left|it is|is it)\b)"
)
ONLY = _pattern(
    rf"\bonly\s(?:option |choice |answer )?({MARK})(?=\s(?:is|can|fits|works|holds|remains|makes"
    r"|matches|satisfies)\b|\s?[.,;!]|\s?$)",
    rf"[✅✓✔☑]\s?\(?({MARK})",
)
FRAME = _pattern(rf"(?:\b(?:{_VERB})\b|[:=≈→⇒]){FILL}({GROUP})")
CORRECTION = (
    "wait|actually|no|nope|sorry|correction|on second thoughts?|i mean|i meant|scratch that|hold on"
    r"|oops|strike that|(?:or )?rather(?! than)|my mistake|my bad|apologies|make that|in fact"
    r"|(?:edit|update)(?=\s?:)|(?:up)?on (?:further )?(?:reflection|review)|just kidding"
    "|i(?:'ve| have)? changed my mind|i was wrong|i retract(?: that)?"
)
"""What takes back the statement before."""
_OPENING = (
    "so|thus|therefore|hence|then|ok|okay|well|finally|ergo|option|choice|the|an?(?![).:])|just|but|because"
    f"|{CORRECTION}|hmm+|definitely|probably|clearly|surely|again|it is"
    "|it's|that's|that is|this is|it must be|it should be|it has to be|i say|i choose|i pick|yes"
    "|indeed|simply|sino|sondern|mais|bensì|mas sim|а|而是|是|opción|opção|opzione|letra|es|est|ist"
    "|é|è|la"
)
ALONE = _pattern(
    rf"{GAP}{{0,9}}(?:(?:{_OPENING})\b{GAP}{{1,9}}|[=≈→]\s?){{0,6}}({GROUP})"
    rf"(?P<unit>(?:\s[^\W\d_]{{1,20}}){{0,2}}){GAP}{{0,9}}"
)
# Two quantities side by side, "3 apples and 4 pears", of which none is the result.
PAIR = _pattern(
    rf"{MARK}\s?(?:\w+\s?){{0,2}}(?:,\s|\band\b|\bor\b|&|/)\s?(?:\w+\s){{0,2}}{MARK}"
    rf"{GAP}{{0,9}}(?:\w+{GAP}{{0,9}}){{0,2}}$"
)

# How one is denied: before it, after it, or by taking back the clause before.
_WRONG = "wrong|incorrect|false|mistaken|invalid|falsch|faux|incorrect[aoe]|incorret[ao]"
_OWN = rf"\s(?:it|it's|that's|i|my|the (?:\w+ ){{0,2}}(?:{NOUN}))\b"
DENIES_NEXT = _pattern(
    r"\b(?:\w*n't|not|never|cannot|neither|nor|nicht|kein|keine|pas|нет|не)\b|≠|不[是选選]|并非",
    r"\b(?:nobody|no one|hardly anyone|no (?:reason|way|evidence|chance))\b|(?<![\w)])!=",
    r"\b(?:no|não|non) (?:es|son|era|puede ser|é|são|è|sono|può essere)\b",
    rf"\b(?:so|nor|neither) (?:is|are|was|were|does|do)\s(?={MARK})",  # as what went before
    rf"\b(?:{_WRONG}|bad|tempting|poor|worst|tricky|trap)\s(?:\w+\s)?(?:answer|option|choice"
    r"|result|one|value|number|solution|guess)s?\b",
    rf"^{GAP}{{0,9}}(?:{_WRONG})\b\s?:(?!{_OWN})",
    rf"\b(?:{_WRONG}|mistake|error|wrongly|impossible|unlikely|unclear) (?:to|that|for)\b",
    _words(
        r"rul(?:e|es|ed|ing) out|eliminat\w*|exclud\w*|reject\w*|discard\w*|dismiss\w*|avoid",
        r"cross(?:ed|ing)? out|instead of|rather than|unlike|as opposed to|except|other than",
        r"besides|apart from|(?:any|every)thing but|all but|far from|compared (?:to|with)|than",
        r"doubt|disagree|none of|no longer|confus\w+ (?:\w+ )?with|distractors?|opposite of",
        r"common (?:mistake|error|misconception)|without|versus",
    ),
)
_ADVERB = (
    "also|both|all|clearly|definitely|simply|just|therefore|thus|then|plainly|obviously|certainly"
    "|thereby|easily|a|an|the|so|very|quite|only|always|now|been"
)
DENIES_LAST = _pattern(
    r"(?:\b(?:is|are|was|were|be|seems?|looks?|sounds?|feels?|ist|est|es|é|è)\b|'s\b|:|\s-)"
    rf"(?:\s(?:{_ADVERB})){{0,3}}\s?(?:not|never|{_WRONG}|impossible|unlikely|out|ruled out"
    r"|excluded|eliminated|rejected|tempting|too \w+|plausible|attractive|appealing|unrelated"
    r"|irrelevant|off|(?:\w+ )?(?:mistake|misconception|trap|distractor|error|decoy|typo))\b",
    r"\b(?:is|are|was|were|do|does|did|can|could|would|will|must|should|has|have|had|ca|wo)n't\b",
    r"\b(?:do|does|did|can|could|would|will|must|should|has|have) not\b|\bcannot\b|\bnever\b",
    r"\b(?:can|could|must|should|may|to)(?: \w+)? be (?:ruled out|eliminated|excluded|rejected"
    r"|discarded|dismissed|ignored|avoided)\b",
    rf"(?<={MARK})[^\w\n]{{1,4}}(?:no|nope|not)\b(?=\s?(?:$|[.,;!)]))",
    r"\b(?:fails?|failed|contradicts?|violates?)\b|[❌✗✘✖🚫]|≠|[错錯][误誤]|不正[确確]|不对|ではな",
    rf"(?<=\band {MARK}),?\s(?:too|as well)\b",
    rf"\s?[(\[](?:(?:it|that|this)(?:'s| is) )?(?:{_WRONG}|impossible|ruled out|eliminated|excluded"
    r"|rejected)(?=[)\],;:])",
)
CONTRAST = _pattern(
    _words("others?|rest|else|remaining|everything|they|it|any|all|which"),
)
"""A subject of its own, to which a denial belongs: "C, the others are wrong"."""
TAKES_BACK = _pattern(
    rf"{GAP}{{0,9}}(?:(?:but|and|which|that|this|it|they|both|however)\b{GAP}{{0,9}})?"
    rf"(?:(?:is|'s|was|would be|seems|are)\s)?(?:also |clearly )?(?:{_WRONG}|(?:is|was|are)?"
    r"(?:n't|\bnot)\s?(?:right|correct|true|it|so|the answer|the case)|no|nope)"
    rf"{GAP}{{0,9}}(?:though|however|either)?{GAP}{{0,9}}"
)
ONLY_LOOKS_LIKE_DENIAL = _pattern(
    _words(
        r"(?:there(?:'s| is) )?(?:no|without(?: a| any)?|beyond(?: a| any)?) (?:doubt|question)",
        r"(?:can|could|must) (?:only )?be (?:none other than|nothing (?:else )?(?:but|than))",
        r"none other than|nothing (?:else )?but|no(?:ne)? other (?:\w+ )?than|nothing else",
        r"(?:can(?:'t|not)|couldn't)(?: possibly)? be anything (?:but|other than|else than)",
        "no wonder|why not",
        r"(?:not|n't|never) (?:only|just|merely|wrong|incorrect|false|mistaken|impossible)",
        r"whether or not|can(?:'t|not) go wrong with|no problem|not sure(?: but)?",
        r"if (?:i|we) (?:remember|recall|understand|am|'m|have)(?: \w+){0,3}",
        r"if (?:we|you) (?:compare|look|check|count|add|calculate|compute|analy[sz]e|think|read)",
        r"if (?:any|needed|necessary|not mistaken)",
    )
)
_ALL = "all|every|each|any|everything|none|no|nobody|the others?|others?|options|choices"
_BUT = (
    r"(?:except|but|other than|besides|apart from|save)\b(?: for)?\s(?:the |option |choice ){0,2}"
    rf"({MARK})"
)
_OUT = rf"(?:{_WRONG}|out|eliminated|excluded|fails?|impossible)"
ANY_BUT = _pattern(r"\b(?:any|every|all)(?:one)?(?: of (?:them|these|those))?(?: \w+)? but\b")
EXCEPTION = _pattern("except|but |other than|besides|apart from|save")
ALL_BUT = _pattern(rf"\b(?:{_ALL})\b[^.\n]{{0,50}}?\b{_BUT}[^.\n]{{0,40}}\b{_OUT}\b")
ALL_WRONG_BUT = _pattern(
    rf"\b(?:{_ALL})\b[^.\n]{{0,40}}?\b{_OUT}\b[^.\n]{{0,20}}?\b{_BUT}",
    rf"\bnone\b(?! other)[^.\n]{{0,40}}?\b{_BUT}",
)

# What asserts nothing: suppositions, reports of what others think.
IF = _pattern(
    r"(?:(?:and|but|so|or|then|now|only|even|what|as)\s)?(?:if|suppose|supposing|imagine|unless"
    r"|were (?:it|the)|had (?:it|the)|say|provided)\b(?! that's)"
)
_TRIES = "check|test|try|consider|see if|examine|look at|assume|suppose|say|verify|evaluate"
SUPPOSES = _pattern(
    _words(
        r"(?<!that )(?<!which )(?:could|might|may)(?: (?!only)\w+)? (?:be|have been|seem)",
        "would have been",
        "maybe|perhaps|possibly|conceivably|potentially|assum(?:e|ing)",
        rf"(?:let's|let us|let me)(?: now| first| then)? (?:{_TRIES}|double-check)",
    ),
    # Not "the largest that can be found is 84".
    rf"\bcan(?: (?!only)\w+)? be (?:(?:either|the|an?|option|choice|equal|to) ){{0,2}}"
    rf"[(\"']?{MARK}",
    r"\b(?:e\.g\.|for (?:example|instance)\b|format\b)",
    r"^(?:consider|check(?:ing)?|test(?:ing)?|try(?:ing)?|case|candidate)\b(?=[^:]{0,20}:)"
    r"(?![^:]{0,20}:\s?(?:correct|right|true))",
)
_OTHERS = (
    r"some|many|most(?= (?:people|students|of|say|think|would|might|will)\b)|few|others|other \w+"
    r"|people|students?|someone|somebody|one|critics|he|she|they|you (?:might|may|could)|everyone"
    r"|everybody|(?:my|a|the|his|her|your) (?:(?!typical|average|ordinary)\w+ )?(?:friend|teacher"
    r"|student|person|colleague|neighbou?r|boss|mother|father"
    r"|brother|sister|reader|book|intuition|instinct)"
)
_SAY = (
    r"(?:answer|guess|thought|claim)(?!\s(?:is|are|was|be|to)\b|:)|says?|said|thinks?|believes?"
    "|believed|claim(?:s|ed)|argue[sd]?|guess(?:es|ed)|assume[sd]?|suggest(?:s|ed)?"
    "|answer(?:s|ed)|suspects?|gives?|gave"
)
REPORTS = _pattern(
    rf"\b(?:{_OTHERS})\b[^,.:;]{{0,30}}?\b(?<!the )(?:{_SAY})\b",
    r"\b(?:some|many|most|people|students|others)\b[^,.:;]{0,20}?\b(?:choose|chose|pick(?:ed)?"
    r"|select(?:ed)?|go for|prefer)\b",
    _words(
        "tempt(?:ed|ing)|at first(?: glance| sight)?|initially|intuitively|first thought",
        "my first (?:thought|guess|instinct|idea|answer)|used to (?:be|think)",
        "it is (?:easy|natural) to|supposedly|allegedly",
    ),
)
SPEECH = _pattern(r"\"[^\"\n]{0,80}?\b(?:is|are|be|was)\b[^\"\n]{0,80}\"")
CORRECTS = _pattern(
    rf"{GAP}{{0,9}}(?:(?:but|and|oh|hmm+|ah|well|no|nope|ok|okay|sorry|wait){GAP}{{1,9}}){{0,3}}"
    rf"(?:{CORRECTION}|(?:let me|i) (?:now )?(?:correct|rephrase|made|take|change|revise|switch)"
    r"(?: \w+){0,3})\b(?! of\b)"
)
AFFIRMS = _pattern(r"\W{0,9}(?:yes|correct|right|indeed|exactly|it is)\b")

# Where sentences and clauses end, and how they hang together.
SENTENCE = re.compile(r"(?<=[.!?;…])(?<!\be\.g\.)[\"')\]]{0,3}\s+|\n+|(?<=\?)(?=\w)")
_LAST_ITEM = (
    rf"(?:and|or)\s(?:the |option |choice |also ){{0,2}}[(\"']?{MARK}[)\"']?\s?"
    r"(?:$|[,.;:!?)]|and\b|or\b)"
)
CLAUSE = _pattern(
    r"\s?(?:—|--)\s?",
    r"(?<!thing)(?<!none)(?<!all),?\s(?=but\b)",
    r",?\s(?=(?:sino|sondern|mais|bensì|mas sim)\b)",
    r",\s(?=(?:а|es|est|ist|é|è)\b)|,\s?(?=而?是|[选選])",
    r",?\s(?=or (?:rather(?! than)|no)\b)|,\s(?=(?:choose|pick|select)\b)",
    r"\s(?:-\s|\()(?=(?:wait|no|actually|sorry|or rather|correction|edit)\b)",
    r",?\s(?=(?:so|therefore|thus|hence|while|whereas|although|though|however|yet|because|since"
    r"|if|unless|when|which|rather than|instead of|unlike|as opposed to|making|leaving|giving)\b)",
    rf",\s(?!{_LAST_ITEM})(?=(?:and|as|not|no|it|it's|its|that|that's|this|these|i|i'm|i'd|i'll"
    r"|we|they|she|he|you|there|the (?:\w+ ){0,3}answer|in fact|actually|wait|sorry|then)\b)",
    rf"(?:,|,? and)\s(?={MARK}[)\"']?\s(?:is|ist|est|es|was|has|can|could|must|should|would|does"
    r"|works|fits|holds|fails)\b)",
    rf",\s(?=(?:option |choice |(?:that|this) leaves ){MARK})",
)
SO_OR_BUT = _pattern(
    r"(?:but|so|however|yet|therefore|thus|hence|sino|sondern|mais|bensì|mas sim|а)\b|而是"
)
REASON = _pattern(r"(?:because|since|as|given|for)\b")
NO_ANSWER = _pattern(rf"(?:{CUE.pattern}){FILL}(?:none|unknown|n/a)\b(?! of\b)")
SO = _pattern(r"(?:so|therefore|thus|hence)\b|=\s")
GOES_ON = _pattern(r"(?:because|since|as|and|which|that)\b")
BETWEEN = _pattern(rf"\b(?:between|among)\s{MARK}\s(?:and|or)\s{MARK},?")
PREPOSITION = _pattern("instead|rather|unlike|as opp|except|other|besides|apart|compared")
OWN = _pattern(rf":{_OWN}")
"""A statement of its own after a colon: "I disagree: the answer is ..."."""
RESUMES = _pattern(r"[=≈]|:(?=\s)|\b(?:is|are|was|were)\b(?!n't| not)")
RELATIVE = _pattern(r"\b(?:that|which|who|where|when|whose)\b")
