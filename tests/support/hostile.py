"""What a model or a data set may write to steer whoever reads it, and what must not come through of it."""

import re

from srpo.core.records import Attempt, Response, Trace
from tests.support.report_runs import HOSTILE, trace

BIDI = "\u202egnp.exe\u2066x\u2069"
ANSI = "\x1b[2J\x1b]0;owned\x07\x9b31m"
NASTY = (
    HOSTILE,
    "<svg onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "\"' onmouseover=alert(1) x='",
    "{{ 7*7 }}{% raw %}",
    f"{ANSI} after",
    f"{BIDI} after",
    "</textarea></pre></style><style>*{display:none}</style>",
    "\ud800 half",
    "NUL\x00byte",
    r"$\text{<img src=x onerror=alert(1)>}$ and $\href{javascript:alert(1)}{x}$ and $\style{color:red}{x}$",
    r"\frac{<script>alert(1)</script>}{\class{\" onfocus=alert(1) x=\"}{2}}",
    r"$\text{&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;}$ \(\unicode{x202e}\) $\mathrm{&#x1b;[2J&#x202e;}$",
    "$" + "{" * 150 + "\\frac1" + "}" * 150 + "$",
)


def hostile_trace(text: str, number: int, name: str = "") -> Trace:
    made = trace(number, False, True, stage="rl", step=number, question=f"{text}?")
    attempt = Attempt(think=f"{text} so", answer=text)
    response = Response(first=attempt, reflection=f"again {text}", second=Attempt(think=f"no, {text}", answer=text))
    problem = made.problem.model_copy(
        update={
            "id": f"{name or text}-{number}",
            "family": name or text,
            "source": name or text,
            "choices": (text, "b"),
            "answer": text,
        }
    )
    grades = {name: made.first_grade.model_copy(update={"extracted": text}) for name in ("first_grade", "final_grade")}
    changes = {"problem": problem, "parsed": response, "text": f"<think>{text} so</think>{text}", **grades}
    return made.model_copy(update=changes)


STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def steering(shown: str, *, on_terminal: bool = False) -> list[str]:
    """What would steer a terminal in this text; colours of our own are allowed on one."""
    found = STEERING.findall(COLOURS.sub("", shown) if on_terminal else shown)
    return [repr(char) for char in found if char != "\r"]
