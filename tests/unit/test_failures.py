"""From whom a failure comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srpo.models.failures import FailureKind, kind_of

CASES: list[tuple[int, str, FailureKind]] = [
    (400, "picture too large", "request"),
    (413, "request entity too large", "request"),
    (422, "unprocessable", "request"),
    (403, "flagged by moderation", "request"),
    (400, "content_filter: the response was filtered", "request"),
    (401, "invalid key", "account"),
    (402, "payment required", "account"),
    (403, "country not supported", "account"),
    (404, "The model `gpt-9` does not exist (model_not_found)", "account"),
    (429, "You exceeded your current quota (insufficient_quota)", "account"),
    (400, "API key not valid. Please pass a valid API key.", "account"),
    (301, "", "account"),
    (408, "", "moment"),
    (409, "", "moment"),
    (429, "slow down", "moment"),
    (500, "authentication backend is down", "moment"),
    (503, "", "moment"),
    (529, "overloaded", "moment"),
]


@pytest.mark.parametrize(("status", "words", "kind"), CASES)
def test_every_failure_has_one_kind(status: int, words: str, kind: FailureKind) -> None:
    assert kind_of(status, words) == kind


@given(st.integers(300, 599), st.text())
def test_whatever_a_server_says_has_a_kind(status: int, words: str) -> None:
    assert kind_of(status, words) in ("request", "account", "moment")
