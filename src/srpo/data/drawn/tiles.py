"""`tiles`: which tile completes the pattern? Every row and column holds each shape and each colour once."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """A 3x3 Latin square of shapes over one of colours, with one tile missing."""

    family: ClassVar[str] = "tiles"
    shapes: tuple[str, ...]
    """Nine shape names, row by row, the missing one included."""
    colours: tuple[str, ...]
    hole: int
    """Index 0..8 of the missing tile."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: the hole is in the last column; level 2: anywhere."""
        hole = rng.randrange(3) * 3 + 2 if level == 1 else rng.randrange(9)
        palette = rng.sample(list(canvas.COLOURS), 3)
        return cls(shapes=_latin(rng, list(canvas.SHAPES)), colours=_latin(rng, palette), hole=hole)

    @property
    def question(self) -> str:
        """The question, in words."""
        return "Which tile is missing?"

    @property
    def answer(self) -> str:
        """Colour and shape, `red circle`."""
        return self._tile(self.hole)

    @property
    def chance(self) -> float:
        """Three shapes times the three colours in the picture."""
        return 1 / 9

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.shapes}{self.colours}{self.hole}"

    def draw(self) -> Image.Image:
        """The tiles; a grey frame marks the hole."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        for i in range(9):
            row, column = divmod(i, 3)
            if i == self.hole:
                x, y = column * canvas.CELL, row * canvas.CELL
                draw.rectangle((x + 6, y + 7, x + 25, y + 25), outline=canvas.GRID, width=3)
            else:
                canvas.shape(draw, self.shapes[i], self.colours[i], row, column)
        canvas.name_cells(draw)
        return picture

    def glance(self) -> tuple[str, ...]:
        """Nothing: the tile is guessed at sight."""
        return ()

    def check(self, claim: str) -> Check:
        """Hold the claim against the two other tiles of the row; shape and colour must be new there."""
        lines = []
        for i in self._row():
            taken = {self.colours[i], self.shapes[i]} & set(claim.split())
            lines.append(f"{self._name(i)} {self._tile(i)} vs {claim}: {'taken' if taken else 'free'}")
            if taken:
                return Check(tuple(lines), right=False)
        if claim == self.answer:
            return Check(tuple(lines), right=True)
        return Check((*lines, f"no {claim} here"), right=False)

    def solve(self) -> tuple[str, ...]:
        """Read the row with the hole, and one other row for the full set of colours."""
        other = [i for i in range(9) if i // 3 == (self.hole // 3 + 1) % 3]
        return (
            *(f"{self._name(i)} {self._tile(i)}" for i in (*other, *self._row())),
            f"left {self.answer}",
        )

    def retry(self, claim: str) -> tuple[str, ...]:  # noqa: ARG002  the search does not depend on it
        """Search: the check has only refuted one guess."""
        return self.solve()

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(f"{self._name(i)} {self._tile(i)}" for i in range(9) if i != self.hole)

    def drills(self) -> tuple[Drill, ...]:
        """Which tile is at a cell?"""
        return tuple(
            Drill("read", f"What is at {self._name(i)}?", f"{self._name(i)} {self._tile(i)}", self._tile(i))
            for i in range(9)
            if i != self.hole
        )

    def _row(self) -> list[int]:
        start = self.hole // 3 * 3
        return [i for i in range(start, start + 3) if i != self.hole]

    def _tile(self, index: int) -> str:
        return f"{self.colours[index]} {self.shapes[index]}"

    def _name(self, index: int) -> str:
        return canvas.cell_name(*divmod(index, 3))


def _latin(rng: random.Random, symbols: list[str]) -> tuple[str, ...]:
    """A random 3x3 Latin square, row by row."""
    rng.shuffle(symbols)
    step, start = rng.choice((1, 2)), rng.randrange(3)
    return tuple(symbols[(start + step * row + column) % 3] for row in range(3) for column in range(3))
