"""What models write is read in time that grows with its length and no faster, whatever it is made of."""

import time
from collections.abc import Callable

import pytest

from srpo.core.cleaning import answer_in_json, clean_response, spoken, unwrapped
from srpo.core.records import Attempt, FormatError
from srpo.core.response import first_attempt_end, parse, parse_attempt, pieces
from srpo.grading.answers import extract_answer

HOSTILE: dict[str, Callable[[int], str]] = {
    "nested": lambda n: "<think>" * n,
    "unclosed answers": lambda n: "<think>a</think>" + "<answer>" * n,
    "closing only": lambda n: "</answer>" * n,
    "openings then closings": lambda n: "<answer>" * n + "</answer>" * n,
    "pairs": lambda n: "<answer>7</answer>" * n,
    "reflections": lambda n: "<reflection>" * n + "</reflection>" * n,
    "angle brackets": lambda n: "<" * (8 * n),
    "half tags": lambda n: "<thin</thin" * n,
    "blanks": lambda n: " " * (8 * n),
    "nul": lambda n: "<think>" + "\0" * (8 * n),
    "surrogates": lambda n: "\ud800" * (8 * n),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_cost_linear_time(name: str) -> None:
    def cost(n: int) -> float:
        text = HOSTILE[name](n)
        start = time.process_time()
        assert isinstance(parse(text), FormatError)
        pieces(text)
        first_attempt_end(text)
        return time.process_time() - start

    # Sixteen times the text may cost sixteen times as much; a quadratic scan of 100,000 tags would take minutes.
    small = min(cost(6_250) for _ in range(3))
    assert cost(100_000) < 100 * small + 0.3


@pytest.mark.parametrize(
    "piece", ["<answer>", "</answer>", "<think>", r"\boxed{", "**", "answer is ", "( ", "\x00", "{", "so "]
)
def test_time_is_linear_in_the_length(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        start = time.process_time()
        extract_answer(text)
        return time.process_time() - start

    # Twenty times the text, for which a quadratic reader needs four hundred times as long. The best of three: a
    # collection of garbage among thousands of tests, or a neighbour, is not the reader's time.
    assert min(seconds(1_000_000) for _ in range(3)) < 100 * min(seconds(50_000) for _ in range(3)) + 0.3


def test_ten_megabytes() -> None:
    text = "<think>" + "a<b " * 2_500_000 + "</think><answer>7</answer>"
    start = time.process_time()
    parsed = parse_attempt(text)
    assert time.process_time() - start < 20
    assert isinstance(parsed, Attempt)
    assert len(parsed.think) == 10_000_000


FRAGMENTS = [
    "<",
    "<think>",
    "</think>",
    "<answer>",
    "<|",
    "<|im_end|>",
    "</s>",
    "```",
    '{"answer"',
    "[THINK]",
    "◁think▷",
]


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_cleaning_is_linear(fragment: str) -> None:
    start = time.process_time()
    text = fragment * (200_000 // len(fragment))
    clean_response(text)
    spoken(text)
    pieces(text)
    unwrapped(text)
    answer_in_json(text)
    assert time.process_time() - start < 3
