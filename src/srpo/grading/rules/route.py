"""Grade a prediction: take the gold's kind, read the prediction as that kind, compare, and say which rule decided."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from srpo.core.records import Grade, Problem, Verdict
from srpo.grading.answers import Extraction, extract_answer
from srpo.grading.normalise import MAX_ANSWER_CHARS, clean
from srpo.grading.patterns import pattern
from srpo.grading.rules.choices import (
    LETTERS,
    GoldChoice,
    chosen_letters,
    gold_choice,
    lettered_option,
    opening_letter,
    options_meant,
)
from srpo.grading.rules.compare import same
from srpo.grading.rules.hedges import affirmed, blurred, negated, unsure
from srpo.grading.rules.reading import read
from srpo.grading.rules.sentences import reductions, without_reason
from srpo.grading.rules.splitting import trim
from srpo.grading.rules.text import YesNo, fold, gold_yes_no, same_text, says_yes_or_no, yes_no
from srpo.grading.rules.values import (
    Bearing,
    ClockTime,
    Expression,
    Intervals,
    MatrixRows,
    Number,
    Ratio,
    Reading,
    Relation,
    Several,
    Words,
)

GoldKind = Literal[
    "letter", "letters", "option", "yes_no", "number", "percent", "ratio", "time", "bearing", "interval", "inequality",
    "set", "tuple", "list", "relation", "expression", "matrix", "text",
]  # fmt: skip
_HINTS = frozenset(
    ("ratio", "time", "expression", "text", "list", "tuple", "interval", "set", "letter", "letters", "option")
)
MAX_SYMBOLIC_CHARS = 400


class SymbolicVerifier(Protocol):
    """The last resort for mathematics that the rules do not understand."""

    def verify(self, gold: str, prediction: str) -> bool | None:
        """Are the two equal? None when that could not be decided in time."""
        ...


_UNREAD = Reading(Words(""))


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer, read once."""

    kind: GoldKind
    text: str
    hint: str = ""
    original: str = ""
    """The whole gold, cleaned, where `text` leaves out a remark or the working around a box."""
    raw: str = ""
    """The text before cleaning, as a computer algebra system would like it."""
    answer: Reading = _UNREAD
    choice: GoldChoice | None = None
    verdict: YesNo | None = None
    error: str = ""
    """Why nothing can be graded against this gold; empty when it is fine."""


class RuleResult(NamedTuple):
    """True, False or None (cannot be told), and why."""

    right: bool | None
    reason: str


_GOLD_REMARK = pattern(
    r"\s?\((?:or |not unique|answers? may vary|答案不唯一)[^()]{0,60}\)\s{0,3}$",
    yes="5 (answers may vary)",
    no="5 (cm)",
)
_PROSE_CHARS = 100
_PLACEHOLDERS = frozenset(("nan", "null", "n/a", "?", "tbd", "-", "..."))


def _lines_once(gold: str) -> str:
    r"""`-4.9\n-4.9` is one answer; different lines are a list."""
    lines = [line.strip() for line in gold.splitlines() if line.strip()]
    if len(lines) < 2:
        return gold
    return lines[0] if len(set(lines)) == 1 else ", ".join(lines)


def _hint(kind: str | None) -> str:
    name = (kind or "").lower()
    return "letter" if name.startswith("mcq") else name if name in _HINTS else ""


@lru_cache(maxsize=2048)
def read_gold(gold: str, choices: tuple[str, ...], kind: str | None) -> Gold:  # noqa: PLR0911 - one return a kind
    """Read a gold answer; `error` is set when it cannot be graded against."""
    hint = _hint(kind)
    if len(gold) > MAX_ANSWER_CHARS:
        return Gold("text", gold[:80], error="the gold answer is too long")
    gold = _lines_once(gold)
    original = clean(gold)
    gold = _GOLD_REMARK.sub("", gold)
    if "boxed" in gold and (boxed := extract_answer(gold)).text is not None:
        gold = boxed.text
    text = clean(gold)
    if not text or text.lower() in _PLACEHOLDERS or not fold_or_sign(text):
        return Gold("text", text, error=f"the gold answer {gold!r} is empty")
    choice = gold_choice(gold, choices, hint) if hint != "text" else None
    if choice is not None:
        return Gold("letters" if len(choice.letters) > 1 and not choice.any_of else "letter", text, hint, choice=choice)
    if hint in ("letter", "letters") and choices:
        return Gold("letter", text, error=f"the gold answer {gold!r} is none of the {len(choices)} options")
    decided = gold_yes_no(text)
    if decided is not None:
        return Gold("yes_no", text, hint, answer=Reading(Words(text)), verdict=decided)
    raw = gold.strip().strip("$")
    answer = read(gold, hint)
    if (len(gold) > _PROSE_CHARS or "answer" in gold.lower()) and _unread(answer):
        answer = _concluded(gold, hint) or answer
    if isinstance(answer.value, Words) and answer.value.mathematical and _unbalanced(text):
        return Gold("text", text, error=f"the gold answer {gold!r} is not well formed")
    return Gold(_kind_of(answer), text, hint, original, raw, answer)


def _concluded(gold: str, hint: str) -> Reading | None:
    """The answer at the end of a gold that is a whole solution in words."""
    found = extract_answer(gold)
    if found.text is None or found.how not in ("marker", "conclusion"):
        return None
    return next((answer for text in reductions(found.text) if not _unread(answer := read(text, hint))), None)


def fold_or_sign(text: str) -> str:
    """What is left of a text as letters, digits or signs that can be an answer."""
    return fold(text) or "".join(c for c in text if c in "<>=≤≥≠+∅√×∞±")


def _unbalanced(text: str) -> bool:
    return (
        text.count("{") != text.count("}") or text.endswith("\\") or text.count("(") > text.count(")") + text.count("]")
    )


def _kind_of(answer: Reading) -> GoldKind:  # noqa: PLR0911 - a table
    match answer.value:
        case Number(percent=percent):
            return "percent" if percent else "number"
        case Expression():
            return "expression"
        case Several(kind=kind):
            return "tuple" if kind == "bracket" else kind
        case Intervals(variable=variable):
            return "inequality" if variable else "interval"
        case Relation():
            return "relation"
        case Ratio():
            return "ratio"
        case ClockTime():
            return "time"
        case Bearing():
            return "bearing"
        case MatrixRows():
            return "matrix"
    return "text"


def classify_gold(problem: Problem) -> GoldKind | None:
    """The kind of a problem's gold answer; None when it is ungradable."""
    gold = read_gold(problem.answer, problem.choices, problem.kind)
    return None if gold.error else gold.kind


def grade_gold(problem: Problem) -> str | None:
    """Why a problem's gold answer cannot be graded against; None when it can."""
    return read_gold(problem.answer, problem.choices, problem.kind).error or None


def grade_answer(problem: Problem, prediction: str, symbolic: SymbolicVerifier | None) -> Grade:
    """What `Grader.grade` does; `symbolic` is asked only about mathematics that the rules cannot read."""
    gold = read_gold(problem.answer, problem.choices, problem.kind)
    if gold.error:
        return Grade(verdict="ungradable", extracted=None, reason=gold.error)
    found = extract_answer(prediction)
    if found.text is None and gold.choice is not None and "no answer is marked" in found.why:
        found = Extraction(prediction[-300:], "conclusion", context=prediction[-300:])
    if found.text is None:
        return Grade(verdict="incorrect", extracted=None, reason=f"no answer: {found.why}")
    shown = _printable(found.text)
    if len(found.text) > MAX_ANSWER_CHARS:
        return Grade(verdict="incorrect", extracted=shown, reason="the answer is too long")
    right, reason = _decide(gold, found, problem.choices, symbolic)
    if reason == _NO_OPTION and found.how == "conclusion" and (opening := opening_letter(prediction, problem.choices)):
        shown = opening
        right, reason = _decide(gold, Extraction(opening, "conclusion", context=opening), problem.choices, symbolic)
    verdict: Verdict = "correct" if right else "incorrect"
    return Grade(verdict=verdict, extracted=shown, reason=f"{gold.kind}: {reason} ({found.how})")


def _printable(text: str) -> str:
    """Records refuse lone surrogates, and nobody wants a megabyte in a log."""
    return text[:MAX_ANSWER_CHARS].encode("utf-8", "replace").decode("utf-8")


def _decide(gold: Gold, found: Extraction, choices: tuple[str, ...], symbolic: SymbolicVerifier | None) -> RuleResult:
    text = found.text or ""
    cleaned = clean(text)
    hedge = unsure(text, found.context, found.lead)
    if hedge is not None and unsure(gold.text) is None and not any(unsure(choice) for choice in choices):
        return RuleResult(False, f"hedged: {hedge!r}")
    if cleaned and cleaned in (gold.text, gold.original):
        return RuleResult(True, "same text")
    if gold.choice is not None:
        return _decide_choice(gold, gold.choice, text, choices)
    if gold.verdict is not None:
        said = yes_no(text) or yes_no(cleaned) or (None if says_yes_or_no(text) else yes_no(clean(found.context)))
        return RuleResult(said == gold.verdict, f"reads as {said}" if said else "neither yes nor no")
    if gold.kind == "text" and not (isinstance(gold.answer.value, Words) and gold.answer.value.mathematical):
        return _decide_text(gold, text)
    return _decide_value(gold, text, symbolic)


_NO_OPTION = "chooses no option"
_LETTER_CHARS = 20
_CONNECTIVE = pattern(r"\b(?:and|or)\b|[或且]", re.IGNORECASE, yes="2 and 3", no="sandy 3")
_EITHER = pattern(r"\bor\b|或", re.IGNORECASE, yes="2 or 3", no="2, 3")


def _decide_choice(gold: Gold, choice: GoldChoice, text: str, choices: tuple[str, ...]) -> RuleResult:
    whole = lettered_option(text, choices) if choices else None
    several = len(choice.letters) > 1 and not choice.any_of
    chosen = chosen_letters(whole or (text.upper() if several and _LOWER_RUN.fullmatch(text.strip()) else text))
    if choices and not several and not (chosen.stated and len(chosen.letters) == 1):
        by_text = _decide_option_text(choice, text, choices)
        if by_text is not None:
            return by_text
    beyond = bool(choices) and all(LETTERS.index(letter) >= len(choices) for letter in chosen.letters)
    if not chosen.letters or (beyond and (not chosen.stated or len(text) > _LETTER_CHARS)):
        # "AB" may be a segment: "the segment AB" chooses no options, but says the same
        named = several and not choices and not gold.hint and _names_figure(gold.text, text)
        return RuleResult(named, "same text" if named else _NO_OPTION)
    names = ", ".join(sorted(chosen.letters))
    if len(chosen.letters) > 1 and _EITHER.search(text):
        return RuleResult(False, f"chooses {names} as alternatives")
    if choice.any_of:
        return RuleResult(len(chosen.letters) == 1 and chosen.letters <= choice.letters, f"chooses {names}")
    return RuleResult(chosen.letters == choice.letters, f"chooses {names}, gold {', '.join(sorted(choice.letters))}")


_LOWER_RUN = pattern(r"[a-h]{2,8}", yes="abd", no="xyz", by="fullmatch")
_FIGURE = pattern(
    r"^(?:the )?(?:side|segment|line|ray|edge|chord|arc|diagonal|triangle|angle|△|∠)\s?",
    re.IGNORECASE,
    yes="the segment AB",
    no="AB",
)


def _names_figure(gold: str, text: str) -> bool:
    """`the segment AB` for a gold AB."""
    return any(same_text(gold, _FIGURE.sub("", trim(clean(statement)))) for statement in reductions(text))


def _decide_option_text(choice: GoldChoice, text: str, choices: tuple[str, ...]) -> RuleResult | None:
    """Decide by the option whose text or value the prediction repeats; None when it repeats none."""
    for statement in _statements(text):
        meant = options_meant(statement, choices)
        if meant:
            named = frozenset(LETTERS[i] for i in meant)
            if choice.any_of:
                return RuleResult(named <= choice.letters, "option text")
            # several options may carry the gold's text; naming that text is right, naming another is not
            gold_option = choices[LETTERS.index(min(choice.letters))]
            same_option = all(same_text(choices[i], gold_option) for i in meant)
            return RuleResult(choice.letters <= named and same_option, "option text")
    return None


def _decide_text(gold: Gold, text: str) -> RuleResult:
    for statement in reductions(text):
        if same_text(gold.text, trim(clean(statement))):
            return RuleResult(not negated(text) or negated(gold.text), "same words")
    if gold.text.isupper() and _names_figure(gold.text, text) and not negated(text):
        return RuleResult(True, "same figure")
    readings = (gold.answer, Reading(Words(gold.text)))
    answer = read(text)
    if any(same(reading, answer, hint=gold.hint) for reading in readings):
        return RuleResult(True, "same value")
    return RuleResult(False, "other words")


_WANT = {"ratio": "ratio", "time": "time"}


def _decide_value(gold: Gold, text: str, symbolic: SymbolicVerifier | None) -> RuleResult:
    undecided = False
    want = gold.hint or _WANT.get(gold.kind, "")
    for statement in _statements(text):
        answer = read(statement, want)
        decision = same(gold.answer, answer, hint=gold.hint)
        if decision:
            return RuleResult(True, "equal")
        undecided = undecided or decision is None
        if not _unread(answer):
            break
    else:
        if negated(text):
            return RuleResult(False, "not understood")
    if undecided and symbolic is not None and _is_worth_asking(gold, text):
        verdict = symbolic.verify(gold.raw, without_reason(text).strip().strip("$"))
        return RuleResult(bool(verdict), "symbolic: equal" if verdict else "symbolic: not equal or undecided")
    return RuleResult(False, "not understood" if undecided else "different")


def _is_worth_asking(gold: Gold, text: str) -> bool:
    """A plain number has been read as well as can be; what remains is LaTeX of reasonable size that commits itself."""
    plain = isinstance(gold.answer.value, Number) and "\\" not in text
    # a computer algebra system reads over "and" and "or"
    worded = _CONNECTIVE.search(text) or _CONNECTIVE.search(gold.text)
    return not plain and not worded and not blurred(text) and max(len(text), len(gold.text)) <= MAX_SYMBOLIC_CHARS


def _statements(text: str) -> Iterator[str]:
    if "\n" in text:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(len(line) <= 60 for line in lines):
            text = _lines_once(text)
    text = affirmed(text)
    if negated(text) and len(text) < 200:
        yield text
        return
    yield from reductions(text)


def _unread(answer: Reading) -> bool:
    """Nothing but words, or a list with words in it: a shorter statement may be inside."""
    if isinstance(answer.value, Words):
        return True
    if isinstance(answer.value, Several):
        return any(_unread(item) for item in answer.value.items)
    return False
