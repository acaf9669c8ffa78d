"""What evaluation and reflection data do alike: take problems in, refuse by name, open model and verifier."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from srpo.core.prompts import Prompt, as_prompt, problem_text
from srpo.core.records import Problem, Rejected
from srpo.data.usable import too_long
from srpo.models.protocol import InspectingGenerator, Message, Request

Wording = Callable[[Problem], str]
"""How a problem is put, before a prompt is put around it."""
_FEW = 4
"""Fewer problems than this may have nothing in common but bad luck."""


class PreparedRequest(NamedTuple):
    """A problem that the model can be asked."""

    request: Request
    num_prompt_tokens: int
    notes: tuple[str, ...]
    """What had to be done to the pictures."""


def prepare_request(
    generator: InspectingGenerator,
    problem: Problem,
    prompt: str | Prompt,
    num_samples: int,
    question: Wording = problem_text,
    max_prompt_tokens: int | None = None,
) -> PreparedRequest | Rejected:
    """Ask the generator whether it can take `problem`."""
    try:
        turns = as_prompt(prompt).turns(question(problem))
    except ValueError as error:
        return _refused(problem, str(error))
    messages = tuple(Message.model_validate({"role": role, "text": text}) for role, text in turns)
    request = Request(problem=problem, messages=messages, num_samples=num_samples)
    info = generator.inspect(request)
    if info.reason is not None:
        return _refused(problem, info.reason)
    if max_prompt_tokens is not None and info.num_tokens > max_prompt_tokens:
        return too_long(problem, info.num_tokens, max_prompt_tokens)
    return PreparedRequest(request, info.num_tokens, info.notes)


def prepare_requests(
    generator: InspectingGenerator,
    problems: Iterable[Problem],
    prompt: str | Prompt,
    num_samples: int,
    question: Wording = problem_text,
    max_prompt_tokens: int | None = None,
) -> tuple[list[PreparedRequest], list[Rejected]]:
    """`prepare_request` for each problem: those that can be asked, and those that cannot."""
    found = [
        prepare_request(generator, problem, prompt, num_samples, question, max_prompt_tokens) for problem in problems
    ]
    return [one for one in found if isinstance(one, PreparedRequest)], [
        one for one in found if isinstance(one, Rejected)
    ]


def check_alive(name: str, num_requests: int, errors: Sequence[str], *, num_problems: int) -> None:
    """One failed request is an accident; when all fail, every problem to come would be lost as well."""
    if num_problems >= _FEW and len(errors) == num_requests:
        raise ValueError(
            f"{name}: all {num_requests} requests about {num_problems} problems failed, the last with: {errors[-1]}. "
            "None of them is recorded; when the server answers again, the same command goes on"
        )


def _refused(problem: Problem, detail: str) -> Rejected:
    return Rejected.about(problem, "prompt", "the model cannot take it", detail)
