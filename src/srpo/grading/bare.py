r"""The bare final answer of a response, as harnesses want it: a letter, a number, a word, and nothing around it.

Their parsers take the first `<answer>`, letters out of reflections, or a number with its unit for no number. They never
see more than this; the whole text stays in our traces.

    >>> bare_answer("<answer>A</answer> <reflection>No.</reflection> <think>..</think> <answer>B. 12 cm</answer>",
    ...             choices=("10 cm", "12 cm"))
    'B'
    >>> bare_answer(r"So it is \boxed{1,250 kg}.", number=True)
    '1250'
"""

from collections.abc import Sequence
from fractions import Fraction

from srpo.grading.answers import extract_answer
from srpo.grading.normalise import clean
from srpo.grading.patterns import pattern
from srpo.grading.rules.choices import LETTERS, chosen_letters, lettered_option, options_meant
from srpo.grading.rules.quantities import read_quantity
from srpo.grading.rules.splitting import trim

_NUMERAL = pattern(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+", yes="-1,250.5", no="12 cm", by="fullmatch")
_BRACKETED = pattern(r"[(\[]([a-z])[)\]]", yes="(b)", no="(b", by="fullmatch")
_LONGEST = 200
"""Characters of an answer in which a number or an option is looked for."""


def bare_answer(text: str, *, choices: Sequence[str] = (), lettered: bool = False, number: bool = False) -> str:
    """Take the final answer out of a response.

    Args:
        text: A response, or an answer.
        choices: The options where they are known; a letter is handed over.
        lettered: Whether the question has lettered options, where their texts are not known.
        number: Whether the answer is to be a number; its unit is dropped.

    Returns:
        The answer; empty when the response has none.
    """
    answer = extract_answer(text).text
    if answer is None:
        return ""
    shown = _unwrapped(answer)
    if len(shown) > _LONGEST:
        return shown
    if choices or lettered:
        return _letter(shown, tuple(choices)) or shown
    return (_numeral(shown) or shown) if number else shown


def is_plain_number(gold: str) -> bool:
    """Whether a gold answer is a plain number.

    >>> is_plain_number("-2.5"), is_plain_number("12 cm")
    (True, False)
    """
    return _NUMERAL.fullmatch(gold.strip()) is not None


def folded_answer(text: str) -> str:
    r"""An extracted answer without what does not count in it: case, blanks, LaTeX dress, brackets around a letter.

    >>> folded_answer("$(B)$"), folded_answer(" 12\\,CM. ")
    ('b', '12 cm')
    """
    folded = trim(clean(text)).casefold()
    letter = _BRACKETED.fullmatch(folded)
    return letter[1] if letter else folded


def _unwrapped(answer: str) -> str:
    """Without dollar signs, bold type and a full stop at the end."""
    text = answer.strip()
    for opener, closer in (("**", "**"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = text.removesuffix(".").rstrip()
        if inner.startswith(opener) and inner.endswith(closer) and len(inner) > len(opener) + len(closer):
            middle = inner[len(opener) : -len(closer)]
            text = middle.strip() if opener not in middle else text
    return text.removesuffix(".").rstrip() if not text.endswith("..") else text


def _letter(answer: str, choices: tuple[str, ...]) -> str | None:
    chosen = chosen_letters(answer)
    if not choices:
        # Without the options, `12 cm` and a sentence with a letter in it are not told from a choice.
        return next(iter(chosen.letters)) if len(chosen.letters) == 1 and chosen.stated else None
    if exact := lettered_option(answer, choices):
        return exact
    known = [letter for letter in chosen.letters if LETTERS.index(letter) < len(choices)]
    if len(known) == len(chosen.letters) == 1 and chosen.stated:
        return known[0]
    meant = options_meant(answer, choices)
    if len(meant) == 1:
        return LETTERS[min(meant)]
    return known[0] if len(known) == len(chosen.letters) == 1 else None


def _numeral(answer: str) -> str | None:
    """The one numeral of an answer that says no more than a number with a unit; `2π` and `5 million` say more."""
    text = trim(clean(answer))
    found = _NUMERAL.findall(text)
    number = read_quantity(text)
    if len(found) != 1 or number is None:
        return None
    plain = found[0].replace(",", "").removeprefix("+")
    value = number.value
    if not isinstance(value, int | Fraction):
        return None
    wanted = Fraction(plain)
    return plain if value in (wanted, wanted / 100 if number.percent else wanted) else None
