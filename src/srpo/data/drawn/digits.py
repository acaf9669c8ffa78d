"""`digits`: sums of real handwritten digits (UCI optical digits, 8x8, CC BY 4.0). A reading family.

The digits of the training split and of the held-out splits come from different writers (see `handwriting.py`).
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image, ImageOps

from srpo.data.drawn import canvas
from srpo.data.drawn.handwriting import digit_image
from srpo.data.drawn.scene import Check, Drill, add_drill, compare_drill, compare_line, running_sum

_PLACES = ("left", "middle", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Two or three handwritten digits in a row; their sum is asked for."""

    family: ClassVar[str] = "digits"
    values: tuple[int, ...]
    row: int
    ink: str
    style: int
    """Seed that picks the handwriting samples, from the split's own writers."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: two digits; level 2: three."""
        values = tuple(rng.randrange(10) for _ in range(1 + level))
        ink = rng.choice(list(canvas.COLOURS))
        return cls(values=values, row=rng.randrange(3), ink=ink, style=rng.randrange(10**6))

    @property
    def question(self) -> str:
        """The question, in words."""
        return "What do the digits add up to?"

    @property
    def answer(self) -> str:
        """The sum."""
        return str(sum(self.values))

    @property
    def chance(self) -> float:
        """Sums run from 0 to 9 per digit."""
        return 1 / (9 * len(self.values) + 1)

    @property
    def key(self) -> str:
        """The digits, their row and their ink; the same in other handwriting counts as the same problem."""
        return f"{self.values}{self.row}{self.ink}"

    def draw(self) -> Image.Image:
        """Handwriting in one row of cells, in coloured ink on white."""
        picture = canvas.blank()
        rng = random.Random(self.style)
        for column, value in enumerate(self.values):
            sample = digit_image(value, held_out=self._held_out(), pick=rng.random())
            written = ImageOps.colorize(sample.resize((24, 24)), canvas.COLOURS[self.ink], (255, 255, 255))
            picture.paste(written, (column * canvas.CELL + 2, self.row * canvas.CELL + 2))
        return picture

    def glance(self) -> tuple[str, ...]:
        """The whole working."""
        return self.solve()

    def check(self, claim: str) -> Check:
        """Read every digit, add, compare."""
        return Check((*self.solve(), compare_line(self.answer, claim)), claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Read every digit and add from left to right."""
        return (*self.describe(), *running_sum(self.values))

    def retry(self, claim: str) -> tuple[str, ...]:
        """The conclusion: the check has worked it out."""
        return (f"{self.answer} not {claim}",)

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(f"{place}={value}" for place, value in zip(_PLACES, self.values, strict=False))

    def drills(self) -> tuple[Drill, ...]:
        """Read each digit, add them, compare."""
        reads = tuple(
            Drill("read", f"What is the {place} digit?", f"{place}={value}", str(value))
            for place, value in zip(_PLACES, self.values, strict=False)
        )
        total = sum(self.values)
        return (*reads, *reads, add_drill(self.values), compare_drill(total, total - self.values[-1]))

    def _held_out(self) -> bool:
        from srpo.data.drawn.splits import split_of

        return split_of(self) != "train"
