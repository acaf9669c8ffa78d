"""What a reflection says of the first answer, read by words."""

import pytest

from srpo.core.verdicts import says_right

RIGHT = (
    "so right",
    " purple=2\n3x2=6\n6 vs 6: yes\nso right",
    "The answer 7 is correct, no mistakes were found.",
    "Nothing is wrong with it.",
    "There was no error in the calculation.",
    "All steps are valid and the result checks out.",
    "I arrived at the correct answer.",
    "The percentage error is 4, and the attempt is correct.",
    "That's right, the bar is 4",
    "第一次的答案是正确的",
    "没错，答案是7",
)
WRONG = (
    "12: so wrong",
    "I made a mistake: the blue bar is 4, so the correct answer is 7.",
    "Let me check whether the first answer is right. The bar is 4, so it is wrong.",
    "The reading of the blue bar is right, but the sum is wrong.",
    "This is not right: the bar ends at 4.",
    "It isn't correct.",
    "I incorrectly took 5 for 6.",
    "The initial solution contains an error: the angle should be 40 degrees.",
    "答案错了，应该是7",
    "计算不正确",
)
NEITHER = (
    "",
    "The right answer should be 8.",
    "Look at the bar on the right.",
    "The right angle is at B.",
    "I need to correct the sum.",
    "I should look for errors in the sum.",
    "Is it right? I look again.",
    "I took the blue bar for 5, but its top is at the line of 4.",
)


@pytest.mark.parametrize("text", RIGHT)
def test_what_calls_the_answer_right(text: str) -> None:
    assert says_right(text) is True


@pytest.mark.parametrize("text", WRONG)
def test_what_calls_the_answer_wrong(text: str) -> None:
    assert says_right(text) is False


@pytest.mark.parametrize("text", NEITHER)
def test_what_gives_no_verdict(text: str) -> None:
    assert says_right(text) is None


def test_a_long_text_is_read_in_linear_time_and_only_so_far() -> None:
    assert says_right("right " * 100_000) is True
    assert says_right("x" * 8_000 + " wrong") is None
