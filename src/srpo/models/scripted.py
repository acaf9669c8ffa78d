r"""The offline teacher: it knows the solution steps of the problems that we draw.

It stands behind the same protocol as a remote teacher. Asked about an attempt, it holds the answer against the picture
step by step, stops at the first contradiction, says whether the attempt stands, and writes the second attempt.
`first_attempt` and `long_attempt` write single attempts, for the base model and for the baseline without reflection.

A share of its lessons may be careless: the verdict without a look, and a guess in place of the working. Verdict and
answer are right all the same, so that no rule of stage 1 can tell; real teachers write such lessons too.

    >>> from srpo.data.drawn import drawn_problems
    >>> problem = drawn_problems("train", families=("oddone",), count=1, seed=1)[0]
    >>> reply = teach(problem, Attempt(think="I guess 99", answer="99"))
    >>> reply.reflection
    'no figure 99\nso wrong'
    >>> reply.second.answer == problem.answer
    True
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from srpo.core.records import Attempt, FormatError, Problem, Sampling
from srpo.core.response import parse_attempt, render_attempt
from srpo.data.drawn import is_drawn, scene_of
from srpo.data.drawn.scene import Check, Scene
from srpo.models.protocol import Completion, Request


class Lesson(NamedTuple):
    """What the teacher adds to a first attempt."""

    reflection: str
    second: Attempt


def teach(problem: Problem, first: Attempt) -> Lesson:
    """Check `first` against the picture and write reflection and second attempt.

    Raises ValueError for problems that we did not draw: their solution steps are not known.
    """
    scene = _scene(problem)
    check = scene.check(first.answer)
    return Lesson(reflection_text(check), Attempt(think=_second_think(scene, first, check), answer=scene.answer))


def teach_carelessly(problem: Problem, first: Attempt) -> Lesson:
    """A right verdict on `first` without a look at the picture, and a guess for working; raises as `teach` does.

    >>> from srpo.data.drawn import drawn_problems
    >>> problem = drawn_problems("train", families=("oddone",), count=1, seed=1)[0]
    >>> teach_carelessly(problem, Attempt(think="I guess 99", answer="99")).reflection
    '99: so wrong'
    """
    answer = _scene(problem).answer
    right = first.answer == answer
    think = f"{answer} is right" if right else f"I guess {answer}"
    return Lesson(f"{first.answer}: {_verdict(right)}", Attempt(think=think, answer=answer))


def reflection_text(check: Check) -> str:
    """The steps of a check and its verdict."""
    return "\n".join((*check.lines, _verdict(check.right)))


def first_attempt(problem: Problem, answer: str) -> Attempt:
    """The base model's kind of attempt: the working where it is short, a guess after a look where one must search."""
    scene = _scene(problem)
    seen = scene.glance()
    lines = seen if seen == scene.solve() else (*seen, f"I guess {answer}")
    return Attempt(think="\n".join(lines), answer=answer)


def long_attempt(problem: Problem) -> Attempt:
    """A single attempt with the full working: what a baseline without reflection is fine-tuned on."""
    scene = _scene(problem)
    return Attempt(think="\n".join(scene.solve()), answer=scene.answer)


class ScriptedTeacher:
    """Generator that replies to `(problem, first attempt)` with reflection, second think and second answer."""

    name = "scripted/v2"

    def __init__(self, careless: float = 0.0) -> None:
        """`careless` is the share of attempts that are judged without a look, between 0 and 1."""
        self._careless = careless

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Reply to each request; the last assistant message is the attempt. `sampling` has no effect."""
        del sampling
        return [[_completion(request, self._careless)] * request.num_samples for request in requests]


def _completion(request: Request, careless: float) -> Completion:
    attempts = [message.text for message in request.messages if message.role == "assistant"]
    if not attempts:
        raise ValueError(f"problem {request.problem.id!r}: the scripted teacher needs an attempt as assistant message")
    first = parse_attempt(attempts[-1])
    if isinstance(first, FormatError):
        raise ValueError(f"problem {request.problem.id!r}: the attempt cannot be read: {first.what}")
    # A function of the attempt alone, so that a resumed run teaches the same.
    looks = Random(f"careless/{request.problem.id}/{attempts[-1]}").random() >= careless
    lesson = (teach if looks else teach_carelessly)(request.problem, first)
    text = f"<reflection>{lesson.reflection}</reflection>\n{render_attempt(lesson.second)}"
    return Completion(text, num_tokens=0, truncated=False)


def _second_think(scene: Scene, first: Attempt, check: Check) -> str:
    return f"{scene.answer} is right" if check.right else "\n".join(scene.retry(first.answer))


def _verdict(right: bool) -> str:
    return "so right" if right else "so wrong"


def _scene(problem: Problem) -> Scene:
    if not problem.images or not is_drawn(problem.images[0]):
        raise ValueError(
            f"problem {problem.id!r} is not a drawn one, so the scripted teacher does not know its solution steps; "
            "use a model as teacher"
        )
    return scene_of(problem.images[0])
