"""What evaluation and reflection data do alike: take problems in, refuse by name, open model and verifier."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from srpo import __version__
from srpo.core.grading import SymbolicVerifier
from srpo.core.prompts import problem_text, prompt_named
from srpo.core.records import Origin, Problem, Sampling, Stage
from srpo.data.sources import ProblemSet
from srpo.eval.accounts import REJECTED, Dropped
from srpo.models.local import InspectingGenerator, LocalGenerator
from srpo.models.protocol import Message, Request
from srpo.runs.directory import RunDir
from srpo.runs.progress import note

Question = Callable[[Problem], str]
"""How a problem is put, before a prompt is put around it."""
_FEW = 4
"""Fewer problems than this may have nothing in common but bad luck."""


class Taken(NamedTuple):
    """A problem that the model can be asked."""

    request: Request
    num_prompt_tokens: int
    notes: tuple[str, ...]
    """What had to be done to the pictures."""


def check_usable(problems: ProblemSet, label: str) -> None:
    """Say how many rows are left out; ValueError when that is all of them."""
    if not problems.rejected:
        if not problems.problems:
            raise ValueError(f"{label}: holds no problems")
        return
    first = problems.rejected[0]
    text = f"{len(problems.rejected)} rows of {label} are not usable, e.g. {first.place}: {first.reason}"
    if not problems.problems:
        raise ValueError(f"no usable problem: {text}; `srpo data check` lists them")
    note(f"srpo: {text} (all in {REJECTED})")


def rejected_rows(problems: ProblemSet) -> list[Dropped]:
    """The source's unusable rows, for the ledger."""
    return [
        Dropped(where="source", id="", place=row.place, reason=_kind(row.reason), detail=row.reason)
        for row in problems.rejected
    ]


def split_batches(problems: Sequence[Problem], size: int) -> list[Sequence[Problem]]:
    """Problems in order, `size` at a time."""
    return [problems[start : start + size] for start in range(0, len(problems), size)]


def spread(problems: Sequence[Problem], count: int) -> list[Problem]:
    """`count` problems from everywhere, at equal distances."""
    count = min(count, len(problems))
    return [problems[index * len(problems) // count] for index in range(count)]


def take(
    generator: InspectingGenerator, problem: Problem, prompt: str, num_samples: int, question: Question = problem_text
) -> Taken | Dropped:
    """Ask the generator whether it can take `problem`."""
    try:
        text = prompt_named(prompt).template.format(problem=question(problem))
    except ValueError as error:
        return _refused(problem, str(error))
    messages = (Message(role="user", text=text),)
    request = Request(problem=problem, messages=messages, num_samples=num_samples)
    info = generator.inspect(request)
    if info.reason is not None:
        return _refused(problem, info.reason)
    return Taken(request, info.num_tokens, info.notes)


def take_all(
    generator: InspectingGenerator,
    problems: Iterable[Problem],
    prompt: str,
    num_samples: int,
    question: Question = problem_text,
) -> tuple[list[Taken], list[Dropped]]:
    """`take` for each problem: those that can be asked, and those that cannot."""
    found = [take(generator, problem, prompt, num_samples, question) for problem in problems]
    return [one for one in found if isinstance(one, Taken)], [one for one in found if isinstance(one, Dropped)]


def check_alive(name: str, num_requests: int, errors: Sequence[str], *, num_problems: int) -> None:
    """One failed request is an accident; when all fail, every problem to come would be lost as well."""
    if num_problems >= _FEW and len(errors) == num_requests:
        raise ValueError(
            f"{name}: all {num_requests} requests about {num_problems} problems failed, the last with: {errors[-1]}. "
            "None of them is recorded; when the server answers again, the same command goes on"
        )


def make_origin(run: RunDir, stage: Stage, model: str, prompt: str, sampling: Sampling) -> Origin:
    """The origin that all traces of a run share."""
    return Origin(
        stage=stage,
        model=model,
        sampling=sampling,
        prompt=prompt_named(prompt).label,
        srpo_version=__version__,
        # Of the process that began the run: a resumed one must write the same traces.
        commit=run.config.provenance.commit,
    )


def check_same_data(extra: Mapping[str, Any], digest: str, label: str) -> None:
    """Raise ValueError when a resumed run would go on with other problems than it began with."""
    if extra and extra["data"] != digest:
        raise ValueError(
            f"{label}: the problems are not those that this run began with; choose another --out, or restore the data"
        )


@contextmanager
def open_verifier(wanted: bool) -> Iterator[SymbolicVerifier | None]:
    """The symbolic verifier, or nothing; says so when it ran out of time."""
    if not wanted:
        yield None
        return
    from srpo.symbolic import SymbolicPool  # starts nothing until it is needed

    with SymbolicPool() as pool:
        yield pool
        if pool.num_timeouts:
            note(f"srpo: math-verify ran out of time on {pool.num_timeouts} comparisons; the rules alone graded them")


def load_generator(
    model: str, *, device: str, dtype: Literal["float32", "bfloat16", "float16"], max_pixels: int | None
) -> LocalGenerator:
    """Load a checkpoint for sampling alone."""
    from srpo.policy.load import load_policy  # needs the train extra

    return LocalGenerator(load_policy(model, device=device, dtype=dtype, trainable=False), max_pixels=max_pixels)


def _kind(reason: str) -> str:
    """The reason without the picture's name, so that it can be counted."""
    return re.sub(r"^picture '.*': ", "picture: ", reason.partition(" under ")[0])


def _refused(problem: Problem, detail: str) -> Dropped:
    return Dropped(
        where="prompt", id=problem.id, place=problem.source, reason="the model cannot take it", detail=detail
    )
