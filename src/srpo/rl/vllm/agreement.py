"""Does the server follow the trainer? Judged on a fixed text that both score after every hand-over. Pure.

Sampler and trainer never agree to the last digit, and one step of the optimizer may move less than they differ. So it
is not compared how near the two are, but how each has moved since they were last found in step: a server that got the
weights moves with the trainer, one that did not get them stays where it was, whatever it answered.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

_SIGNAL = 8.0
"""Movement over noise from which it is worth judging."""
_MOST_NOISE = 4.0
_MOST_LEFT = 0.05
"""How far a server's movement may be from the trainer's, in units of the noise and of the movement, together. A server
that took none is 8 noises away at least; one that left out a layer can be further away than this, too."""
_ROUNDING = 1e-4
"""Differences of log-probabilities, in nats, that two programs have in float32."""


class Scores(NamedTuple):
    """Log-probabilities (nats) of the tokens of one text."""

    server: Sequence[float]
    trainer: Sequence[float]


class Movement(NamedTuple):
    """How scores have changed; root mean squares over the tokens, in nats."""

    trainer: float
    left: float
    """Of the server's movement from the trainer's."""
    noise: float
    """Of the server from the trainer before, when they had the same weights."""

    @property
    def can_be_judged(self) -> bool:
        """Whether the trainer moved enough."""
        return self.trainer >= _SIGNAL * self.noise

    @property
    def was_followed(self) -> bool:
        """Whether the server made the same movement."""
        return self.left <= _MOST_NOISE * self.noise + _MOST_LEFT * self.trainer


class Agreement:
    """The last scores at which server and trainer were in step."""

    def __init__(self) -> None:
        self._anchor: Scores | None = None

    def failure(self, now: Scores) -> Movement | None:
        """How the server failed to follow the trainer since it was last found to; None where it did, or where that
        cannot be told yet.
        """
        if self._anchor is None:
            self._anchor = now
            return None
        moved = movement(self._anchor, now)
        if not moved.can_be_judged:
            return None
        if not moved.was_followed:
            return moved
        self._anchor = now
        return None


def movement(before: Scores, now: Scores) -> Movement:
    """How server and trainer have moved.

    >>> before = Scores([-1.0, -2.0], [-1.0, -2.0])
    >>> stayed = movement(before, Scores([-1.0, -2.0], [-1.5, -2.5]))
    >>> stayed.trainer, stayed.left, stayed.was_followed
    (0.5, 0.5, False)
    >>> movement(before, Scores([-1.5, -2.5], [-1.5, -2.5])).was_followed
    True
    """
    server, trainer = (
        [after - start for after, start in zip(later, earlier, strict=True)]
        for later, earlier in zip(now, before, strict=True)
    )
    left = [one - other for one, other in zip(server, trainer, strict=True)]
    apart = [one - other for one, other in zip(before.server, before.trainer, strict=True)]
    return Movement(_size(trainer), _size(left), max(_ROUNDING, _size(apart)))


def _size(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))
