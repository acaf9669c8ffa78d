"""`bars`: read two bars of a chart and say how much taller one is. A reading family."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill, compare_line

UNIT = 9
"""Pixels per unit of height: nine units fill the picture."""


def draw_bars(colours: tuple[str, ...], heights: tuple[int, ...]) -> Image.Image:
    """Bars of 1..9 units on a common base line, one per column, with a rule for every third unit."""
    picture = canvas.blank()
    draw = canvas.pen(picture)
    for level in range(0, 10, 3):
        y = canvas.SIZE - 1 - level * UNIT
        draw.line((0, y, canvas.SIZE, y), fill=canvas.GRID)
    width = canvas.SIZE // len(colours)
    for column, (colour, height) in enumerate(zip(colours, heights, strict=True)):
        left, top = column * width + 3, canvas.SIZE - height * UNIT
        draw.rectangle((left, top, left + width - 7, canvas.SIZE), fill=canvas.COLOURS[colour])
    return picture


def read_drills(colours: tuple[str, ...], heights: tuple[int, ...]) -> tuple[Drill, ...]:
    """One `How tall is red?` per bar."""
    return tuple(Drill("read", f"How tall is {c}?", f"{c}={h}", str(h)) for c, h in zip(colours, heights, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Three bars; the difference of two of them is asked for."""

    family: ClassVar[str] = "bars"
    colours: tuple[str, ...]
    heights: tuple[int, ...]
    taller: int
    """Index of the taller bar of the question."""
    shorter: int

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: heights up to 5; level 2: up to 9."""
        heights = tuple(rng.sample(range(1, 6 if level == 1 else 10), 3))
        one, two = rng.sample(range(3), 2)
        if heights[one] < heights[two]:
            one, two = two, one
        return cls(colours=tuple(rng.sample(list(canvas.COLOURS), 3)), heights=heights, taller=one, shorter=two)

    @property
    def question(self) -> str:
        """The question, in words."""
        return f"How much taller is {self.colours[self.taller]} than {self.colours[self.shorter]}?"

    @property
    def answer(self) -> str:
        """The difference."""
        return str(self.heights[self.taller] - self.heights[self.shorter])

    @property
    def chance(self) -> float:
        """Differences run from 1 to 8."""
        return 1 / 8

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.colours}{self.heights}{self.taller}{self.shorter}"

    def draw(self) -> Image.Image:
        """The chart."""
        return draw_bars(self.colours, self.heights)

    def glance(self) -> tuple[str, ...]:
        """The whole working."""
        return self.solve()

    def check(self, claim: str) -> Check:
        """Read both bars, subtract, compare."""
        return Check((*self.solve(), compare_line(self.answer, claim)), claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Read both bars and subtract."""
        high, low = self.heights[self.taller], self.heights[self.shorter]
        return (
            f"{self.colours[self.taller]}={high}",
            f"{self.colours[self.shorter]}={low}",
            f"{high}-{low}={high - low}",
        )

    def retry(self, claim: str) -> tuple[str, ...]:
        """The conclusion: the check has worked it out."""
        return (f"{self.answer} not {claim}",)

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(f"{c}={h}" for c, h in zip(self.colours, self.heights, strict=True))

    def drills(self) -> tuple[Drill, ...]:
        """Read each bar; subtract."""
        high, low = self.heights[self.taller], self.heights[self.shorter]
        return (
            *read_drills(self.colours, self.heights),
            Drill("add", f"{high}-{low}?", f"{high}-{low}={high - low}", str(high - low)),
        )
