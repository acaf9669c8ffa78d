"""What every family of drawn problems offers: a picture, a question, and the knowledge of a scripted teacher.

A scene is a frozen value. `check` holds a claimed answer against the picture and stops at the first contradiction;
`solve` works the answer out in full. In most families a check is shorter than a solution, which is what gives a
reflection something to do (docs/design.md#what-we-add).
"""

from typing import ClassVar, NamedTuple, Protocol

from PIL import Image


class Check(NamedTuple):
    """A claimed answer held against the picture."""

    lines: tuple[str, ...]
    """What was read and computed, one step a line, the contradiction or confirmation last."""
    right: bool


class Drill(NamedTuple):
    """One skill that checking needs (read, add, compare), as a question about the same picture."""

    skill: str
    """`read`, `add` or `compare`; accuracy is reported per skill."""
    question: str
    think: str
    answer: str


class Scene(Protocol):
    """One drawn problem."""

    family: ClassVar[str]

    @property
    def question(self) -> str:
        """The question, in words."""
        ...

    @property
    def answer(self) -> str:
        """The gold answer, in the form in which the model writes it."""
        ...

    @property
    def chance(self) -> float:
        """Accuracy of a blind guess among the possible answers, between 0 and 1."""
        ...

    @property
    def key(self) -> str:
        """The content, so that no two splits share a problem. Equal keys mean the same problem."""
        ...

    def draw(self) -> Image.Image:
        """The picture, 84x84 RGB."""
        ...

    def glance(self) -> tuple[str, ...]:
        """What a first attempt writes down, one thing a line: the working, or what it sees before it guesses."""
        ...

    def check(self, claim: str) -> Check:
        """Hold `claim` against the picture; a claim that names nothing in it is wrong and the line says so."""
        ...

    def solve(self) -> tuple[str, ...]:
        """The full working, one step a line; the last line contains the answer."""
        ...

    def retry(self, claim: str) -> tuple[str, ...]:
        """What is left to do once the check has refuted `claim`; the last line contains the answer."""
        ...

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        ...

    def drills(self) -> tuple[Drill, ...]:
        """Skill questions about this picture."""
        ...


def compare_line(found: object, wanted: object) -> str:
    """The line that ends a numeric check: `8 vs 9: no` or `9 vs 9: yes`.

    Both values stand side by side before the verdict: a small model that had to say `8 is not 9` had to decide at `is`,
    before it had copied the 9, and was right half of the time.
    """
    return f"{found} vs {wanted}: {'yes' if found == wanted else 'no'}"


def running_sum(values: tuple[int, ...]) -> tuple[str, ...]:
    """Add from left to right, one addition a line: (3, 5, 2) -> ("3+5=8", "8+2=10")."""
    lines, total = [], values[0]
    for value in values[1:]:
        lines.append(f"{total}+{value}={total + value}")
        total += value
    return tuple(lines)


def add_drill(values: tuple[int, ...]) -> Drill:
    """`3+5?` worked in the same lines as in a check."""
    lines = running_sum(values)
    return Drill("add", f"{'+'.join(map(str, values))}?", "\n".join(lines), str(sum(values)))


def compare_drill(found: int, wanted: int) -> Drill:
    """`Is 8 the same as 9?`, the step at which an untrained check fails."""
    return Drill(
        "compare",
        f"Is {found} the same as {wanted}?",
        compare_line(found, wanted),
        "yes" if found == wanted else "no",
    )
