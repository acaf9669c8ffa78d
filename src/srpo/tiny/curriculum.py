"""What the tiny base model is taught: questions about drawn pictures, and the texts that answer them.

Problems of the training split alone. The skills that checking needs (read, add, compare, hold a claim against the
picture, work a question out) are question types of their own; the families' own questions are answered as a first
attempt is: with the working where that is short, by a guess after a look where one has to search. Nothing is made wrong
on purpose.
"""

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

from srpo.core.prompts import user_text
from srpo.core.records import Attempt, Problem, Response
from srpo.core.response import render, render_attempt
from srpo.data.drawn import FAMILIES, LEVELS, draw_problem, drawn_problems, scene_of
from srpo.data.drawn.scene import compare_line
from srpo.models.scripted import first_attempt, long_attempt, reflection_text, teach

PROMPT: Final = "bare"
"""The tiny model is asked the bare question; its format comes from fine-tuning."""
SLOW: Final = ("count", "digits", "oddone", "pairs", "tiles", "weights")
"""Families that come up twice as often, because they take longer to learn."""


class Exercise(NamedTuple):
    """One training text about one picture."""

    question: str
    image: str
    """Reference of the picture; empty for calculations."""
    completion: str
    kind: str
    """`describe`, `practice`, `guess`, `check`, `work`, or the skill of a drill."""


class Mix(NamedTuple):
    """How often each kind of item comes up; the shares need not add up to 1."""

    describe: float = 0.0
    """Everything that is in the picture."""
    practice: float = 0.0
    """Several calculations in one text, without a picture."""
    guess: float = 0.0
    """The family's own question."""
    drill: float = 0.0
    """One reading, sum or comparison."""
    check: float = 0.0
    """Is this claim right?"""
    work: float = 0.0
    """The family's own question, with the full working asked for."""


def corpus(seed: int) -> list[str]:
    """Texts of every kind that the tiny model will read or write, for its tokenizer."""
    texts = []
    rng = random.Random(seed)
    for problem in drawn_problems("train", count=1200, seed=seed + 1):
        scene = scene_of(problem.images[0])
        claim = rng.choice([problem.answer, scene.drills()[0].answer])
        first = Attempt(think=f"I guess {claim}", answer=claim)
        lesson = teach(problem, first)
        texts.append(user_text(problem, PROMPT))
        texts.append(render(Response(first=first, reflection=lesson.reflection, second=lesson.second)))
        texts.append(render_attempt(long_attempt(problem)))
        description = describe_item(problem)
        texts += [description.question, description.completion]
        for drill in scene.drills():
            texts += [drill.question, drill.think, drill.answer]
    return texts


def items(mix: Mix, seed: str, *, shuffled: bool) -> Iterator[Exercise]:
    """Endless training items; levels in equal parts, families too but for the slow ones.

    `shuffled` describes pictures in any order: what is read next then depends on what was just named, as in a check.
    """
    rng = random.Random(seed)
    while True:
        (kind,) = rng.choices(Mix._fields, weights=mix)
        if kind == "practice":
            yield practice_item(rng)
            continue
        problem = draw_problem("train", rng.choice((*FAMILIES, *SLOW)), rng.choice(LEVELS), rng)
        match kind:
            case "describe":
                yield describe_item(problem, rng if shuffled else None)
            case "guess":
                yield guess_item(problem)
            case "check":
                yield check_item(problem, rng)
            case "work":
                yield work_item(problem)
            case _:
                yield rng.choice(drill_items(problem))


def guess_item(problem: Problem) -> Exercise:
    """The family's own question with its gold answer, at a glance."""
    completion = render_attempt(first_attempt(problem, problem.answer))
    return Exercise(user_text(problem, PROMPT), problem.images[0], completion, "guess")


def check_item(problem: Problem, rng: random.Random) -> Exercise:
    """A claim held against the picture, right half of the time; the wrong ones are answers to problems alike."""
    claim = problem.answer
    if rng.random() < 0.5:
        claim = draw_problem("train", problem.family, problem.level or 1, rng).answer
    check = scene_of(problem.images[0]).check(claim)
    answer = "yes" if check.right else "no"
    text = f"<reflection>{reflection_text(check)}</reflection>\n<answer>{answer}</answer>"
    return Exercise(f"Is {claim} right? {user_text(problem, PROMPT)}", problem.images[0], text, "check")


def work_item(problem: Problem) -> Exercise:
    """The family's own question with its full working."""
    question = user_text(problem, "work")
    return Exercise(question, problem.images[0], render_attempt(long_attempt(problem)), "work")


def describe_item(problem: Problem, rng: random.Random | None = None) -> Exercise:
    """A full description of the problem's picture; in random order when `rng` is given."""
    lines = list(scene_of(problem.images[0]).describe())
    if rng:
        rng.shuffle(lines)
    completion = render_attempt(Attempt(think="\n".join(lines), answer="done"))
    return Exercise("Describe the picture.", problem.images[0], completion, "describe")


def practice_item(rng: random.Random) -> Exercise:
    """Six small calculations, comparisons, or sums held against a target, in the lines that checks are made of."""
    form = rng.choice(("sums", "target", "same", "same"))
    if form == "target":
        target = rng.randrange(3, 18)
        pairs = []
        for _ in range(4):
            one = rng.randrange(max(1, target - 9), min(9, target - 1) + 1)
            pairs.append((one, target - one if rng.random() < 0.5 else rng.randrange(1, 10)))
        question = f"Which add up to {target}? " + " ".join(f"{one}+{two}" for one, two in pairs)
        lines = [line for one, two in pairs for line in (f"{one}+{two}={one + two}", compare_line(one + two, target))]
    elif form == "same":
        claims = [_claim(rng) for _ in range(5)]
        question = "The same? " + " ".join(f"{one} {two}" for one, two in claims)
        lines = [compare_line(one, two) for one, two in claims]
    else:
        sums = [_calculation(rng) for _ in range(6)]
        question = " ".join(f"{term}?" for term, _ in sums)
        lines = [f"{term}={result}" for term, result in sums]
    completion = render_attempt(Attempt(think="\n".join(lines), answer="done"))
    return Exercise(question, "", completion, "practice")


def _claim(rng: random.Random) -> tuple[str, str]:
    """Two numbers or times; the same half of the time, near each other otherwise."""
    one = rng.randrange(1, 30)
    two = one if rng.random() < 0.5 else max(0, one + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)))
    if rng.random() < 0.7:
        return str(one), str(two)
    hour, minute = rng.randrange(1, 13), 5 * rng.randrange(12)
    other = (hour % 12 + 1, minute) if rng.random() < 0.5 else (hour, (minute + 5 * rng.randrange(1, 12)) % 60)
    return f"{hour}:{minute:02d}", "{}:{:02d}".format(*((hour, minute) if one == two else other))


def _calculation(rng: random.Random) -> tuple[str, int]:
    """One of the calculations that the families need."""
    match rng.randrange(5):
        case 0:
            one, two = rng.randrange(1, 28), rng.randrange(1, 10)
            return f"{one}+{two}", one + two
        case 1:
            two = rng.randrange(1, 28)
            return f"{two + (more := rng.randrange(1, 10))}-{two}", more
        case 2:
            one, two = rng.randrange(1, 7), rng.randrange(1, 7)
            return f"{one}x{two}", one * two
        case 3:
            one, two = 5 * rng.randrange(12), 5 * rng.randrange(1, 12)
            return f"{one}+{two}", one + two
        case _:
            total = 5 * rng.randrange(12, 23)
            return f"{total}-60", total - 60


def drill_items(problem: Problem) -> list[Exercise]:
    """The skill questions about the problem's picture."""
    return [
        Exercise(
            drill.question,
            problem.images[0],
            render_attempt(Attempt(think=drill.think, answer=drill.answer)),
            drill.skill,
        )
        for drill in scene_of(problem.images[0]).drills()
    ]
