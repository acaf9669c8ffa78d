"""What requests to one model really take, learned from those that were answered.

Prompts are measured by a rule of thumb, pictures by one model's rule, and some models think beyond `max_tokens`. What
is set aside for the next request, and what is booked for an answer that says nothing of its cost, follows the answers
before it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from srpo.models.cache import MOST_TOKENS, Answer, Choice
from srpo.models.remote_request import Prepared, count_tokens

_FIRST_GUESS = 0.25
"""Share of max_tokens that an answer is assumed to use until one has arrived."""
_WEIGHT = 0.1
"""Of the newest answer in the means: one long answer says little about the next."""
_FADING = 0.99
"""By which the dearest answer so far is forgotten."""


class Tokens(NamedTuple):
    """Of one request."""

    num_in: int
    num_out: int


class Usual:
    """The experience with one model."""

    def __init__(self) -> None:
        self.known = False
        """Whether there is any."""
        self._share_out = _FIRST_GUESS
        self._ratio_in = self._ratio_text = 1.0
        self._most_in = self._most_out = 1.0
        """Tokens of the dearest requests, by what they might have been."""

    def learn(self, prepared: Prepared, answer: Answer) -> None:
        """Take in what a request took."""
        share_out = answer.num_out / max(1, prepared.num_out)
        ratio_in = answer.num_in / max(1, prepared.num_in)
        weight = _WEIGHT if self.known else 1.0
        self._share_out += weight * (share_out - self._share_out)
        self._ratio_in += weight * (ratio_in - self._ratio_in)
        if size := text_size(answer.choices):
            self._ratio_text += weight * (answer.num_out / size - self._ratio_text)
        self._most_in = max(ratio_in, 1 + _FADING * (self._most_in - 1))
        self._most_out = max(share_out, 1 + _FADING * (self._most_out - 1))
        self.known = True

    def guess(self, prepared: Prepared) -> Tokens:
        """What a request will take, most likely."""
        return _tokens(self._ratio_in * prepared.num_in, self._share_out * prepared.num_out)

    def most(self, prepared: Prepared) -> Tokens:
        """What a request can take."""
        return _tokens(self._most_in * prepared.num_in, self._most_out * prepared.num_out)

    def of_text(self, prepared: Prepared, size: int) -> Tokens:
        """What a request took whose texts are all that is known; `size` is their estimated length."""
        return _tokens(self._ratio_in * prepared.num_in, self._ratio_text * size)


def text_size(choices: Sequence[Choice]) -> int:
    """Estimated length of all that was written."""
    return sum(count_tokens(one.text) for one in choices)


def _tokens(num_in: float, num_out: float) -> Tokens:
    return Tokens(*(min(MOST_TOKENS, math.ceil(number)) for number in (num_in, num_out)))
