import pytest

from srpo.core.records import Attempt, FormatError, Response
from srpo.core.response import (
    TAGS,
    Pieces,
    first_attempt_end,
    parse,
    parse_attempt,
    pieces,
    render,
    render_attempt,
)

FIVE = (
    "<think>3+4</think> <answer>7</answer>\n<reflection>again\nred=3</reflection>"
    "<think>3+4=7</think>\t<answer>8</answer>"
)


def test_reads_the_five_blocks_verbatim() -> None:
    assert parse("  \n" + FIVE + "\n") == Response(
        first=Attempt(think="3+4", answer="7"),
        reflection="again\nred=3",
        second=Attempt(think="3+4=7", answer="8"),
    )


def test_white_space_inside_blocks_is_kept() -> None:
    text = "<think> a\n</think><answer> 7 </answer><reflection>\n</reflection><think></think><answer>\t</answer>"
    response = parse(text)
    assert isinstance(response, Response)
    assert (response.first.answer, response.reflection, response.second.answer) == (" 7 ", "\n", "\t")
    assert parse(render(response)) == response


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", 0, "expected <think> (block 1 of 5, the first think), found the end of the text"),
        ("So: " + FIVE, 0, "expected <think> (block 1 of 5, the first think), found 'So: <think>3+4</think> <…'"),
        (FIVE + " done", len(FIVE) + 1, "expected nothing after the second answer, found 'done'"),
        (FIVE + FIVE, len(FIVE), "expected nothing after the second answer, found '<think>3+4</think> <answ…'"),
        ("<think>3+4", 0, "<think> of the first think is never closed"),
        ("<think>a<think>b</think>", 8, "<think> inside the first think, before its </think>"),
        ("<think>a</think>, <answer>", 16, "expected <answer> (block 2 of 5, the first answer), found ', <answer>'"),
        ("<think>a</answer>", 8, "</answer> inside the first think, before its </think>"),
        (
            FIVE.replace("<think>3+4=7</think>", ""),
            FIVE.index("<think>3+4=7") + 1,
            "expected <think> (block 4 of 5, the second think), found '<answer>8</answer>'",
        ),
        ("<Think>a</Think>", 0, "expected <think> (block 1 of 5, the first think), found '<Think>a</Think>'"),
        ("<think>a\ud800</think>", 8, "a lone surrogate, which is not text"),
    ],
)
def test_says_where_and_what_is_wrong(text: str, where: int, what: str) -> None:
    assert parse(text) == FormatError(where=where, what=what)


def test_single_style() -> None:
    assert parse_attempt("<think>a</think>\n<answer>7</answer>") == Attempt(think="a", answer="7")
    assert isinstance(parse_attempt(FIVE), FormatError)
    assert isinstance(parse(FIVE), Response)
    assert isinstance(parse_attempt(FIVE), FormatError)
    assert parse_attempt(render_attempt(Attempt(think="x", answer="y"))) == Attempt(think="x", answer="y")


@pytest.mark.parametrize("tag", TAGS)
def test_render_refuses_texts_with_tags(tag: str) -> None:
    with pytest.raises(ValueError, match="the reflection holds the tag"):
        render(
            Response(
                first=Attempt(think="a", answer="b"), reflection=f"see {tag} x", second=Attempt(think="c", answer="d")
            )
        )
    with pytest.raises(ValueError, match="lone surrogate at character 1"):
        render_attempt(Attempt(think="a\udfff", answer="b"))


def test_parts_of_tags_are_text() -> None:
    attempt = Attempt(think="a</thin", answer="<answer")
    assert parse_attempt(render_attempt(attempt)) == attempt


def test_first_attempt_end() -> None:
    assert FIVE[: first_attempt_end(FIVE)] == "<think>3+4</think> <answer>7</answer>"
    assert first_attempt_end("<think>never") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<answer>7</answer>", Pieces("7", None, None)),
        (FIVE + " and so on", Pieces("7", "again\nred=3", "8")),
        ("<answer>1</answer><answer>2</answer><answer>3</answer>", Pieces("1", None, "3")),
        ("</answer><answer>x<answer>7</answer></answer>", Pieces("7", None, None)),
        ("<reflection>r</reflection><answer>7</answer>", Pieces(None, "r", "7")),
        ("<answer>7</answer><reflection>cut off", Pieces("7", None, None)),
        ("no block at all", Pieces(None, None, None)),
    ],
)
def test_pieces_finds_what_is_there(text: str, expected: Pieces) -> None:
    assert pieces(text) == expected
