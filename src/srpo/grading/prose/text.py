"""Prose, taken apart: the statements of a response, without code, tables and small talk.

>>> [s.text for s in statements("There are 3 bars, so the answer is three. I hope this helps!")]
['There are 3 bars', 'so the answer is three']
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from srpo.grading.answers import Extraction, extract_answer
from srpo.grading.normalise import clean, repair
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of, words
from srpo.grading.prose.words import stems

MAX_STATEMENTS = 120
"""Sentences of a response that are looked at: the first ones and, twice as many, the last ones."""
_HEAD_CHARS, _TAIL_CHARS, _SENTENCE_CHARS = 3000, 9000, 600


class Statement(NamedTuple):
    """A sentence, or a clause of one that stands for itself."""

    text: str
    """Cleaned."""
    stems: tuple[str, ...]
    """Its words in order, without their endings."""
    concludes: bool
    """Opened by `so`, `therefore`, `in conclusion`, or what follows from `since ..,`."""
    whole: str
    """The sentence that it comes from, cleaned."""
    bold: tuple[str, ...] = ()
    """What stands in `**` in that sentence."""


# -- what is no part of the answer

_OFFER = any_of("do; would; can; could; may; is; are; shall; should")
_MORE = any_of("other; else; more; another; help; try; like; further; want")
_IF_YOU = any_of(
    "'re looking; are looking; have (?:any|more|other|further|a|questions); need (?:any|more|help|further|me)",
    "want (?:me|to); would like; could; can (?:provide|share|give|upload); provide; share; give (?:me|us); like; still",
)
_SMALL_TALK = pattern(
    any_of(
        r"(?:i |we )?hope (?:this|that|it|i)\b; (?:please )?(?:let|tell) me know; (?:please )?feel free",
        rf"{_OFFER} (?:you|i|we|there)\b[^?]{{0,120}}{_MORE}\b[^?]{{0,120}}\?",
        rf"(?:alternatively, |otherwise, )?if you ?{_IF_YOU}\b; (?:is there )?anything else; thank(?:s| you)",
        "(?:sure|certainly|of course|absolutely|okay|ok|great)[,.!]?(?:\\s(?:i|here|let)\\b[^.!?]{0,100})?[.!:]?$",
        "you(?:'re| are) welcome; sorry for; i apologi[sz]e for; good luck; have a (?:nice|great|good)",
        "happy to help; i(?:'d| would) be happy; please (?:provide|upload|share|give|specify|note)",
    ),
    re.IGNORECASE,
    yes="I hope this helps",
    no="I hope so",
    by="match",
)
_ADVICE = pattern(
    any_of(
        r"(?:for|to (?:get|obtain)) (?:the )?(?:most |more )?(?:accurate|precise|definitive|specific|up-to-date)\b",
        r"(?:alternatively|otherwise|instead), (?:you|it|for|consult)\b; i(?:'d| would) recommend\b; i recommend\b",
        r"(?:you|one)(?: would| may| might| will| can| could|'d|'ll)?(?: need to| want to| have to)?"
        r" (?:consider|refer|consult|check)\b",
    ),
    re.IGNORECASE,
    yes="Alternatively, you could count",
    no="You count 5",
    by="match",
)
_FENCE = "```"
_RULE = pattern(r"[\s|:=_-]*", yes="|---|---|", no="|a|b|", by="fullmatch")
_PROGRAM = pattern(r"^(?:def \w+\(|import \w|from \w+ import|print\()", re.MULTILINE, yes="import math", no="important")
_CODE_LINE = pattern(
    r"\s+\S|def |import |from |print\(|return |for .*:$|while .*:$|if .*:$|el(?:se|if).*:$|#|\w+ ?[-+*/]?= |[)\]}]",
    yes="for i in x:",
    no="for all cats",
    by="match",
)
_NEXT_TURN = pattern(
    r"\n\s{0,3}(?:Question|Hint|User|Human|Q|Student|### (?:Human|Instruction|Question))\s?:",
    re.IGNORECASE,
    yes="5\nQuestion: Which?",
    no="The question: which?",
)


def own_turn(text: str) -> str:
    """A response without the questions that a model asks itself after its answer, and without their answers."""
    match = _NEXT_TURN.search(text)
    before = text[: match.start()].strip() if match else ""
    return before if before and not (len(before) <= 120 and _SMALL_TALK.match(before)) else text


def _without_code(text: str) -> str:
    """Leave code and tables out: what a program would print is not known without running it."""
    if _FENCE in text:
        pieces = text.split(_FENCE)
        text = "\n".join(pieces[::2] if len(pieces) % 2 else (*pieces[:-1:2], pieces[-1]))
    if _PROGRAM.search(text):
        text = "\n".join(line for line in text.splitlines() if not _CODE_LINE.match(line))
    if "|" in text:
        text = "\n".join(line for line in text.splitlines() if line.count("|") < 2 and not _RULE.fullmatch(line))
    return text


# -- sentences and clauses

_NO_END = frozenset(words("e.g i.e vs etc approx fig figs eq no st mr mrs ms dr u.s ca cf al resp inc"))
_END = pattern(r"[.!?]+[\"')\]*_]*(?=\s|$)|[。！？；]|\n+|\s[-•*]\s(?=[A-Z])", yes="It is 5. So", no="3.5")
_CLAUSE_WORDS = any_of(
    r"so(?! (?:that|on|much|many|far|as)\b); therefore; thus; hence; consequently; as a result; making; while; whereas",
    "but; however; because; since; although; though; meaning(?: that)?; indicating(?: that)?; implying(?: that)?",
    "suggesting(?: that)?; resulting in; leading to; which (?:means(?: that)?|makes|gives(?: us)?)",
    "which (?:is|are|was|were|has|have); with (?:each|a total)",
    "and (?:the|there|it|they|he|she|therefore|thus|hence|so|then)",
    "when (?:they|it|in) (?:are|is|fact|reality)(?: actually| really| in fact)?",
)
_CLAUSE = pattern(
    rf"(?:[,;]\s?|\s-+\s)(?={_CLAUSE_WORDS}\b)|;\s|:\s(?=[A-Z])",
    re.IGNORECASE,
    yes="5 cats, so 5 legs",
    no="5 cats, 5 legs",
)
_BARE_WORDS = any_of(
    "when (?:they are|it is) (?:actually|really|in fact); therefore; thus; hence; whereas; while; because",
    "so (?:the|there|it|we)",
)
_BARE_CLAUSE = pattern(rf"\s(?={_BARE_WORDS}\b)", re.IGNORECASE, yes="5 cats therefore 20 legs", no="5 cats so many")
_REASON_FIRST = pattern(
    r"\W*(?:since|because|given(?: that)?|as(?! (?:a|an|you|we|shown|can|for|of)\b)|knowing that)\b[^,]*,\s",
    re.IGNORECASE,
    yes="Since x = 2, y = 3",
    no="y = 3, since x = 2",
    by="match",
)
_CONCLUSIONS = any_of(
    "so; therefore; thus; hence; consequently; in conclusion; in summary; to summarize; overall; finally; and so",
    "as a result; accordingly; in total; in short; to conclude; this means; it follows; we can (?:conclude|say|see)",
    "which means; based on (?:this|these|that|the above); ∴; 所以; 因此; 综上; 故; 即",
)
_CONCLUDES = pattern(rf"\W*{_CONCLUSIONS}(?![a-z])", re.IGNORECASE, yes="Therefore 5", no="It is 5", by="match")
_BOLD = pattern(r"\*\*([^*\n]{1,80})\*\*", yes="**5**", no="5 ** 2")


def _sentences(text: str) -> list[str]:
    text = own_turn(repair(text))
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        text = text[:_HEAD_CHARS] + "\n" + text[-_TAIL_CHARS:]
    text = _without_code(text)
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        piece = text[start : match.start()]
        if match.group()[0] == "." and _goes_on(piece, text[match.end() : match.end() + 2]):
            continue
        found.append(text[start : match.end()])
        start = match.end()
    found.append(text[start:])
    bare = (piece.strip().lstrip("*•> ").strip() for piece in found)
    kept = [
        piece
        for piece in bare
        if any(c.isalnum() for c in piece) and not _SMALL_TALK.match(piece) and not _ADVICE.match(piece)
    ]
    third = MAX_STATEMENTS // 3
    return kept if len(kept) <= MAX_STATEMENTS else kept[:third] + kept[-2 * third :]


def _goes_on(piece: str, rest: str) -> bool:
    """Is the full stop behind `piece` part of an abbreviation, a label (`B. 15 cm`) or a numbering (`1. First`)?"""
    last = piece.rsplit(None, 1)[-1].lstrip("(*") if piece.strip() else ""
    if not last or last.lower().rstrip(".") in _NO_END:
        return True
    return bool(rest.strip()) and len(piece.strip().lstrip("*# ")) <= 2 and last[:2].isalnum()


class _Clause(NamedTuple):
    text: str
    concludes: bool


def _clauses(sentence: str) -> Iterator[_Clause]:
    for part in _CLAUSE.split(sentence):
        for clause in _BARE_CLAUSE.split(part):
            reason = _REASON_FIRST.match(clause)
            end = reason.end() if reason else 0
            if reason:
                yield _Clause(clause[:end], concludes=False)
            # "Since ∠B = 30° and ∠C = 90°, ∠A must be 60°": the second half concludes
            yield _Clause(clause[end:], concludes=bool(reason) or bool(_CONCLUDES.match(clause)))


def statements(text: str) -> list[Statement]:
    """The clauses of a text in order. A clause is a sentence, or what `so`, `while`, `but` and the like split off."""
    found: list[Statement] = []
    for sentence in _sentences(text):
        shown = sentence[:_SENTENCE_CHARS]
        bold = tuple(clean(part) for part in _BOLD.findall(shown))
        whole = clean(shown)
        for clause in _clauses(whole):
            bare = clause.text.strip(" .,;:")
            if any(c.isalnum() for c in bare):
                found.append(Statement(bare, stems(bare), clause.concludes, whole, bold))
    return found


def overlap(question: frozenset[str], statement: Statement) -> float:
    """Share of the question's words that a statement takes up, between 0 and 1.

    Those that the rest of its sentence takes up count for half: `The perimeter is their sum, which is 3 feet`.
    """
    if not question:
        return 0.0
    here = len(question.intersection(statement.stems))
    return (here + 0.5 * (len(question.intersection(stems(statement.whole))) - here)) / len(question)


# -- marked answers

NOTHING = pattern(
    r"\W*(?:\\text\{\s*)?(?:none\b|n/a\b|no (?:answer|option|solution)|cannot|can't|unknown|undefined)",
    re.IGNORECASE,
    yes="None of these",
    no="5",
)
"""Matches what is marked as the answer and is none."""

# "answer" in other languages than those that the core grader knows
_FOREIGN = pattern(
    any_of(
        "respuesta(?: correcta| final)? es; réponse(?: correcte)? est; antwort(?: ist| lautet)",
        "resposta(?: correta)? é",
        "risposta(?: corretta)? è; antwoord is; jawaban(?:nya)? adalah; (?:antwort|respuesta|réponse|resposta)\\s?:",
        "ответ; 答えは; 正解は; 정답은; 답은; câu trả lời là; उत्तर",
        "الإجابة(?: الصحيحة)?(?: هي)?; الجواب(?: هو)?; پاسخ; جواب",
    )
    + r"\s{0,3}[:：]?\s{0,3}(?P<said>[^\n]{1,80})",
    re.IGNORECASE,
    yes="La respuesta es 5",
    no="The answer is 5",
)
_FOREIGN_END = pattern(r"[.。,]\s|です|입니다|[.。]$", yes="5 입니다", no="5")
_IF = pattern(r"(?:^|[.!?\n,])\s*(?:if|when|in case|suppose)\b[^.!?\n]*$", re.IGNORECASE, yes="If x is 2", no="x is 2")


def marked_answer(text: str) -> Extraction | None:
    """What is boxed, in an answer block, or behind `the answer is`; None for `if .., the answer is ..`."""
    text = own_turn(text)
    found = extract_answer(text)
    if found.text is None or found.how not in ("answer block", "box", "marker"):
        foreign = list(_FOREIGN.finditer(text[-_TAIL_CHARS:]))
        return Extraction(_FOREIGN_END.split(foreign[-1]["said"])[0].strip(), "marker") if foreign else None
    if found.how == "marker":
        end = text.rfind(found.text)
        if _IF.search(text[max(0, end - _SENTENCE_CHARS) : max(0, end)]):
            return None
    return found
