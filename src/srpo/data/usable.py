"""Which problems of a source a stage can use; what it cannot use is counted and named."""

from collections.abc import Sequence

from srpo.core.records import Problem, Rejected
from srpo.data.sources import ProblemSet
from srpo.runs.progress import note
from srpo.runs.rejects import REJECTED


def check_usable(problems: ProblemSet, label: str) -> None:
    """Say how many rows are left out; ValueError when that is all of them."""
    if not problems.rejected:
        if not problems.problems:
            raise ValueError(f"{label}: holds no problems")
        return
    first = problems.rejected[0]
    text = f"{len(problems.rejected)} rows of {label} are not usable, e.g. {first.place}: {first.detail}"
    if not problems.problems:
        raise ValueError(f"no usable problem: {text}; `srpo data check` lists them")
    note(f"srpo: {text} (all in {REJECTED})")


def too_long(problem: Problem, num_tokens: int, most: int) -> Rejected:
    """What is said of a problem whose prompt is longer than a config allows."""
    detail = f"{num_tokens:,} tokens with its pictures, at most {most:,}"
    return Rejected.about(problem, "prompt", "longer than max_prompt_tokens", detail)


def split_batches(problems: Sequence[Problem], size: int) -> list[Sequence[Problem]]:
    """Problems in order, `size` at a time."""
    return [problems[start : start + size] for start in range(0, len(problems), size)]


def spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """`count` problems from everywhere, at equal distances."""
    count = min(count, len(problems))
    return [problems[index * len(problems) // count] for index in range(count)]
