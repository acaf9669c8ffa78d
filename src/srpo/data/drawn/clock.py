"""`clock`: what time is it so many minutes later? Reading two hands, then adding past the full hour."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar, Self

from PIL import Image

from srpo.data.drawn import canvas
from srpo.data.drawn.scene import Check, Drill, compare_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock face with a red hour hand and a blue minute hand on a multiple of five minutes."""

    family: ClassVar[str] = "clock"
    hour: int
    """1..12"""
    minute: int
    """0, 5, .. 55"""
    later: int
    """Minutes to add, a multiple of five below 60."""

    @classmethod
    def make(cls, rng: random.Random, level: int) -> Self:
        """Level 1: 5 to 30 minutes later; level 2: 35 to 55."""
        later = rng.randrange(1, 7) if level == 1 else rng.randrange(7, 12)
        return cls(hour=rng.randrange(1, 13), minute=5 * rng.randrange(12), later=5 * later)

    @property
    def question(self) -> str:
        """The question, in words."""
        return f"What time is it {self.later} minutes later?"

    @property
    def answer(self) -> str:
        """Hours and minutes, `4:05`."""
        hour, minute = self._then()
        return _time(hour, minute)

    @property
    def chance(self) -> float:
        """One of 144 times."""
        return 1 / 144

    @property
    def key(self) -> str:
        """The content."""
        return f"{self.hour}:{self.minute}+{self.later}"

    def draw(self) -> Image.Image:
        """Face with twelve marks; the hour hand is short, thick and red, the minute hand long and blue."""
        picture = canvas.blank()
        draw = canvas.pen(picture)
        centre = canvas.SIZE / 2
        for mark in range(12):
            x, y = _on_dial(mark / 12, 39)
            draw.ellipse((centre + x - 1, centre + y - 1, centre + x + 1, centre + y + 1), fill=canvas.INK)
        x, y = _on_dial(self.minute / 60, 37)
        draw.line((centre, centre, centre + x, centre + y), fill=canvas.COLOURS["blue"], width=4)
        x, y = _on_dial((self.hour + self.minute / 60) / 12, 24)
        draw.line((centre, centre, centre + x, centre + y), fill=canvas.COLOURS["red"], width=6)
        return picture

    def glance(self) -> tuple[str, ...]:
        """The whole working."""
        return self.solve()

    def check(self, claim: str) -> Check:
        """Read the clock, add, compare."""
        return Check((*self.solve(), compare_line(self.answer, claim)), claim == self.answer)

    def solve(self) -> tuple[str, ...]:
        """Read the clock, add the minutes, carry the hour."""
        total = self.minute + self.later
        lines = [f"now {_time(self.hour, self.minute)}", f"{self.minute}+{self.later}={total}"]
        if total >= 60:
            lines.append(f"{total}-60={total - 60}")
        return (*lines, f"then {self.answer}")

    def retry(self, claim: str) -> tuple[str, ...]:
        """The conclusion: the check has worked it out."""
        return (f"{self.answer} not {claim}",)

    def describe(self) -> tuple[str, ...]:
        """Everything that is in the picture, one thing a line."""
        return (f"now {_time(self.hour, self.minute)}",)

    def drills(self) -> tuple[Drill, ...]:
        """Read the clock; add minutes."""
        now = _time(self.hour, self.minute)
        read = Drill("read", "What time is it?", f"now {now}", now)
        total = self.minute + self.later
        return (
            read,
            read,
            Drill("add", f"{self.minute}+{self.later}?", f"{self.minute}+{self.later}={total}", str(total)),
        )

    def _then(self) -> tuple[int, int]:
        carry, minute = divmod(self.minute + self.later, 60)
        return (self.hour - 1 + carry) % 12 + 1, minute


def _on_dial(turn: float, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * turn
    return radius * math.sin(angle), -radius * math.cos(angle)


def _time(hour: int, minute: int) -> str:
    return f"{hour}:{minute:02d}"
