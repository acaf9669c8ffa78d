r"""The prompt texts, named and versioned: one copy for SFT, RL, evaluation and the teacher.

A prompt that is changed gets a new version, so that `Origin.prompt` says which text a trace was made with. The authors'
prompts are not used; these say the same in our own words, and they tell the model to look at the picture again.

    >>> user_text(Problem(id="1", question="How many?", answer="A", choices=("two", "three")), "bare")
    'How many?\nA. two\nB. three'
    >>> PROMPTS["reflective"].label
    'reflective/v1'
"""

from string import ascii_uppercase
from typing import Literal, NamedTuple

from srpo.core.records import Attempt, Problem
from srpo.core.response import render_attempt

PromptName = Literal["reflective", "single", "bare"]


class Prompt(NamedTuple):
    """A text with places to fill in: `{problem}`, and for teachers `{attempt}` and `{answer}`."""

    name: str
    version: str
    template: str

    @property
    def label(self) -> str:
        """What `Origin.prompt` keeps, e.g. `reflective/v1`."""
        return f"{self.name}/{self.version}"


REFLECTIVE = Prompt(
    "reflective",
    "v1",
    """{problem}

Work in two rounds. First solve the problem, then check your solution against the picture, then solve it again with \
what the check has shown. Write exactly these five blocks and nothing outside them:
<think>your reasoning</think>
<answer>your first answer</answer>
<reflection>what you find when you look at the picture again and go through your steps: what holds, what is wrong, \
what was missed or unnecessary</reflection>
<think>the reasoning once more, improved by the reflection</think>
<answer>your final answer</answer>
The last block is graded. It holds the answer alone: a number, an expression, or the letter of the option.""",
)
SINGLE = Prompt(
    "single",
    "v1",
    """{problem}

Reason step by step, then answer. Write exactly these two blocks and nothing outside them:
<think>your reasoning</think>
<answer>your answer</answer>
The answer block holds the answer alone: a number, an expression, or the letter of the option.""",
)
BARE = Prompt("bare", "v1", "{problem}")
"""The question as it is: for models that learn the format from SFT, such as the tiny model."""

PROMPTS: dict[str, Prompt] = {prompt.name: prompt for prompt in (REFLECTIVE, SINGLE, BARE)}
"""The prompts that a config may name."""

_TEACHER_RULES = """\
Write exactly these three blocks and nothing outside them:
<reflection>..</reflection>
<think>..</think>
<answer>..</answer>
The reader knows the picture, the problem and the attempt, but not the solution that you were shown: never mention it, \
nor that you know it; whatever you claim must follow from the picture and the problem. Write as the author of the \
attempt who is checking the work. The think block is a complete solution in its own right, the answer block holds the \
answer alone."""

REVISE = Prompt(
    "revise",
    "v1",
    """{problem}

An attempt at this problem came to a wrong answer:
{attempt}

Known solution, for your eyes only: {answer}

In the reflection, look at the picture again and name the first step at which the attempt goes wrong: what it reads or \
concludes there, what is really so, and how that changes the rest. Then solve the problem correctly.

"""
    + _TEACHER_RULES,
)
REFINE = Prompt(
    "refine",
    "v1",
    """{problem}

An attempt at this problem came to the right answer:
{attempt}

Known solution, for your eyes only: {answer}

In the reflection, check the steps of the attempt against the picture, and say which of them carry the result, which \
are superfluous and what was left unsaid. Then solve the problem once more, shorter and more clearly.

"""
    + _TEACHER_RULES,
)


def problem_text(problem: Problem) -> str:
    """The question, followed by the lettered choices unless the question already lists them."""
    if len(problem.choices) > len(ascii_uppercase):
        count = len(problem.choices)
        raise ValueError(f"problem {problem.id!r} has {count} choices; at most 26 can be lettered, drop some of them")
    lettered = list(zip(ascii_uppercase, problem.choices, strict=False))
    if not lettered or all(_listed(problem.question, letter, choice) for letter, choice in lettered):
        return problem.question
    return "\n".join([problem.question, *(f"{letter}. {choice}" for letter, choice in lettered)])


def user_text(problem: Problem, prompt_name: str) -> str:
    """What the user says to the policy: the problem in the prompt called `prompt_name`."""
    return prompt_named(prompt_name).template.format(problem=problem_text(problem))


def prompt_named(name: str) -> Prompt:
    """The prompt called `name`; ValueError lists the known ones."""
    if name not in PROMPTS:
        raise ValueError(f"unknown prompt {name!r}; use one of {', '.join(PROMPTS)}")
    return PROMPTS[name]


def teacher_prompt(first_is_correct: bool) -> Prompt:
    """REFINE for a right first attempt, REVISE for a wrong one."""
    return REFINE if first_is_correct else REVISE


def teacher_text(problem: Problem, attempt: Attempt, *, first_is_correct: bool) -> str:
    """What a teacher is asked: reflection, second think and second answer for `attempt`.

    The teacher sees the gold answer. Put `render_attempt(attempt)` before its reply and `parse` the whole.
    """
    return teacher_prompt(first_is_correct).template.format(
        problem=problem_text(problem), attempt=render_attempt(attempt), answer=problem.answer
    )


def _listed(question: str, letter: str, choice: str) -> bool:
    marks = (f"{letter}.", f"{letter})", f"{letter}:", f"({letter})", f"{letter}、", f"{letter}．")
    return any(mark + gap + choice in question for mark in marks for gap in ("", " "))
