"""A reflection that states more than a verdict is told from one that does not."""

import pytest

from srpo.core.looking import looks_again
from srpo.core.records import Attempt


@pytest.mark.parametrize(
    ("reflection", "answer", "looks"),
    [
        ("21: so wrong", "21", False),
        ("So wrong.", "21", False),
        ("My first answer, 12 m, is correct.", "12 m", False),
        ("right down down right: so wrong", "right down down right", False),
        ("", "7", False),
        ("22 red circle, red is square", "21", True),
        ("The red bar is 5, not 3", "3", True),
        ("no figure 99\nso wrong", "99", True),
        ("红色是5", "3", True),
    ],
)
def test_looking_is_saying_more_than_the_answer_and_a_verdict(reflection: str, answer: str, looks: bool) -> None:
    assert looks_again(reflection, Attempt(think="", answer=answer)) is looks
