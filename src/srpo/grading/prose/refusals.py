"""Responses, and parts of responses, that say that they have no answer.

>>> refuses("The text does not provide information on the number of cars.")
True
>>> refuses("A dog is not visible.", "Can you see a dog?")
False
"""

import re
from collections.abc import Sequence

from srpo.grading.patterns import pattern
from srpo.grading.phrases import any_of, words
from srpo.grading.prose.text import Statement
from srpo.grading.prose.words import asked, stem, stems

_CANNOT = any_of(
    "can(?:not|'t| not); could(?: not|n't); (?:am|is|are|was|were|be)(?: not able|n't able| unable) to",
    "'m (?:not able|unable) to; (?:not |im)possible (?:for \\w+ )?to; (?:difficult|hard|challenging) to",
    "unable to; not able to; wouldn't be able to",
)
_DO = any_of(
    "determined?; answer(?:ed)?; calculated?; provided?; solved?; found; find; identif(?:y|ied); tell; say; see; seen",
    "conclude; help; assist; view; process; predict(?:ed)?; give; know; known; verif(?:y|ied); confirm(?:ed)?; assess",
    "infer; judge; estimate; compare; discern; specify; make; draw; analyze; access",
)
_KNOWLEDGE = any_of(
    "information; data; context; details?; image; figure; diagram; function; graph; picture; chart; text; evidence",
    "equation",
)
_TELL = any_of("have; provide; contain; give; specify; mention; include; show; state; indicate")
_DO_NOT = r"(?:do(?:es)? not|don't|doesn't|did not|didn't)"
_SOURCES = any_of("question; text; information; information provided; problem; description")
_LACKING = any_of(
    "without; needs?; requires?; lacks?; lacking; not enough; insufficient; no; not sufficient; enough",
)
_SOME = any_of("enough; sufficient; more; any; further; additional; the; a; specific; visual; necessary; actual")
_HIDDEN = any_of("mentioned; specified; provided; given; shown; visible; available; known")
_REFUSES = pattern(
    any_of(
        rf"\b{_CANNOT}\b(?: \w+ly)?(?: be)?(?: \w+ly)? {_DO}\b",
        r"\b(?:it is|it's|it would be|is) (?:not possible|impossible|unclear|not clear|unknown)\b",
        rf"\b{_DO_NOT} (?:\w+ly )?{_TELL}(?: us)? (?:\w+ ){{0,3}}"
        rf"(?:{_KNOWLEDGE}|any|specifics|whether|anything about|what|how)\b",
        rf"\b{_SOURCES} (?:given )?{_DO_NOT} (?:\w+ly )?{_TELL}\b",
        rf"\b{_LACKING} (?:{_SOME} )*{_KNOWLEDGE}\b(?! (?:is|are|of the (?:image|picture)))",
        r"\bi (?:do not|don't|cannot|can't) (?:\w+ly )?(?:have|see|answer|determine|help|access|confirm)\b",
        r"\b(?:you|one)(?: would|'d| may| might| will)? need to (?:\w+ ){0,2}"
        r"(?:consult|refer|check|compare|look|know|see|provide)\b",
        r"\bas an? (?:ai|text|language)\b; \bi(?:'m| am) (?:just |only )?an? (?:ai|text|language)\b",
        r"\bi(?:'m| am) (?:really )?sorry\b; ^sorry\b; \b(?:do not|don't) know\b",
        rf"\b(?:is|are) (?:unclear|not clear|not (?:explicitly )?{_HIDDEN})\b(?! than)",
        r"\bnone of the (?:\w+ )?(?:options|choices|answers)\b",
        r"\b(?:solution|question|answer) (?:cannot|can't|would (?:require|need))\b",
        "无法(?:确定|判断|回答|计算|得出|识别|看到); 不能(?:判断|回答|计算|得出); 信息不足; 缺少",
        "没有(?:足够|提供|给出)",
    ),
    re.IGNORECASE,
    yes="I cannot determine the age",
    no="The age is 5",
)
_ABOUT_SIGHT = frozenset(stem(word) for word in words("see seen visible shown show possible identified mentioned"))
# "It is difficult to tell the exact age" takes nothing back that was said before
_CAVEAT = pattern(
    r"\b(?:exact|precise)(?:ly)?\b|\bit(?:'s| is) possible that\b|\bthere (?:may|might|could) be\b",
    re.IGNORECASE,
    yes="the exact age",
    no="the age",
)


def refuses(text: str, question: str = "") -> bool:
    """Does a statement say that it has no answer? `It is not visible` answers a question about what is visible."""
    match = _REFUSES.search(text)
    if match is None:
        return False
    return not (_ABOUT_SIGHT.intersection(stems(match.group())) and _ABOUT_SIGHT.intersection(stems(question)))


def answering(made: Sequence[Statement], question: str) -> Sequence[Statement]:
    """The statements after the last one that refuses to answer; all of them where none does.

    What a text says before it gives up is no answer: `y = 3. However, z cannot be found.`
    """
    question = asked(question)
    silent = [refuses(statement.text, question) for statement in made]
    final = [i for i, statement in enumerate(made) if silent[i] and not (i and _CAVEAT.search(statement.text))]
    last = max(final, default=-1)
    return [statement for i, statement in enumerate(made) if i > last and not silent[i]]
