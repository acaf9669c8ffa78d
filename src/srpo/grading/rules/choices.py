"""Multiple choice: which letters a text chooses, and which option a text or value means.

A letter wins over the text behind it (`B. 15 cm` is B); `option_beside` finds where the two name different options,
which benchmarks decide by the text. Words that merely begin with a letter are no letters (`Because`, `A triangle`,
`I am not sure`), and a text that names several letters chooses several.

    >>> sorted(chosen_letters("The answer is (B) because (A) is too small").letters)
    ['B']
    >>> sorted(chosen_letters("A or B").letters)
    ['A', 'B']
"""

import re
from functools import lru_cache
from typing import NamedTuple

from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of
from srpo.grading.rules.compare import same, same_in_order
from srpo.grading.rules.hedges import negated
from srpo.grading.rules.reading import read
from srpo.grading.rules.sentences import without_reason
from srpo.grading.rules.splitting import trim
from srpo.grading.rules.text import fold, gold_yes_no, same_text, yes_no
from srpo.grading.rules.values import Number, Words

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Chosen(NamedTuple):
    """Letters that a text chooses; empty when it chooses none. `stated` when nothing but letters was said."""

    letters: frozenset[str]
    stated: bool


_NO_ANSWER = frozenset(("n/a", "na", "none", "null", "nan"))
_NONE = Chosen(frozenset(), False)
# One letter in whatever brackets people put around it.
_OPEN, _SHUT = r"[(\[{<«]{0,2}\s?", r"\s?[)\]}>»]{0,2}"
_ONE = rf"{_OPEN}(?:option |choice |answer )?([A-Za-z]){_SHUT}"
_CAPITAL = rf"{_OPEN}[A-Z]{_SHUT}"
_OR = r"\s?(?:or|and|/|,|&|和|或者?|以及|及|与)\s?"
_BARE = pattern(rf"{_ONE}[\s.:,;!]*", re.IGNORECASE, yes="(b).", no="ab", by="fullmatch")
_NAMED = pattern(
    r"(?:the )?(?:correct |final |right |best |my )*(?:answer|option|choice|选项?|答案)?\s?(?:is|选|为|是|:|-|=)?\s?"
    rf"(?:option |choice |选项?)?{_ONE}(?:\s?选项|项)?[\s.:!]*",
    re.IGNORECASE,
    yes="the correct answer is B",
    no="the answer is Blue",
    by="fullmatch",
)
_JOINED = pattern(
    rf"(?i:both |either |options? |choices? |answers? )?{_CAPITAL}\.?"
    rf"(?:\s?(?:,|/|;|&|\+|and|or|和|或|与|\s)\s?(?:and |or |option )?{_CAPITAL}\.?){{1,12}}",
    yes="A, B and C",
    no="Blue, Red",
    by="fullmatch",
)
_JOINED_SMALL = pattern(_JOINED.pattern.replace("[A-Z]", "[a-h]"), yes="a and b", no="x and y", by="fullmatch")
# "A, b, c, d" and "A, A, A, A": an answer to each of several pictures, or a list of guesses
_LISTED = pattern(r"[A-Ja-j](?:\s?[,;/]\s?[A-Ja-j]){2,12}\.?", yes="A, b, c", no="A, x, y", by="fullmatch")
_BRACKETED = pattern(r"(?:[(\[]\s?[A-Z]\s?[)\]]\s?){2,12}", yes="(A)(C)", no="(A) cats", by="fullmatch")
_RUN = pattern(r"[A-J]{2,10}", yes="ABD", no="ABZ", by="fullmatch")
_LETTER = pattern(r"(?<![A-Za-z0-9'])([A-Z])(?![A-Za-z0-9']|\^)", yes="so B is", no="B2")
_LEADING = pattern(
    r"(?:option |choice |选项?\s?)?"
    r"(?:[(\[]\s?([A-Za-z])\s?[)\]][.:]?|([A-Za-z])\s?[).:](?!\w\.)|([A-Z])\s?(?:[,-](?=\s)|,(?=[\d\u4e00-\u9fff])))"
    r"\s?(?=\S)",
    re.IGNORECASE,
    yes="B. 15 cm",
    no="Because",
    by="match",
)
_LEADING_WORD = pattern(
    r"([A-Z])(?:\s(?:because|since|as|is (?:the )?(?:correct|right|answer|best))\b|不是)|([B-HJ-Z])\s(?=[A-Za-z(\[])",
    yes="B because",
    no="Because",
    by="match",
)
_NEXT = pattern(rf"{_OR}{_CAPITAL}(?![A-Za-z])", yes=" or C", no=" or Cats")
_MORE = pattern(
    rf"{_NEXT.pattern}|.{{0,60}}\b(?:or|and)\s?(?:[(\[][A-Z][)\]]|(?:option |choice )?[A-Z](?:[.:)]|$))",
    yes=" 12 cm or (C)",
    no=" 12 cm",
)
_REJECTING = any_of(
    r"(?<![A-Za-z])not\b; n't\b; \bcannot be\b; \bcan't be\b; \brather than\b; \binstead of\b; \bneither\b; \bnon\b",
    r"\bunlike\b; \b(?:cannot|can't|don't|do not|never) (?:choose|pick|select)\b; \bnone of\b; \bthan\b",
    r"\beliminat(?:e|es|ed|ing)\b; \bexclud(?:e|es|ed|ing)\b; \bdiscard(?:s|ed|ing)?\b; \brul(?:e|es|ed|ing) out\b",
    r"\bexcept(?: for)?\b; \b(?:all|any|anything|everything) but\b",
    "不是; 而非; 不选; 不能选; 不应选; 不可选; 排除",
)
_REJECTED = r"[(\[]?[A-Z][)\]]?(?![A-Za-z])"
_NOT_THESE = pattern(
    rf"(?i:{_REJECTING})\s?(?:for it to be |be )?(?:options? |choices? |answers? )?"
    rf"{_REJECTED}(?:\s?(?:,|or|nor|and|/|和|或)\s?{_REJECTED}){{0,8}}",
    yes="not B or C",
    no="not cats",
)
_IS_WRONG = pattern(
    r"[(\[]?(?<![A-Za-z])[A-Z][)\]]?(?:\s?(?:,|and|or)\s?[(\[]?[A-Z][)\]]?){0,6}"
    r"\s(?:is|are|was|were|cannot|can't|isn't|aren't|would be|must be|doesn't|does not)"
    r"\s?(?:not|n't|wrong|incorrect|false|be|too|smaller|less|impossible|n)"
    r"|(?<![A-Za-z])[A-Z]\s?(?:项|选项)?(?:不正确|错误|不对|是错|不符合|不成立)",
    yes="B is wrong",
    no="B is it",
)
_CHOOSE_WORDS = any_of(
    "answer; option; choice; choose; chose; select; pick; correct; go with; leav(?:es|ing)(?: only)?; 选择?项?; 答案"
)
_CHOOSES = pattern(
    rf"{_CHOOSE_WORDS}"
    r"\s?(?:is|are|was|:|=|为|是|应为|option|choice)*\s?(?:definitely |clearly |for sure |therefore |option |choice )*"
    r"[(\[]?([A-Z])[)\]]?(?![A-Za-z'])",
    re.IGNORECASE,
    yes="I choose B",
    no="I choose Blue",
)
_IS_RIGHT = pattern(
    r"(?<![A-Za-z])([A-Z])[)\].]?\s?(?:is|is the|为|是)\s?(?:the )?(?:only )?(?:correct|right|true|best|answer|正确)",
    yes="B is correct",
    no="B is big",
)
_IS_BRACKETED = pattern(r"(?:\bis|\bare|=|为|是)\s?\(([A-Z])\)", yes="it is (B)", no="it (B)")
_USUAL = frozenset("ABCDEFGH")
# up to the first full stop or negation: "D, it doesn't make sense for it to be A"
_CLAIM = pattern(r".*?(?=(?<!\.)\.\s[A-Z]|n't\b|\bnot\b|不|$)", re.DOTALL, yes="B. But", no="not B", by="match")
_LABELLED = pattern(
    r"(?<![A-Za-z0-9'])[(\[]?([A-H])[)\]]?[).:](?!\w)\s?(?=\S)|[(\[]([A-H])[)\]]\s?(?=\S)", yes="(B) cats", no="B cats"
)
_THEN = any_of(
    "or; and; to; vs.?; versus; plus; actually; no; wait; alternatively; also; otherwise; then; but; as well as"
)
_THEN_LETTER = pattern(
    rf"\W*(?:{_THEN}\W+){{0,3}}(?:(?:option|choice|选项?)\s?)?[(\[]?([A-H])[)\]]?\W*",
    re.IGNORECASE,
    yes=" or actually C",
    no=" or cats",
    by="fullmatch",
)
_REASONS = pattern(
    r"(?:because|since|as|for|given)\b|因为|由于", re.IGNORECASE, yes="because (A) fails", no="or (A)", by="match"
)
_PLAN = pattern(
    r"\b(?:plan|vitamin|hepatitis|grade|type|class|team|company|player|room|bus|mr\.?)\s[A-Z](?![A-Za-z])",
    re.IGNORECASE,
    yes="Plan B failed",
    no="Option B",
)
_ARTICLE = pattern(
    r"\bA(?=\s(?!(?:and|or|is|because|since|plus|then|also|as|vs|versus|to)\b)[a-z])|\bI\b", yes="A cat", no="A and B"
)


@lru_cache(maxsize=2048)
def chosen_letters(text: str) -> Chosen:
    """Work out which letters `text` chooses."""
    cleaned = clean(text) if len(text) <= 4000 else ""
    text = trim(cleaned)
    if not text or text.lower() in _NO_ANSWER:
        return _NONE
    stated = _stated(text)
    stated = _judged_one_by_one(cleaned) if stated is None else stated
    if stated is not None:
        return Chosen(stated, True)
    leading = _LEADING.match(text) or _LEADING_WORD.match(text)
    if leading:
        letter = next(group for group in leading.groups() if group).upper()
        rest = text[leading.end() :]
        if not _IS_WRONG.match(text) and not re.match(
            r"(?:is|was) (?:not|wrong|incorrect|false)|cannot|can't|isn't", rest
        ):
            given = not rest or _REASONS.match(rest)
            more = None if given else (_NEXT if negated(rest) else _MORE).match(_drop_rejected(rest))
            extra = frozenset(_LETTER.findall(more.group())) if more else frozenset()
            labelled = leading.re is _LEADING and text[: leading.end()].rstrip()[-1] not in "," and rest[:1] != "."
            further = frozenset() if given and labelled else _further(text if not labelled else rest, labelled=labelled)
            return Chosen(frozenset((letter,)) | extra | further, leading.re is _LEADING)
    return _mentioned(text)


def letters_in(text: str) -> frozenset[str]:
    """All letters that stand for themselves in a text, whether it chooses them or not."""
    return frozenset(_LETTER.findall(_ARTICLE.sub(" ", clean(text))))


def _stated(text: str) -> frozenset[str] | None:
    match = _BARE.fullmatch(text) or _NAMED.fullmatch(text)
    if match:
        return frozenset((match.group(1).upper(),))
    if len(text) <= 80 and _LISTED.fullmatch(text):
        listed = [c for c in text.upper() if c in LETTERS]
        return frozenset(listed) if len(set(listed)) == len(listed) else frozenset()
    if len(text) <= 80 and (_JOINED.fullmatch(text) or _BRACKETED.fullmatch(text)):
        return frozenset(_LETTER.findall(text))
    if len(text) <= 80 and _JOINED_SMALL.fullmatch(text):
        return frozenset(_LETTER.findall(text.upper())) & _USUAL
    if _RUN.fullmatch(text) and len(set(text)) == len(text):
        return frozenset(text)
    return None


def _judged_one_by_one(text: str) -> frozenset[str] | None:
    """The letters that `(A) No. (B) Yes.` affirms; None where letters are not judged one by one."""
    verdicts = {match[1]: match[2].lower() for match in _JUDGED.finditer(text)}
    if len(verdicts) < 2 or frozenset(_LETTER.findall(_ARTICLE.sub(" ", text))) & _USUAL != frozenset(verdicts):
        return None
    right = frozenset(letter for letter, verdict in verdicts.items() if verdict in _AFFIRMED)
    return right or None


def _further(text: str, *, labelled: bool) -> frozenset[str]:
    """Letters chosen beside the first. In the text of a labelled option (`B. Point C`) a letter needs its own label."""
    claim = _CLAIM.match(_drop_rejected(without_reason(text)))
    if claim is None:
        return frozenset()
    if not labelled:
        return frozenset(_LETTER.findall(_ARTICLE.sub(" ", claim.group()))) & _USUAL
    found = frozenset(match.group(1) or match.group(2) for match in _LABELLED.finditer(claim.group()))
    last = _THEN_LETTER.fullmatch(text)
    return found | frozenset((last.group(1).upper(),)) if last else found


def _drop_rejected(text: str) -> str:
    return _IS_WRONG.sub(" ", _NOT_THESE.sub(" ", text))


def _mentioned(text: str) -> Chosen:
    """Letters named in a sentence: `the correct option is B`, `I choose C`, or the only letter of a short text."""
    left = _ARTICLE.sub(" ", _drop_rejected(text))
    named = [
        m
        for m in (*_CHOOSES.finditer(left), *_IS_RIGHT.finditer(left), *_IS_BRACKETED.finditer(left))
        if m.group(1).isupper()
    ]
    if named:
        letters = {match.group(1) for match in named}
        for match in named:
            more = re.match(
                rf"{_SHUT}\s?(?:or|and|plus|[/,;&+-]|和|或者?|以及|及|与)\s?"
                rf"(?:option |choice |选项?)?{_OPEN}([A-Z]){_SHUT}(?![A-Za-z])",
                left[match.end() :],
            )
            if more:
                letters.add(more.group(1))
        return Chosen(frozenset(letters), False)
    found = frozenset(_LETTER.findall(_PLAN.sub(" ", left)))
    if not found or len(text) > 60 or not found <= _USUAL or re.search(r"[\d=+^≤≥≠±]", left):
        return _NONE
    return Chosen(found, False)


_AFFIRMED = frozenset(("yes", "true", "correct", "right", "√", "✓"))
_JUDGED = pattern(
    r"(?<![A-Za-z])[(\[]?([A-H])[)\]]?[.:]?\s?(?:is\s|-\s?)?(yes|no|true|false|correct|incorrect|right|wrong|[√✓✗])(?![a-z])",
    re.IGNORECASE,
    yes="(A) No.",
    no="A cat",
)
_OPTION_LABEL = pattern(r"[(\[]?([A-Z])[)\].:]\s?(?=\S)", yes="B. cats", no="Blue", by="match")


@lru_cache(maxsize=2048)
def _option_text(option: str, index: int) -> str:
    """An option without the letter that some data sets leave in front of it."""
    match = _OPTION_LABEL.match(option.strip())
    return option.strip()[match.end() :] if match and match.group(1) == LETTERS[index % 26] else option


def lettered_option(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter of `D. Both A and B` or `(D) E`, where the option D reads just that."""
    text = trim(clean(text))
    match = _LEADING.match(text)
    if match is None:
        return None
    letter = next(group for group in match.groups() if group).upper()
    index = LETTERS.index(letter)
    return letter if index < len(choices) and same_text(choices[index], text[match.end() :]) else None


def option_beside(text: str, choices: tuple[str, ...]) -> frozenset[int]:
    """Options that the text behind a letter names and the letter does not: `B. 18 cm`, where B is 15 cm and C 18 cm."""
    text = trim(clean(text))
    match = _LEADING.match(text)
    if match is None:
        return frozenset()
    index = LETTERS.index(next(group for group in match.groups() if group).upper())
    meant = options_meant(text[match.end() :], choices) if index < len(choices) else frozenset()
    return frozenset() if index in meant else meant


_FIRST_LINE = pattern(
    r"\s{0,9}[(\[*]{0,3}([A-Z])(?:[)\]*.:]{1,3}[^\S\n]{0,3}(?=\S)|[)\]*.:]{0,3}[^\S\n]{0,9}\n)",
    yes="B: 15 cm",
    no="Because",
    by="match",
)


def opening_letter(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter that a response opens with, alone in its line or with the text of its option: `B: 15 cm. For ..`"""
    match = _FIRST_LINE.match(text)
    index = LETTERS.index(match[1]) if match else len(choices)
    if match is None or index >= len(choices):
        return None
    alone = match.group().endswith("\n")
    return match[1] if alone or text[match.end() :].startswith(choices[index].strip()) else None


def options_meant(text: str, choices: tuple[str, ...]) -> frozenset[int]:
    """Indices of the options that `text` repeats, as text or by value."""
    said = trim(clean(text))
    exact = frozenset(i for i, option in enumerate(choices) if same_text(clean(_option_text(option, i)), said))
    if exact:
        return exact
    if frozenset(fold(option) for option in choices) <= {"yes", "no", "true", "false"}:
        decided = yes_no(clean(text))
        return frozenset(i for i, option in enumerate(choices) if decided and gold_yes_no(option) == decided)
    answer = read(text)
    if isinstance(answer.value, Words):
        return frozenset()
    found = []
    for index, option in enumerate(choices):
        wanted = read(_option_text(option, index))
        if same(wanted, answer):
            # 50% is not the option 0.5 when the option 50 is there as well; an equal spelling of the unit decides
            found.append((index, _same_shape(wanted.value, answer.value)))
    ordered = (
        [i for i, _ in found if same_in_order(read(_option_text(choices[i], i)), answer)] if len(found) > 1 else []
    )
    if ordered:
        return frozenset(ordered)
    best = [index for index, shape in found if shape]
    return frozenset(best or [index for index, _ in found])


def _same_shape(wanted: object, answer: object) -> bool:
    if isinstance(wanted, Number) and isinstance(answer, Number):
        return wanted.percent == answer.percent and (wanted.unit is None) == (answer.unit is None)
    return True
