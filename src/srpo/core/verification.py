"""Whether a teacher's reply may be learned from: five blocks, a right answer, a reflection that leaks nothing.

The paper does not check what its teacher wrote.

    >>> leaks_gold("The reference answer says 7, so I must have missed a bar.", "7")
    "speaks of a solution that the reader does not have: 'reference answer'"
    >>> leaks_gold("The red bar is 4, not 3: 3+4=7, so the sum is 7.", "7") is None
    True
    >>> names_something("I should be more careful next time.", "How tall is the red bar?")
    False
    >>> names_something("The bar ends below the line.", "How tall is the red bar?")
    True
"""

import difflib
import re
import unicodedata

from srpo.core.records import Attempt, FormatError, Problem, Rejected, Response, Trace
from srpo.core.rewards import says_something

_SHOWN = r"(?:given(?! by)|provided|stated|listed|supplied|specified)"


_LEAK = re.compile(
    r"\b(?:reference|gold|golden|official|expected|ground[- ]truth) (?:answer|solution|label)s?\b"
    r"|\bground[- ]truth\b|\b(?:answer|solution) (?:key|sheet)\b|\bmodel answer\b|\bthe known (?:answer|solution)\b"
    # "The reference line" and "the reference angle" are things in a picture.
    r"|\b(?:according to|as per|based on|matches|match|agrees with) the (?:reference|gold)\b"
    r"(?! (?:line|point|frame|angle|axis|triangle|figure|picture|image|mark|scale|level|system))"
    rf"|\b(?:correct|right|true|actual) answer (?:is|was|has been) {_SHOWN}"
    rf"|\b{_SHOWN} (?:correct|right|true|gold) (?:answer|solution)\b"
    r"|\bi (?:was|am|have been) (?:told|given|shown) (?:that )?(?:the )?(?:(?:correct|right|true|final) )?"
    r"(?:answer|solution)\b"
    r"|参考答案|标准答案|正确答案(?:已)?(?:给出|给定|提供)|(?:给出|给定|提供|已知)的?(?:正确|标准)答案|答案(?:提示|显示)"
)
"""Phrases that only someone with access to the gold answer would write. Texts are compared in lower case."""


_STATED = re.compile(
    r"(?:answer|result|value|option|choice)(?: (?:is|was|should be|should have been|must be|would be|=|:))+ *"
    r"|(?:答案|结果|选项)(?:应该|应当|应)?(?:是|为|选)?[:：]? *"
)


_CLAIM = re.compile(
    r"[0-9+*/=<>≤≥±×÷√°%^∠∥⊥△≈∞π]"
    r"|\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half|third|quarter|double|twice)\b"
    r"|[一二三四五六七八九十百千半两零]"
)
"""Numbers, in figures or words, and the signs of formulas."""


_WORD = re.compile(r"[^\W\d_]{3,}|[\u3400-\u9fff]")


_EMPTY_WORDS = frozenset(
    """
    about above after again all also and answer answers any are attempt because been before but can check checked
    choose correct could did does down each error find following for from good guess had has have here how image
    into its just look made make mistake more much must next not now off one only option other our out picture
    problem question reasoning reflection result right same shall should shown shows some solution solve step steps
    such sure than that the their them then there these they thing think this those through too under very was well
    were what when where which while who why will with work would wrong you your
    """.split()  # noqa: SIM905  a hundred words in quotes cannot be read
) | frozenset("的了是在不有和我这那个就也都要会对错题目答案图片看想再次应该没为因所以")
"""Words that say nothing about one problem in particular."""


_COPY_SHARE = 0.9
"""From this share of common words on, in order, a reflection counts as the attempt once more."""


def verify_trace(trace: Trace, *, strict: bool = False) -> Rejected | None:
    """Why a teacher's trace must not be trained on, None if it may.

    It must have the five blocks, a gradable gold, a right final answer, and a reflection that says something about this
    problem in particular (`names_something`), copies neither attempt and leaks nothing (`leaks_gold`).
    """
    fault = _fault_of(trace, strict=strict)
    return None if fault is None else Rejected.about(trace.problem, "teacher", *fault, sample=trace.sample)


def _fault_of(trace: Trace, *, strict: bool) -> tuple[str, str] | None:
    """Reason and detail."""
    response = trace.parsed
    if isinstance(response, FormatError):
        return "format", f"not five blocks; at character {response.where}, {response.what}"
    if isinstance(response, Attempt):
        return "format", "not five blocks"
    if trace.outcome is None:
        grade = trace.first_grade if trace.final_grade.counts else trace.final_grade
        return grade.verdict, grade.reason
    if not trace.final_grade.is_correct:
        return "final answer wrong", trace.final_grade.reason
    return _fault_of_reflection(trace.problem, response, strict=strict)


def _fault_of_reflection(problem: Problem, response: Response, *, strict: bool) -> tuple[str, str] | None:
    if not says_something(response.reflection):
        return "empty reflection", f"{response.reflection[:40]!r} says nothing"
    reflection = normalised(response.reflection)
    for attempt, which in ((response.first, "first"), (response.second, "second")):
        think = normalised(attempt.think)
        if reflection in (think, normalised(attempt.answer)) or (which == "first" and _is_copy(reflection, think)):
            return "copied reflection", f"it is the {which} attempt once more"
    if not names_something(response.reflection, _topic(problem, response.first)):
        return "nothing checkable", "it names no number, formula or thing of the problem, picture or attempt"
    leak = leaks_gold(response.reflection, problem.answer, strict=strict)
    leak = leak or leaks_gold(response.second.think, problem.answer)
    return None if leak is None else ("leak", leak)


def leaks_gold(reflection: str, gold: str, *, strict: bool = False) -> str | None:
    """Why a reflection betrays that its writer was shown the solution; None if it does not.

    A leak is a phrase that speaks of a reference or a key. A reflection may come to the gold value by its own work, so
    the value alone is no leak. `strict` also refuses reflections that state the gold as the answer ("the answer should
    be 7"): right for tasks in which the reflection has to find the mistake and leave the solving to the second attempt.
    """
    text = normalised(reflection)
    found = _LEAK.search(text)
    if found is not None:
        return f"speaks of a solution that the reader does not have: {found.group()!r}"
    wanted = normalised(gold)
    if strict and wanted:
        for stated in _STATED.finditer(text):
            rest = text[stated.end() : stated.end() + len(wanted) + 3].lstrip("$*(\"'")
            if rest.startswith(wanted) and not rest[len(wanted) : len(wanted) + 1].isalnum():
                return f"states the gold as the answer: {stated.group() + wanted!r}"
    return None


def names_something(reflection: str, topic: str) -> bool:
    """Whether a reflection mentions something that can be checked: a number, a formula, or a thing that `topic` names.

    `topic` is whatever the reflection may refer to: question, options, caption, attempt. "I should read more carefully"
    is about no problem at all.
    """
    text = normalised(reflection)
    if _CLAIM.search(text):
        return True
    things = {_stem(word) for word in _WORD.findall(normalised(topic)) if word not in _EMPTY_WORDS}
    return any(_stem(word) in things for word in _WORD.findall(text))


def normalised(text: str) -> str:
    """Compatibility forms folded, lower case, runs of white space one blank: what counts as the same text."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _is_copy(reflection: str, think: str) -> bool:
    matcher = difflib.SequenceMatcher(None, reflection.split(), think.split(), autojunk=False)
    return all(ratio() >= _COPY_SHARE for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def _topic(problem: Problem, first: Attempt) -> str:
    return "\n".join((problem.question, *problem.choices, problem.caption, first.think, first.answer))


def _stem(word: str) -> str:
    """Plural and singular are one word."""
    return word.removesuffix("s") if len(word) > 3 else word
