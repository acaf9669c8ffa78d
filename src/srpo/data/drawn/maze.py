"""`maze`: the one way through a 3x3 maze. Walking a claimed way until it hits a wall is easier than finding one."""

import itertools
import random
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill

Square = tuple[int, int]
Edge = tuple[Square, str]
_WAYS: Final = tuple(sorted({"".join(way) for way in itertools.permutations("RRDD")}))
_WORDS: Final = {"R": "right", "D": "down"}
_EDGES: Final[tuple[Edge, ...]] = tuple(
    [((r, c), "right") for r in range(3) for c in range(2)] + [((r, c), "down") for r in range(2) for c in range(3)]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maze:
    """Start at the top left, leave at the bottom right, moving right or down; exactly one way is open."""

    family: ClassVar[str] = "maze"
    walls: frozenset[Edge]
    """Closed borders: the cell, and the side (`right` or `down`) that the wall stands on."""

    colour: str
    """Colour of the walls."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: most borders off the way are closed; level 2: a third (longer dead ends)."""
        way = rng.choice(_WAYS)
        keep = set(_edges_of(way))
        closed = 0.6 if level == 1 else 0.35
        while True:
            walls = frozenset(edge for edge in _EDGES if edge not in keep and rng.random() < closed)
            if sum(_is_open(other, walls) for other in _WAYS) == 1:
                return cls(walls=walls, colour=rng.choice(list(canvas.COLOURS)))

    @property
    def question(self) -> str:
        """The question, in words."""
        return "Which way leads through the maze?"

    @property
    def answer(self) -> str:
        """Four moves, `right down down right`."""
        return next(_words(way) for way in _WAYS if _is_open(way, self.walls))

    @property
    def chance(self) -> float:
        """One of six ways."""
        return 1 / len(_WAYS)

    @property
    def key(self) -> str:
        """The content."""
        return f"{sorted(self.walls)}{self.colour}"

    def draw(self) -> Image.Image:
        """Thick walls between cells, a dot at the start and a ring at the goal."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        cell = canvas.CELL
        draw.ellipse((9, 9, 18, 18), fill=canvas.INK)
        draw.ellipse((2 * cell + 9, 2 * cell + 9, 2 * cell + 18, 2 * cell + 18), outline=canvas.INK, width=3)
        draw.rectangle((0, 0, canvas.SIZE - 1, canvas.SIZE - 1), outline=canvas.INK, width=2)
        colour = canvas.COLOURS[self.colour]
        for (row, column), side in self.walls:
            x, y = column * cell, row * cell
            if side == "right":
                draw.rectangle((x + cell - 3, y, x + cell + 2, y + cell), fill=colour)
            else:
                draw.rectangle((x, y + cell - 3, x + cell, y + cell + 2), fill=colour)
        canvas.name_cells(draw, inset=3)
        return picture

    def glance(self) -> tuple[str, ...]:
        """Nothing: the way is guessed at sight."""
        return ()

    def check(self, claim: str) -> Check:
        """Walk the claimed way until a wall or the goal."""
        way = "".join("R" if word == "right" else "D" for word in claim.split())
        if claim != _words(way) or way not in _WAYS:
            return Check(("this way does not end at the goal",), right=False)
        lines = []
        for edge in _edges_of(way):
            lines.append(self._look(edge))
            if edge in self.walls:
                return Check(tuple(lines), right=False)
        return Check((*lines, "goal"), right=True)

    def solve(self) -> tuple[str, ...]:
        """Search from the start, right before down, stepping back at dead ends."""
        lines: list[str] = []
        moves = self._search((0, 0), lines)
        return (*lines, " ".join(moves))

    def retry(self, claim: str) -> tuple[str, ...]:  # noqa: ARG002  the search does not depend on it
        """Search: the check has only refuted one guess."""
        return self.solve()

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return tuple(self._look(edge) for edge in _EDGES)

    def drills(self) -> tuple[Drill, ...]:
        """Is one border open? Walls and openings come up equally often."""
        closed = [e for e in _EDGES if e in self.walls]
        opened = [e for e in _EDGES if e not in self.walls]
        return tuple(
            Drill("read", f"Is {_name(cell)} {side} open?", self._look((cell, side)), "no" if wall else "yes")
            for wall, edges in ((True, closed), (False, opened))
            for cell, side in edges[:4] + edges[-2:]
        )

    def _look(self, edge: Edge) -> str:
        (cell, side) = edge
        return f"{_name(cell)} {side} {'wall' if edge in self.walls else 'open'}"

    def _search(self, cell: Square, lines: list[str]) -> list[str]:
        if cell == (2, 2):
            return ["."]
        for side, step in (("right", (0, 1)), ("down", (1, 0))):
            after = (cell[0] + step[0], cell[1] + step[1])
            if max(after) > 2:
                continue
            lines.append(self._look((cell, side)))
            if (cell, side) in self.walls:
                continue
            rest = self._search(after, lines)
            if rest:
                return [side] if rest == ["."] else [side, *rest]
        return []


def _edges_of(way: str) -> tuple[Edge, ...]:
    cell, edges = (0, 0), []
    for move in way:
        edges.append((cell, _WORDS[move]))
        cell = (cell[0], cell[1] + 1) if move == "R" else (cell[0] + 1, cell[1])
    return tuple(edges)


def _is_open(way: str, walls: frozenset[Edge]) -> bool:
    return not any(edge in walls for edge in _edges_of(way))


def _words(way: str) -> str:
    return " ".join(_WORDS[move] for move in way)


def _name(cell: Square) -> str:
    return canvas.cell_name(*cell)
