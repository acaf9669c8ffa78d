from hypothesis import given
from hypothesis import strategies as st

from srpo.core.records import Attempt, FormatError, Response
from srpo.core.response import TAGS, parse, parse_attempt, pieces, render, render_attempt

# Hypothesis's text has no surrogates by default; fragments of tags make near misses likely.
FRAGMENTS = st.sampled_from(
    ["<", ">", "/", "<think", "think>", "</answer", "<reflection", "answer>", " ", "\n", "\0", "7"]
)
BLOCK = (
    st.lists(FRAGMENTS | st.text(max_size=8), max_size=6).map("".join).filter(lambda s: not any(t in s for t in TAGS))
)
ATTEMPT = st.builds(Attempt, think=BLOCK, answer=BLOCK)
RESPONSE = st.builds(Response, first=ATTEMPT, reflection=BLOCK, second=ATTEMPT)
BLANK = st.text(alphabet=" \t\r\n\u00a0\u3000", max_size=4)
ANY_TEXT = st.lists(st.sampled_from(TAGS) | FRAGMENTS | st.text(max_size=8), max_size=20).map("".join)


@given(RESPONSE)
def test_parse_inverts_render(response: Response) -> None:
    assert parse(render(response)) == response


@given(ATTEMPT)
def test_parse_attempt_inverts_render(attempt: Attempt) -> None:
    assert parse_attempt(render_attempt(attempt)) == attempt


@given(RESPONSE, BLANK, BLANK)
def test_white_space_around_does_not_matter(response: Response, before: str, after: str) -> None:
    assert parse(before + render(response) + after) == response


@given(ANY_TEXT | st.text(alphabet=st.characters(categories=("Cs", "L")), max_size=5))
def test_every_text_is_read_or_refused_with_a_place(text: str) -> None:
    parsed = parse(text)
    if isinstance(parsed, FormatError):
        assert 0 <= parsed.where <= len(text)
        assert parsed.what
    else:
        assert parse(render(parsed)) == parsed
        assert pieces(text) == (parsed.first.answer, parsed.reflection, parsed.second.answer)


@given(RESPONSE, st.sampled_from(["x", "<think>", "</answer>", "."]))
def test_anything_after_the_last_block_breaks_the_format(response: Response, extra: str) -> None:
    assert isinstance(parse(render(response) + extra), FormatError)


@given(RESPONSE)
def test_pieces_agrees_with_parse(response: Response) -> None:
    assert pieces(render(response)) == (response.first.answer, response.reflection, response.second.answer)
