"""The option that a text chooses, by letter, by its words, or by its value.

A letter behind `the answer is` decides, also where the text next to it is another option's. Without a letter, the
statement that takes up the question best decides by the one option that it names and does not reject.

>>> read_choice("The owl population would decrease.", "What happens to owls?", ("increase", "decrease")).number
1
>>> read_choice("It is either an increase or a decrease.", "What happens?", ("increase", "decrease")).number is None
True
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from srpo.grading.answers import Extraction
from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of
from srpo.grading.prose.mentions import Options, is_letter, mentions, telling, tokens
from srpo.grading.prose.number import BARE_CHARS, read_number
from srpo.grading.prose.polarity import NEGATIONS, plain_words, turns_round
from srpo.grading.prose.refusals import answering, refuses
from srpo.grading.prose.text import NOTHING, Statement, marked_answer, overlap, statements
from srpo.grading.prose.words import asked, content
from srpo.grading.prose.yes_no import read_yes_no
from srpo.grading.rules.choices import LETTERS, chosen_letters, lettered_option, option_beside, options_meant
from srpo.grading.rules.reading import read
from srpo.grading.rules.sentences import reductions
from srpo.grading.rules.text import fold
from srpo.grading.rules.values import Number

NO_OPTION = "no statement names one option"


class ChoiceRead(NamedTuple):
    """Index of the chosen option; None when none is, with the reason."""

    number: int | None
    reason: str


def read_choice(text: str, question: str, options: Options) -> ChoiceRead:
    """The option that `text` chooses as the answer to `question`."""
    found = marked_answer(text)
    marked = _marked(found, text, options)
    if marked is not None:
        return marked
    made = _without_list(statements(text), options)
    boxed = found is not None and found.how in ("box", "answer block")
    if found is not None and NOTHING.match(found.text or ""):
        return ChoiceRead(None, "gives no answer")
    # what is boxed is no option: only a letter that is called the answer may stand against it
    by_letter = _called_answer(made, options) or (None if boxed else _lettered(text, made, options))
    if by_letter is not None or boxed or not made:
        return by_letter or ChoiceRead(None, "what is boxed is no option" if boxed else "no statement")
    if (sides := _yes_no_options(options)) is not None:
        verdict = read_yes_no(text, question)
        return ChoiceRead(sides.get(verdict.verdict or ""), verdict.reason)
    left = made if any(refuses(option) for option in options) else answering(made, question)
    if not left:
        return ChoiceRead(None, "gives no answer")
    return _valued(text, question, options) or _worded(left, question, options) or _touched(left, options)


def _yes_no_options(options: Options) -> dict[str, int] | None:
    folded = [fold(option) for option in options]
    for yes, no in (("yes", "no"), ("true", "false")):
        if sorted(folded) == sorted((yes, no)):
            return {"yes": folded.index(yes), "no": folded.index(no)}
    return None


def _valued(text: str, question: str, options: Options) -> ChoiceRead | None:
    """Options that are all numbers are told apart by the number that the text gives."""
    values = [read(option).value for option in options]
    if not all(isinstance(value, Number) for value in values):
        return None
    number = read_number(text, question)
    if number.value is None:
        return None
    meant = [i for i, value in enumerate(values) if isinstance(value, Number) and value.value == number.value]
    return ChoiceRead(meant[0] if meant else None, "value" if meant else "a value beyond the options")


# -- marked answers

_CALLED = any_of("answer; correct option; correct choice; best option; right option; letter")
_ANSWER_LETTER = pattern(
    rf"\b{_CALLED}\b(?: (?:letter|choice|option))?(?: would| should| must| will)?(?: be| is|:)?\s{{0,2}}(?:the )?"
    r"(?:most likely |likely |probably |therefore |thus )?(?:option |choice |letter )?"
    r"[\"'(\[*]{0,3}([A-H])[\"')\].:*]{0,3}(?![\w'])",
    yes="the correct option is (B)",
    no="the answer is Blue",
)
_BRACKETED = pattern(
    r"(?<![\w)])[(\[](?:[Oo]ption |[Cc]hoice )?([A-Ha-h])[)\]](?![\w(])", yes="so (B) holds", no="f(B)"
)
_CHOOSE = pattern(
    r"\b(?:choose|select|pick|chosen|go with|be|is) (?:option |choice )?"
    r"[\"'(]{0,2}([A-H])[\"')]{0,2}(?=\s?[.,;(]|\s?$)",
    yes="I choose B.",
    no="I choose Blue.",
)
_CONDITIONAL = pattern(
    r"\W*(?:if|when|suppose|in case)\b", re.IGNORECASE, yes="If B holds", no="B holds if", by="match"
)
_FIRST_LINE = pattern(r"\s*[(\[*]{0,3}([A-H])[)\]*.:]{0,3}\s*\n", yes="B.\nFor", no="B is", by="match")
_LIST_ITEM = pattern(r"[(\[]?([A-H])[)\].:]\s?(?=\S)", yes="B) 12 cm", no="B 12 cm", by="match")


def _marked(found: Extraction | None, text: str, options: Options) -> ChoiceRead | None:
    """What is marked as the answer; a short text without any mark is the answer itself."""
    said = (found.text or "") if found else text if len(text) <= BARE_CHARS else ""
    how = found.how if found else "whole text"
    for spelled in (said.strip(), said.strip().rstrip(".").strip()):
        if spelled in options:
            return ChoiceRead(options.index(spelled), how)
    if len(beside := option_beside(said, options)) == 1:
        return ChoiceRead(min(beside), how)
    letters = chosen_letters(lettered_option(said, options) or said)
    if not letters.letters:
        return _meant(said, options, how) if found else None
    if len(letters.letters) > 1:
        return ChoiceRead(None, "several letters") if letters.stated else None
    index = LETTERS.index(min(letters.letters))
    if index < len(options):
        return ChoiceRead(index, how)
    return ChoiceRead(None, "a letter beyond the options") if letters.stated else None


def _meant(said: str, options: Options, how: str) -> ChoiceRead | None:
    """The option whose text or value is marked."""
    for part in reductions(said):
        meant = options_meant(part, options)
        if meant and len({fold(options[i]) for i in meant}) == 1:
            return ChoiceRead(min(meant), how)
    return None


def _called_answer(made: Sequence[Statement], options: Options) -> ChoiceRead | None:
    """The letter that a statement calls the answer; the last of them where they differ."""
    firm = [one.text for one in made if not _CONDITIONAL.match(one.text)]
    named = [match[1] for text in firm for match in _ANSWER_LETTER.finditer(text)]
    return _letter(named[-1:], options)


def _lettered(text: str, made: Sequence[Statement], options: Options) -> ChoiceRead | None:
    """The letter in the first line, or the one letter that the last statement with letters names."""
    labels = {match[1] for one in made if (match := _LIST_ITEM.match(one.whole))}
    first = _FIRST_LINE.match(text) or (_LIST_ITEM.match(text) if len(labels) == 1 else None)
    if first is not None and (found := _letter(first[1], options)):
        return found
    for one in reversed(made):
        if not _CONDITIONAL.match(one.text):
            matches = (*_BRACKETED.finditer(one.text), *_CHOOSE.finditer(one.text))
            if named := {match[1].upper() for match in matches}:
                return _letter(named, options)
    return None


def _letter(named: Sequence[str] | set[str], options: Options) -> ChoiceRead | None:
    usable = {letter for letter in named if LETTERS.index(letter) < len(options)}
    return ChoiceRead(LETTERS.index(usable.pop()), "letter") if len(usable) == 1 else None


def _without_list(made: Sequence[Statement], options: Options) -> list[Statement]:
    """Leave out a list of the options that a response only recites."""
    recited = {one.whole for one in made if _recites(one.whole, options)}
    return [one for one in made if len(recited) <= 1 or one.whole not in recited]


def _recites(text: str, options: Options) -> bool:
    match = _LIST_ITEM.match(text)
    if match is None or (index := LETTERS.index(match[1])) >= len(options):
        return False
    return tokens(text[match.end() :]) == tokens(options[index])


# -- options named by their words

_CONDITION = pattern(
    r"\b(?:if|when|as a result of|because(?: of)?|since|due to)\b[^,]*",
    re.IGNORECASE,
    yes="if it rains, no",
    no="it rains",
)
_OR = pattern(r"\b(?:or|either)\b", re.IGNORECASE, yes="B or C", no="B, C")
FEW_STATEMENTS = 3
"""A response of so few statements is about nothing but the answer: half of an option's words are enough."""


def _worded(made: Sequence[Statement], question: str, options: Options) -> ChoiceRead | None:
    wanted = content(asked(clean(question)))

    def rank(index: int) -> tuple[float, int]:
        one = made[index]
        return overlap(wanted, one) + 0.35 * one.concludes + 0.15 * (index == len(made) - 1), index

    for one in (made[index] for index in sorted(range(len(made)), key=rank, reverse=True)):
        claim = _CONDITION.sub(" ", one.text)
        if any("than" in option for option in options):
            claim = claim.replace(">", " larger than ").replace("<", " smaller than ")
        named = mentions(claim, options)
        turned = " than " in claim and turns_round(claim, question)
        held = {mention.number for mention in named if mention.rejected == turned}
        if len(held) > 1 and _OR.search(claim):
            return ChoiceRead(None, "names several options")
        if len(held) > 1:
            held = {mention.number for part in one.bold for mention in mentions(part, options)}
        if len(held) == 1:
            return ChoiceRead(held.pop(), "names the option")
    return None


def _touched(made: Sequence[Statement], options: Options) -> ChoiceRead:
    """The one option of which statements say most words: `the hottest month is July` of `July and August`."""
    if any(is_letter(option) for option in options):
        return ChoiceRead(None, NO_OPTION)
    keys = telling(options)
    windows = [*((one,) for one in reversed(made)), *pairwise(made)]
    for needed in (1.0, 0.5) if len(made) <= FEW_STATEMENTS else (1.0,):
        for window in windows:
            if any(NEGATIONS.intersection(plain_words(one.text)) for one in window):
                continue
            said = {token for one in window for token in tokens(one.text)}
            shares = [len(key & said) / len(key) if key else 0.0 for key in keys]
            if max(shares) >= needed and sum(share >= 0.5 for share in shares) == 1:
                return ChoiceRead(shares.index(max(shares)), "names most of the option")
    return ChoiceRead(None, NO_OPTION)
