"""Grade a prediction: take the gold's kind, read the prediction as that kind, compare, and say which rule decided."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from srpo.core.cleaning import spoken
from srpo.core.records import Grade, Problem, Verdict
from srpo.grading.answers import Extraction, extract_answer
from srpo.grading.normalise import MAX_ANSWER_CHARS, clean
from srpo.grading.patterns import pattern
from srpo.grading.rules.choices import (
    LETTERS,
    chosen_letters,
    lettered_option,
    letters_in,
    opening_letter,
    options_meant,
)
from srpo.grading.rules.compare import same
from srpo.grading.rules.gold_choices import GoldChoice
from srpo.grading.rules.golds import UNIQUE, Gold, is_unread, lines_once, read_gold
from srpo.grading.rules.hedges import affirmed, blurred, negated, unsure
from srpo.grading.rules.quantities import is_rounded
from srpo.grading.rules.ranges import read_joined
from srpo.grading.rules.reading import read
from srpo.grading.rules.recited import without_recited
from srpo.grading.rules.revised import denied, revised, without_denied
from srpo.grading.rules.sentences import reductions, without_reason
from srpo.grading.rules.splitting import trim
from srpo.grading.rules.statements import same_statement
from srpo.grading.rules.text import same_text, says_yes_or_no, yes_no
from srpo.grading.rules.values import (
    Number,
    Reading,
    Words,
)

MAX_SYMBOLIC_CHARS = 400


class OutOfTime(Exception):  # noqa: N818 - no error: the question stays open
    """Computer algebra did not come to an end within its CPU time."""


class SymbolicVerifier(Protocol):
    """The last resort for mathematics that the rules do not understand."""

    def verify(self, gold: str, prediction: str) -> bool | None:
        """Are the two equal? None when they cannot be read, or are too risky to ask about.

        Raises:
            OutOfTime: it took too long.
        """
        ...


class Aids(NamedTuple):
    """What the rules may use beside themselves."""

    symbolic: SymbolicVerifier | None = None
    rounded: float | None = None
    """How far, relative to an exact gold, an answer in decimals may be from it; None asks for exact answers."""


class RuleResult(NamedTuple):
    """True, False or None (cannot be told), and why."""

    right: bool | None
    reason: str


def grade_answer(problem: Problem, prediction: str, aids: Aids) -> Grade:
    """What `Grader.grade` does; `aids.symbolic` is asked only about mathematics that the rules cannot read."""
    gold = read_gold(problem.answer, problem.choices, problem.kind)
    if gold.error:
        return Grade(verdict="ungradable", extracted=None, reason=gold.error)
    prediction = without_recited(prediction, problem.choices)
    found = extract_answer(prediction)
    if found.text is None and gold.choice is not None and "no answer is marked" in found.why:
        tail = spoken(prediction)[-300:]
        found = Extraction(tail, "conclusion", context=tail)
    if found.text is None:
        return Grade(verdict="incorrect", extracted=None, reason=f"no answer: {found.why}")
    shown = _printable(found.text)
    if len(found.text) > MAX_ANSWER_CHARS:
        return Grade(verdict="incorrect", extracted=shown, reason="the answer is too long")
    right, reason = _decide(gold, found, problem.choices, aids)
    if (
        reason == CHOOSES_NONE
        and found.how == "conclusion"
        and (opening := opening_letter(spoken(prediction), problem.choices))
    ):
        shown = opening
        right, reason = _decide(gold, Extraction(opening, "conclusion", context=opening), problem.choices, aids)
    verdict: Verdict = "undecided" if right is None else "correct" if right else "incorrect"
    return Grade(verdict=verdict, extracted=shown, reason=f"{gold.kind}: {reason} ({found.how})")


def _printable(text: str) -> str:
    """Records refuse lone surrogates, and nobody wants a megabyte in a log."""
    return text[:MAX_ANSWER_CHARS].encode("utf-8", "replace").decode("utf-8")


def _decide(gold: Gold, found: Extraction, choices: tuple[str, ...], aids: Aids) -> RuleResult:  # noqa: PLR0911 - one return a kind
    text = revised(found.text or "", arrows="→" not in gold.text)
    cleaned = clean(text)
    if not text.strip():
        return RuleResult(False, "taken back")
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
    if (kept := without_denied(text)) != text and not denied(gold.text):
        if not kept:
            return RuleResult(False, "taken back")
        text = kept
    text = UNIQUE.sub("", text)
    if gold.kind == "text" and not (isinstance(gold.answer.value, Words) and gold.answer.value.mathematical):
        return _decide_text(gold, text)
    return _decide_value(gold, text, aids)


CHOOSES_NONE = "chooses no option"
"""Reason where an answer names none of the options."""
"""Reason where an answer names none of the options."""
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
    if (
        len(chosen.letters) == 1
        and letters_in(text) <= chosen.letters
        and denied(text)
        and not any(denied(option) for option in choices)
    ):
        return RuleResult(False, "taken back")
    beyond = bool(choices) and all(LETTERS.index(letter) >= len(choices) for letter in chosen.letters)
    if not chosen.letters or (beyond and (not chosen.stated or len(text) > _LETTER_CHARS)):
        # "AB" may be a segment: "the segment AB" chooses no options, but says the same
        named = several and not choices and not gold.hint and _names_figure(gold.text, text)
        return RuleResult(named, "same text" if named else CHOOSES_NONE)
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
    gold_range = read_joined(gold.text)
    for statement in reductions(text):
        said = trim(clean(statement))
        if same_text(gold.text, said) or same_statement(gold.text, said):
            return RuleResult(not negated(text) or negated(gold.text), "same words")
        if (gold_range or read_joined(said)) and same(read(gold.text), read(said)):
            return RuleResult(not negated(text), "same range")
    if gold.text.isupper() and _names_figure(gold.text, text) and not negated(text):
        return RuleResult(True, "same figure")
    readings = (gold.answer, Reading(Words(gold.text)))
    answer = read(text)
    if any(same(reading, answer, hint=gold.hint) for reading in readings):
        return RuleResult(True, "same value")
    return RuleResult(False, "other words")


_WANT = {"ratio": "ratio", "time": "time"}


_NOTHING = pattern(
    r"(?:there (?:are|is|were|was) )?(?:none(?: of (?:them|these|the (?!above|option|choice|answer)[a-z]+))?|nothing"
    r"|nil|no one|nobody|no (?!answer|solution|idea|option|information|number|value|choice|way|data|result|one)[a-z]+"
    r"(?: [a-z]+){0,2})(?: left| remaining| in total| at all)?\W*",
    re.IGNORECASE,
    yes="no objects",
    no="no solution",
    by="fullmatch",
)


_DOMAIN = pattern(
    r"(?<=[\w)}$])\s?(?:,|;|\bfor|\bwhere|\bwith|\bwhen|\()\s?\$?(?:-?[\d.∞]{1,6}\s?(?:[<≤]|\\leq?)\s?)?"
    r"[a-z]\s?(?:(?:[<>≤≥≠∈]|\\(?:leq?|geq?|neq?|in)\b)\s?-?\\?[\w.∞*+^{}]{1,12})\$?\s?\)?\.?$",
    yes="y=-2x+8, 0 ≤ x ≤ 4",
    no="y=-2x+8",
)
"""Where a function is defined, behind the function: a remark."""


def _decide_value(gold: Gold, text: str, aids: Aids) -> RuleResult:  # noqa: PLR0911 - one return a reason
    zero = isinstance(gold.answer.value, Number) and gold.answer.value.value == 0
    if zero and _NOTHING.fullmatch(clean(text)):
        return RuleResult(True, "none")
    undecided = False
    want = gold.hint or _WANT.get(gold.kind, "")
    if gold.kind in ("relation", "expression"):
        text = _DOMAIN.sub("", text)
    for statement in _statements(text):
        answer = read(statement, want)
        decision = same(gold.answer, answer, hint=gold.hint)
        if decision:
            return RuleResult(True, "equal")
        if aids.rounded is not None and is_rounded(gold.answer.value, answer.value, aids.rounded):
            return RuleResult(True, f"within {aids.rounded:g} of the exact value")
        undecided = undecided or decision is None
        if not is_unread(answer):
            break
    else:
        if negated(text):
            return RuleResult(False, "not understood")
    if undecided and aids.symbolic is not None and _is_worth_asking(gold, text):
        try:
            verdict = aids.symbolic.verify(gold.raw, without_reason(text).strip().strip("$"))
        except OutOfTime:
            return RuleResult(None, "symbolic: ran out of its CPU time")
        return RuleResult(bool(verdict), "symbolic: equal" if verdict else "symbolic: not equal or not read")
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
            text = lines_once(text)
    text = affirmed(text)
    if negated(text) and len(text) < 200:
        yield text
        return
    yield from reductions(text)
