"""A judge of reflections: the request by our own rubric, and how its verdict is read."""

import re
from typing import NamedTuple

from srpo.core.prompts import JUDGE, problem_text
from srpo.core.records import Trace
from srpo.models.protocol import Message, Request

_SCORE = re.compile(r"<score>\s*([0-5])\s*(?:/\s*5\s*)?</score>")


_WHY_LENGTH = 200


class Judgement(NamedTuple):
    """What a judge said."""

    score: int
    why: str
    """Its reason, cut to a sentence's length."""


def read_judgement(text: str) -> Judgement | None:
    """The last score in a reply and the words before it; None where there is no score.

    >>> read_judgement("It names the wrong bar. <score>2</score>")
    Judgement(score=2, why='It names the wrong bar.')
    """
    scores = list(_SCORE.finditer(text))
    if not scores:
        return None
    found = scores[-1]
    return Judgement(int(found[1]), " ".join(text[: found.start()].split())[:_WHY_LENGTH])


def request_about(trace: Trace) -> Request:
    """Problem, response and rubric as a conversation."""
    messages = (
        Message(role="user", text=problem_text(trace.problem)),
        Message(role="assistant", text=trace.text),
        Message(role="user", text=JUDGE.template),
    )
    return Request(problem=trace.problem, messages=messages)
