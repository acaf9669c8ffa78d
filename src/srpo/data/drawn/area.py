"""`area`: how many squares of the grid does the rectangle cover? A reading family with a product."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill, compare_line

STEP = 14
"""Grid squares are half a cell: six by six of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One rectangle on a 6x6 grid."""

    family: ClassVar[str] = "area"
    top: int
    left: int
    rows: int
    columns: int
    colour: str
    filled: bool
    """Filled, or only its frame."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: sides up to 4; level 2: sides from 2 to 6."""
        sides = range(1, 5) if level == 1 else range(2, 7)
        rows, columns = rng.choice(sides), rng.choice(sides)
        return cls(
            top=rng.randrange(7 - rows),
            left=rng.randrange(7 - columns),
            rows=rows,
            columns=columns,
            colour=rng.choice(list(canvas.COLOURS)),
            filled=rng.random() < 0.5,
        )

    @property
    def question(self) -> str:
        """The question, in words."""
        return "How many squares does the rectangle cover?"

    @property
    def answer(self) -> str:
        """Rows times columns."""
        return str(self.rows * self.columns)

    @property
    def chance(self) -> float:
        """Eighteen different products of two numbers from 1 to 6."""
        return 1 / 18

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.top},{self.left},{self.rows},{self.columns},{self.colour},{self.filled}"

    def draw(self) -> Image.Image:
        """The rectangle with the grid on top of it."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        x, y = self.left * STEP, self.top * STEP
        box = (x, y, x + self.columns * STEP - 1, y + self.rows * STEP - 1)
        colour = canvas.COLOURS[self.colour]
        draw.rectangle(box, fill=colour if self.filled else None, outline=colour, width=4)
        for i in range(1, 6):
            draw.line((i * STEP, 0, i * STEP, canvas.SIZE), fill=canvas.GRID)
            draw.line((0, i * STEP, canvas.SIZE, i * STEP), fill=canvas.GRID)
        return picture

    def glance(self) -> tuple[str, ...]:
        """The whole working."""
        return self.solve()

    def check(self, claim: str) -> Check:
        """Count rows and columns, multiply, compare."""
        return Check((*self.solve(), compare_line(self.answer, claim)), claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Count rows and columns, multiply."""
        return f"rows={self.rows}", f"columns={self.columns}", f"{self.rows}x{self.columns}={self.answer}"

    def retry(self, claim: str) -> tuple[str, ...]:
        """The conclusion: the check has worked it out."""
        return (f"{self.answer} not {claim}",)

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return self.solve()[:2]

    def drills(self) -> tuple[Drill, ...]:
        """Count rows, count columns, multiply."""
        return (
            Drill("read", "How many rows does it cover?", f"rows={self.rows}", str(self.rows)),
            Drill("read", "How many columns does it cover?", f"columns={self.columns}", str(self.columns)),
            Drill("add", f"{self.rows}x{self.columns}?", self.solve()[2], self.answer),
        )
