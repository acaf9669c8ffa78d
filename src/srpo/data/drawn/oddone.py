"""`oddone`: the figure that breaks the rule. One look refutes a claimed figure; finding it means looking at all."""

import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill


@dataclass(frozen=True, slots=True, kw_only=True)
class OddOne:
    """Nine figures; each colour goes with one shape, but for one figure."""

    family: ClassVar[str] = "oddone"
    colours: tuple[str, ...]
    """Nine colour names, row by row."""
    rule: tuple[tuple[str, str], ...]
    """Pairs of colour and the shape that it has to have."""
    odd: int
    """Index 0..8 of the figure with the wrong shape."""
    odd_shape: str

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: a rule for two colours; level 2: for three."""
        palette = rng.sample(list(canvas.COLOURS), 1 + level)
        shapes = rng.sample(canvas.SHAPES, len(palette))
        rule = tuple(zip(palette, shapes, strict=True))
        colours = tuple(rng.choice(palette) for _ in range(9))
        odd = rng.randrange(9)
        others = [shape for shape in canvas.SHAPES if shape != dict(rule)[colours[odd]]]
        return cls(colours=colours, rule=rule, odd=odd, odd_shape=rng.choice(others))

    @property
    def question(self) -> str:
        """The question, in words."""
        rule = ", ".join(f"{colour} is {shape}" for colour, shape in self.rule)
        return f"The rule: {rule}. Which figure breaks it?"

    @property
    def answer(self) -> str:
        """The cell, `23`."""
        return canvas.cell_name(*divmod(self.odd, 3))

    @property
    def chance(self) -> float:
        """One of nine figures."""
        return 1 / 9

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.colours}{self.rule}{self.odd}{self.odd_shape}"

    def draw(self) -> Image.Image:
        """The nine figures."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        for i, colour in enumerate(self.colours):
            canvas.shape(draw, self._shape(i), colour, *divmod(i, 3))
        canvas.name_cells(draw)
        return picture

    def glance(self) -> tuple[str, ...]:
        """Nothing: the figure is guessed at sight."""
        return ()

    def check(self, claim: str) -> Check:
        """Look at the claimed figure and hold it against the rule."""
        cells = {canvas.cell_name(*divmod(i, 3)): i for i in range(9)}
        if claim not in cells:
            return Check((f"no figure {claim}",), right=False)
        index = cells[claim]
        colour = self.colours[index]
        rule = f"{colour} is {dict(self.rule)[colour]}"
        return Check((self._look(index), rule, self._verdict(index)), right=index == self.odd)

    def solve(self) -> tuple[str, ...]:
        """Look at every figure in turn until one breaks the rule."""
        return tuple(f"{self._look(i)} {self._verdict(i)}" for i in range(self.odd + 1))

    def retry(self, claim: str) -> tuple[str, ...]:  # noqa: ARG002  the search does not depend on it
        """Search: the check has only refuted one guess."""
        return self.solve()

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(self._look(i) for i in range(9))

    def drills(self) -> tuple[Drill, ...]:
        """Which figure is at a cell? Does it fit?"""
        reads = []
        for i in (self.odd, (self.odd + 4) % 9, (self.odd + 7) % 9):
            name = canvas.cell_name(*divmod(i, 3))
            figure = f"{self.colours[i]} {self._shape(i)}"
            reads.append(Drill("read", f"What is at {name}?", f"{name} {figure}", figure))
        return tuple(reads)

    def _shape(self, index: int) -> str:
        return self.odd_shape if index == self.odd else dict(self.rule)[self.colours[index]]

    def _look(self, index: int) -> str:
        return f"{canvas.cell_name(*divmod(index, 3))} {self.colours[index]} {self._shape(index)}"

    def _verdict(self, index: int) -> str:
        return "breaks" if index == self.odd else "fits"
