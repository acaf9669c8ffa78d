"""Whether one request fails by itself, or the server for all: what was answered before is asked again.

A request that crashes a server's worker gets a 500 for ever, and would stop every run that comes to it. When patience
is over, a request like it (with or without pictures) that was answered before is sent ten times with a short answer.
A server that fails every second request for reasons of its own passes that once in a thousand times, after it failed
one request at every try.
"""

import hashlib
from collections.abc import Iterator

from srpo.models.remote_request import Prepared

_TIMES = 10
_MOST_TOKENS = 16
_FEW = 8
"""So many requests are blamed in any case, beyond them one in a hundred of those answered."""


class Controls:
    """Requests that are known to be answered."""

    def __init__(self) -> None:
        self._answered: dict[bool, Prepared] = {}
        self._num_answered = self._num_blamed = 0

    def learn(self, prepared: Prepared) -> None:
        """Remember a request that was answered."""
        self._num_answered += 1
        self._answered[_has_pictures(prepared)] = prepared

    def control_for(self, prepared: Prepared) -> Prepared | None:
        """A request like it that was answered; None where there is none, or where too many were blamed."""
        if self._num_blamed >= _FEW + self._num_answered // 100:
            return None
        return self._answered.get(_has_pictures(prepared))

    def blame(self) -> bool:
        """Count a request that fails by itself; always true."""
        self._num_blamed += 1
        return True


def shortened(control: Prepared, failing: Prepared, max_tokens_field: str) -> Iterator[Prepared]:
    """The control as often as it is asked, for one short sample; answers are booked on the failing problem."""
    most = min(_MOST_TOKENS, control.num_out)
    body = {name: value for name, value in control.body.items() if name != "n"} | {max_tokens_field: most}
    for number in range(_TIMES):
        key = hashlib.sha256(control.key + failing.key + bytes([number])).digest()
        yield control._replace(body=body, key=key, problem=failing.problem, num_samples=1, num_out=most)


def _has_pictures(prepared: Prepared) -> bool:
    return any(isinstance(message["content"], list) for message in prepared.body["messages"])
