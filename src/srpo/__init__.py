"""srpo: multimodal LLMs that reason, reflect on their own answer and correct it (SRPO, arXiv 2506.01713).

    >>> from srpo import Problem, grade
    >>> grade(Problem(id="1", question="How long is AB?", answer="12 cm"), "It is 0.12 m.").verdict
    'correct'

The names below are for users and stay; the modules behind them may move. Each is imported when it is first asked for,
so that `import srpo` costs nothing and grading needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srpo.core.prompts import user_text
    from srpo.core.records import (
        Attempt,
        FormatError,
        Grade,
        GradedText,
        Problem,
        Rejected,
        Response,
        Reward,
        Term,
        TokenCounts,
        Trace,
        outcome_of,
    )
    from srpo.core.response import parse, parse_attempt, render, render_attempt
    from srpo.core.rewards import RewardCase, reward
    from srpo.data.config import SourceConfig
    from srpo.data.sources import ProblemSet, load_problems
    from srpo.grading import Grader, extract_answer, grade, grade_gold
    from srpo.policy.load import load_policy, save_policy
    from srpo.runs.reader import load_traces

__version__ = "0.1.0"

__all__ = [
    "Attempt",
    "FormatError",
    "Grade",
    "GradedText",
    "Grader",
    "Problem",
    "ProblemSet",
    "Rejected",
    "Response",
    "Reward",
    "RewardCase",
    "SourceConfig",
    "Term",
    "TokenCounts",
    "Trace",
    "__version__",
    "extract_answer",
    "grade",
    "grade_gold",
    "load_policy",
    "load_problems",
    "load_traces",
    "outcome_of",
    "parse",
    "parse_attempt",
    "render",
    "render_attempt",
    "reward",
    "save_policy",
    "user_text",
]

_HOMES = {
    "srpo.core.prompts": ("user_text",),
    "srpo.core.records": (
        "Attempt",
        "FormatError",
        "Grade",
        "GradedText",
        "Problem",
        "Rejected",
        "Response",
        "Reward",
        "Term",
        "TokenCounts",
        "Trace",
        "outcome_of",
    ),
    "srpo.core.response": ("parse", "parse_attempt", "render", "render_attempt"),
    "srpo.core.rewards": ("RewardCase", "reward"),
    "srpo.data.config": ("SourceConfig",),
    "srpo.data.sources": ("ProblemSet", "load_problems"),
    "srpo.grading": ("Grader", "extract_answer", "grade", "grade_gold"),
    "srpo.policy.load": ("load_policy", "save_policy"),
    "srpo.runs.reader": ("load_traces",),
}
"""Module -> what users take from it."""

if not TYPE_CHECKING:  # a checker must see that other names are not there

    def __getattr__(name: str) -> object:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'srpo' has no attribute {name!r}")
        try:
            value = globals()[name] = getattr(import_module(home), name)
        except ModuleNotFoundError as error:
            from srpo.runs.extras import what_is_missing

            if (missing := what_is_missing(error)) is None:
                raise
            raise ModuleNotFoundError(missing, name=error.name) from error
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
