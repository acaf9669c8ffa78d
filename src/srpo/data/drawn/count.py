"""`count`: how many figures are red circles? Counting cell by cell against counting at a glance."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill, add_drill, compare_line, running_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Up to nine figures in two colours and two shapes."""

    family: ClassVar[str] = "count"
    figures: tuple[str, ...]
    """Nine entries `colour shape`, row by row; an empty text is an empty cell."""
    wanted: str
    """The figure to count, `red circle`."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: two kinds of figure; level 2: four, sharing colours and shapes."""
        colours, shapes = rng.sample(list(canvas.COLOURS), 2), rng.sample(canvas.SHAPES, 2)
        kinds = [f"{c} {s}" for c in colours for s in shapes]
        wanted = rng.choice(kinds)
        pool = [wanted, rng.choice([k for k in kinds if k != wanted])] if level == 1 else kinds
        share = rng.uniform(0.2, 0.8)
        figures = tuple(
            wanted if rng.random() < share else rng.choice(["", *(k for k in pool if k != wanted)]) for _ in range(9)
        )
        return cls(figures=figures, wanted=wanted)

    @property
    def question(self) -> str:
        """The question, in words."""
        return f"How many {self.wanted}s are there?"

    @property
    def answer(self) -> str:
        """The number."""
        return str(self.figures.count(self.wanted))

    @property
    def chance(self) -> float:
        """Numbers from 0 to 9."""
        return 1 / 10

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.figures}{self.wanted}"

    def draw(self) -> Image.Image:
        """The figures."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        for i, figure in enumerate(self.figures):
            if figure:
                colour, shape = figure.split()
                canvas.shape(draw, shape, colour, *divmod(i, 3))
        canvas.name_cells(draw)
        return picture

    def glance(self) -> tuple[str, ...]:
        """Nothing: the number is guessed at sight."""
        return ()

    def check(self, claim: str) -> Check:
        """Count cell by cell, add, compare."""
        return Check((*self.solve(), compare_line(self.answer, claim)), claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Look at every cell, count row by row, and add."""
        rows = tuple(self._in_row(row) for row in range(3))
        return (*(self._look(row) for row in range(3)), *running_sum(rows))

    def retry(self, claim: str) -> tuple[str, ...]:
        """The conclusion: the check has worked it out."""
        return (f"{self.answer} not {claim}",)

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(f"{canvas.cell_name(*divmod(i, 3))} {figure or 'empty'}" for i, figure in enumerate(self.figures))

    def drills(self) -> tuple[Drill, ...]:
        """Count in one row; add the rows."""
        counts = tuple(self._in_row(row) for row in range(3))
        rows = tuple(
            Drill("read", f"How many {self.wanted}s are in row {row + 1}?", self._look(row), str(count))
            for row, count in enumerate(counts)
        )
        return (*rows, add_drill(counts))

    def _look(self, row: int) -> str:
        """One row, cell by cell: `11 yes 12 no 13 yes: 2`."""
        cells = (
            f"{canvas.cell_name(row, c)} {'yes' if self.figures[3 * row + c] == self.wanted else 'no'}"
            for c in range(3)
        )
        return f"{' '.join(cells)}: {self._in_row(row)}"

    def _in_row(self, row: int) -> int:
        return self.figures[3 * row : 3 * row + 3].count(self.wanted)
