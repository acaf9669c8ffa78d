r"""The prompt texts, named and versioned: one copy for SFT, RL, evaluation and the teacher.

A prompt that is changed gets a new version, so that `Origin.prompt` says which text a trace was made with. The authors'
prompts are not used; these say the same in our own words, and they tell the model to look at the picture again.

    >>> user_text(Problem(id="1", question="How many?", answer="A", choices=("two", "three")), "bare")
    'How many?\nA. two\nB. three'
    >>> PROMPTS["reflective"].label
    'reflective/v1'
"""

import hashlib
from string import ascii_uppercase
from typing import Literal, NamedTuple

from srpo.core.records import Problem

PromptName = Literal["reflective", "single", "bare", "work"]
Form = Literal["full", "paper"]
"""What the teacher writes: `full` reflection, second think and second answer, `paper` the reflection alone."""


class Prompt(NamedTuple):
    """A text with places to fill in: `{problem}`, and for teachers `{answer}`."""

    name: str
    version: str
    template: str
    system: str = ""
    """What stands in a turn of its own before the user's; empty leaves it to the model's chat template."""

    @property
    def label(self) -> str:
        """What `Origin.prompt` keeps, e.g. `reflective/v1`."""
        return f"{self.name}/{self.version}"

    def around(self, problem: str) -> str:
        """The user's turn about a problem; braces that are not `{problem}` are text."""
        return self.template.replace("{problem}", problem)

    def turns(self, problem: str) -> list[tuple[str, str]]:
        """The conversation that opens with a problem, as (role, text)."""
        system = [("system", self.system)] if self.system else []
        return [*system, ("user", self.around(problem))]


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
WORK = Prompt("work", "v1", "Work it out. {problem}")
"""For the tiny base model, which was taught to write its full working when it is asked so."""

PROMPTS: dict[str, Prompt] = {prompt.name: prompt for prompt in (REFLECTIVE, SINGLE, BARE, WORK)}
"""The prompts that a config may name."""

_DISCRETION = """\
The reader knows the picture, the problem and the attempt, but not the solution that you were shown: never mention it, \
nor that you know it; whatever you claim must follow from the picture and the problem. Write as the author of the \
attempt who is checking the work, and name what can be checked: a number, a label, a step."""

_THREE_BLOCKS = f"""\
Write exactly these three blocks and nothing outside them:
<reflection>..</reflection>
<think>..</think>
<answer>..</answer>
{_DISCRETION} The think block is a complete solution in its own right, the answer block holds the answer alone."""

_ONE_BLOCK = f"""\
Write exactly this block and nothing outside it:
<reflection>..</reflection>
{_DISCRETION}"""

_WRONG = """\
That attempt came to a wrong answer.

Known solution, for your eyes only: {answer}

In the reflection, look at the picture again and name the first step at which the attempt goes wrong: what it reads or \
concludes there, what is really so, and how that changes the rest."""

_RIGHT = """\
That attempt came to the right answer.

Known solution, for your eyes only: {answer}

In the reflection, check the steps of the attempt against the picture, and say which of them carry the result, which \
are superfluous and what was left unsaid."""

REVISE = Prompt("revise", "v2", f"{_WRONG} Then solve the problem correctly.\n\n{_THREE_BLOCKS}")
REFINE = Prompt(
    "refine", "v2", f"{_RIGHT} Then solve the problem once more, shorter and more clearly.\n\n{_THREE_BLOCKS}"
)
REVISE_PAPER = Prompt("revise-paper", "v1", f"{_WRONG}\n\n{_ONE_BLOCK}")
REFINE_PAPER = Prompt("refine-paper", "v1", f"{_RIGHT}\n\n{_ONE_BLOCK}")
"""The paper asks its teacher for the reflection alone."""

CAPTION = Prompt(
    "caption",
    "v1",
    """Describe what is shown for a reader who cannot see it and will have to solve problems about it. Give every \
text, number, label and unit as it stands there, the values of charts and tables, and how parts of figures lie to each \
other. Say only what can be seen; draw no conclusions and solve nothing.""",
)
"""For teachers without eyes. It does not name the problem, so that one description serves all problems on a picture."""

JUDGE = Prompt(
    "judge",
    "v1",
    """Above are a problem and a response in two rounds: a first attempt, a reflection on it, and a second attempt. \
Judge the reflection as material that a model will learn from. Begin with 5 points and take one away for each of these:
- what it says about the picture or the problem is not so;
- it names no definite step, number or thing that one could check;
- it misses or misnames what decides: the first mistake of a wrong attempt, the step that carries a right one;
- the second attempt does not follow from it, or leaves out steps that a reader needs;
- it is padded, repeats the attempt, or argues backwards from an answer that it seems to know already.
Write one short sentence with the reason, and then exactly <score>N</score>, N from 0 to 5.""",
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
    return prompt_named(prompt_name).around(problem_text(problem))


def as_prompt(prompt: str | Prompt) -> Prompt:
    """The prompt that is meant; ValueError lists the known names."""
    return prompt if isinstance(prompt, Prompt) else prompt_named(prompt)


def own_prompt(name: str, template: str, system: str = "") -> Prompt:
    """A prompt of the user's own, whose version is a hash of its words; ValueError where the problem has no place.

    >>> own_prompt("short", "Solve: {problem}").label
    'short/53ad4d93'
    """
    if (count := template.count("{problem}")) != 1:
        raise ValueError(f"prompt {name!r} has {{problem}} {count} times; write it once, where the question goes")
    digest = hashlib.sha256(f"{template}\0{system}".encode()).hexdigest()
    return Prompt(name, digest[:8], template, system)


def with_system(prompt: Prompt, system: str) -> Prompt:
    """The prompt with another system turn; one without any is left as it is."""
    return own_prompt(prompt.name, prompt.template, system) if system and system != prompt.system else prompt


def prompt_named(name: str) -> Prompt:
    """The prompt called `name`; ValueError lists the known ones."""
    if name not in PROMPTS:
        raise ValueError(f"unknown prompt {name!r}; use one of {', '.join(PROMPTS)}")
    return PROMPTS[name]


def teacher_prompt(first_is_correct: bool, form: Form = "full") -> Prompt:
    """The prompt for refining a right first attempt or revising a wrong one."""
    if form == "paper":
        return REFINE_PAPER if first_is_correct else REVISE_PAPER
    return REFINE if first_is_correct else REVISE


def teacher_text(problem: Problem, *, first_is_correct: bool, form: Form = "full") -> str:
    """What a teacher is asked after problem and attempt, which are the turns before: they are not said again.

    The teacher sees the gold answer. Put `render_attempt(attempt)` before its reply and `parse` the whole.
    """
    return teacher_prompt(first_is_correct, form).template.format(answer=problem.answer)


def _listed(question: str, letter: str, choice: str) -> bool:
    marks = (f"{letter}.", f"{letter})", f"{letter}:", f"({letter})", f"{letter}、", f"{letter}．")
    return any(mark + gap + choice in question for mark in marks for gap in ("", " "))
