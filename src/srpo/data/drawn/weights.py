"""`weights`: take one of four weights away so that the rest weighs T. A search family on a 2x2 of numbered blocks."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill, add_drill, compare_drill, compare_line, running_sum

_CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2))
"""Cells (row, column) of the four blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Four coloured blocks with printed weights; leaving the right one out hits the target."""

    family: ClassVar[str] = "weights"
    colours: tuple[str, ...]
    values: tuple[int, ...]
    odd: int
    """Index of the block that has to go."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: weights 1..5; level 2: 1..9."""
        values = tuple(rng.sample(range(1, 6 if level == 1 else 10), 4))
        return cls(colours=tuple(rng.sample(list(canvas.COLOURS), 4)), values=values, odd=rng.randrange(4))

    @property
    def target(self) -> int:
        """What the remaining three weigh."""
        return sum(self.values) - self.values[self.odd]

    @property
    def question(self) -> str:
        """The question, in words."""
        return f"Which block must go so that the rest weighs {self.target}?"

    @property
    def answer(self) -> str:
        """The colour of the block that has to go."""
        return self.colours[self.odd]

    @property
    def chance(self) -> float:
        """One of four blocks."""
        return 1 / 4

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.colours}{self.values}{self.odd}"

    def draw(self) -> Image.Image:
        """Four blocks in the corners, each with its weight in white."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        for (row, column), colour, value in zip(_CORNERS, self.colours, self.values, strict=True):
            x, y = column * canvas.CELL, row * canvas.CELL
            draw.rectangle((x + 1, y + 1, x + canvas.CELL - 2, y + canvas.CELL - 2), fill=canvas.COLOURS[colour])
            canvas.digit(draw, value, x + 9, y + 5, scale=3, fill=(255, 255, 255))
        return picture

    def glance(self) -> tuple[str, ...]:
        """Every block; the sums are done in the head."""
        return self.describe()

    def check(self, claim: str) -> Check:
        """Weigh all four, take the claimed block away, compare with the target."""
        if claim not in self.colours:
            return Check((f"no {claim} block",), right=False)
        total, value = sum(self.values), self.values[self.colours.index(claim)]
        rest = total - value
        steps = (*self._weigh(), f"{claim}={value}", f"{total}-{value}={rest}", compare_line(rest, self.target))
        return Check(steps, claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Weigh all four, then hold each block against the surplus until one matches."""
        total, surplus = sum(self.values), self.values[self.odd]
        lines = [*self._weigh(), f"{total}-{self.target}={surplus}"]
        for colour, value in zip(self.colours, self.values, strict=True):
            lines += (f"{colour}={value}", compare_line(value, surplus))
            if value == surplus:
                break
        return (*lines, self.answer)

    def retry(self, claim: str) -> tuple[str, ...]:  # noqa: ARG002  the search does not depend on it
        """Find the surplus; everything was weighed in the check."""
        return self.solve()[len(self._weigh()) :]

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(f"{c}={v}" for c, v in zip(self.colours, self.values, strict=True))

    def drills(self) -> tuple[Drill, ...]:
        """Read a block, add, compare."""
        reads = tuple(
            Drill("read", f"What is on {c}?", f"{c}={v}", str(v))
            for c, v in zip(self.colours, self.values, strict=True)
        )
        total = sum(self.values)
        return (
            *reads,
            add_drill(self.values[:3]),
            Drill(
                "add",
                f"{total}-{self.target}?",
                f"{total}-{self.target}={total - self.target}",
                str(total - self.target),
            ),
            compare_drill(sum(self.values[1:]), self.target),
            compare_drill(self.target, self.target),
        )

    def _weigh(self) -> tuple[str, ...]:
        """Every block and the running sum."""
        return (*self.describe(), *running_sum(self.values))
