"""`pairs`: which two bars add up to T? A search family: naming a pair is a guess, adding two bars refutes it."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.bars import draw_bars, read_drills
from srpo.data.drawn.scene import Check, Drill, add_drill, compare_drill, compare_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Three or four bars, all pair sums different, one of them asked for."""

    family: ClassVar[str] = "pairs"
    colours: tuple[str, ...]
    heights: tuple[int, ...]
    pair: tuple[int, int]
    """Indices of the two bars that make the target, left one first."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: three bars (3 pairs); level 2: four bars (6 pairs)."""
        count = 2 + level
        while True:
            heights = tuple(rng.sample(range(1, 10), count))
            sums = [sum(pair) for pair in itertools.combinations(heights, 2)]
            if len(set(sums)) == len(sums):
                break
        pair = rng.choice(list(itertools.combinations(range(count), 2)))
        return cls(colours=tuple(rng.sample(list(canvas.COLOURS), count)), heights=heights, pair=pair)

    @property
    def target(self) -> int:
        """The sum that is asked for."""
        return self.heights[self.pair[0]] + self.heights[self.pair[1]]

    @property
    def question(self) -> str:
        """The question, in words."""
        return f"Which two bars add up to {self.target}?"

    @property
    def answer(self) -> str:
        """Both colours, left bar first."""
        return self._name(self.pair)

    @property
    def chance(self) -> float:
        """One over the number of pairs."""
        return 1 / len(list(itertools.combinations(self.colours, 2)))

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.colours}{self.heights}{self.target}"

    def draw(self) -> Image.Image:
        """The chart."""
        return draw_bars(self.colours, self.heights)

    def glance(self) -> tuple[str, ...]:
        """Every bar; the pair is searched in the head."""
        return self.describe()

    def check(self, claim: str) -> Check:
        """Read the two bars of the claim, add, compare with the target."""
        indices = tuple(self.colours.index(c) for c in claim.split(" and ") if c in self.colours)
        if len(indices) != 2 or indices[0] == indices[1]:
            return Check(("no such two bars",), right=False)
        return Check((*self._read(indices), *self._try(indices)), self._name(indices) == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Read every bar, then try the pairs from left to right, each by name, until one fits."""
        lines = list(self.describe())
        for pair in itertools.combinations(range(len(self.colours)), 2):
            lines += (self._name(pair), *self._try(pair))
            if pair == self.pair:
                break
        return (*lines, self.answer)

    def retry(self, claim: str) -> tuple[str, ...]:  # noqa: ARG002  the search does not depend on it
        """Try the pairs; every bar was read before the first guess."""
        return self.solve()[len(self.colours) :]

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return self._read(range(len(self.colours)))

    def drills(self) -> tuple[Drill, ...]:
        """Read each bar; add two of them; compare a sum with the target."""
        some = self.heights[0] + self.heights[-1]
        return (
            *read_drills(self.colours, self.heights),
            add_drill((self.heights[0], self.heights[1])),
            add_drill((self.heights[1], self.heights[2])),
            compare_drill(some, self.target),
            compare_drill(self.target, self.target),
        )

    def _name(self, pair: tuple[int, ...]) -> str:
        return " and ".join(self.colours[i] for i in sorted(pair))

    def _read(self, indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(f"{self.colours[i]}={self.heights[i]}" for i in indices)

    def _try(self, pair: tuple[int, ...]) -> tuple[str, str]:
        one, two = (self.heights[i] for i in pair)
        return f"{one}+{two}={one + two}", compare_line(one + two, self.target)
