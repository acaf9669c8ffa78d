"""LaTeX on pages: what becomes MathML, what stays text, and that nothing hostile gets through."""

import random
import re
import time

import pytest

from srpo.report.formulas import LONGEST_FORMULA, with_formulas
from tests.support.hostile import NASTY, steering
from tests.support.html import Page

COMMANDS = (
    r"\frac",
    r"\sqrt",
    r"\left(",
    r"\right)",
    r"\begin{matrix}",
    r"\end{matrix}",
    "{",
    "}",
    "^",
    "_",
    "&",
    r"\\",
)

NAMES = re.compile(
    "math|mrow|mi|mn|mo|mtext|mspace|mfrac|msqrt|mroot|msub|msup|msubsup|munder(over)?|mover|mstyle|mt(able|r|d)"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\frac{3}{4}", "<mfrac><mrow><mn>3</mn></mrow><mrow><mn>4</mn></mrow></mfrac>"),
        (r"the root $\sqrt{2}$ of two", "the root <math"),
        (r"the root \(\sqrt{2}\) of two", "<msqrt>"),
        (r"\[x^2\]", "<msup>"),
        (r"$$a<b$$", "<mo>&lt;</mo>"),
        (r"\boxed{7}", "<mn>7</mn>"),
        (r"2\text{ cm}", "<mtext>\u00a0cm</mtext>"),
    ],
)
def test_a_formula_is_markup(text: str, shown: str) -> None:
    found = with_formulas(text)
    assert shown in found
    assert 'alttext="' in found


@pytest.mark.parametrize(
    "text",
    [
        "it costs $5 and they have $6",
        "two for $5, or pears and apples at 3$",
        "$ x $",
        r"C:\users\maria\frac",
        r"\notacommand{3}",
        r"\frac{1}{",
        r"\cancel{3}",
        r"$\newcommand{\a}{\a\a}\a$",
        r"\hphantom{wrong}7",
        "snake_case and x^2",
        "$" + "x" * (LONGEST_FORMULA + 1) + "$",
        r"\sqrt{" * 30 + "2" + "}" * 30,
        r"so it is \frac{1}{2} of what was there",
    ],
)
def test_what_is_no_formula_stays_the_text_that_it_is(text: str) -> None:
    assert with_formulas(text).unescape() == text
    assert "<" not in with_formulas(text)


def test_text_around_a_formula_is_escaped_and_a_wrong_one_between_right_ones_stays_text() -> None:
    found = with_formulas(r"<b> $\frac12$ & $\frac{$ then $x_1$ <i>")
    assert found.startswith("&lt;b&gt; <math")
    assert r"&amp; $\frac{$ then <math" in found
    assert found.endswith("</math> &lt;i&gt;")


def test_only_listed_elements_and_attributes_come_out_of_hostile_latex() -> None:
    draw = random.Random(0)
    words = (*COMMANDS, *NASTY, "&#x3c;img src=x onerror=alert(1)&#x3e;", r"\mathbb R", r"\rule{1em}{1em}", "x", "1")
    texts = ["$" + "".join(draw.choices(words, k=6)) + "$" for _ in range(400)]
    for text in (*NASTY, *texts):
        found = with_formulas(text)
        assert steering(found) == []
        assert all(NAMES.fullmatch(name) for name in re.findall(r"</?([^\s>]+)", found))
        for tag in re.findall(r"<[^/][^>]*>", found):
            assert not re.search(r"\s(on\w+|href|style|class|src|xlink)", re.sub(r'"[^"]*"', "", tag))
        assert not Page(found).of("img")


def test_a_megabyte_of_latex_takes_no_time() -> None:
    started_s = time.process_time()
    for text in ("\\frac" * 200_000, "$x$" * 300_000, "\\[" * 500_000, "\\(" * 500_000, "$" * 10**6, "{" * 10**6):
        with_formulas(text)
    for command in COMMANDS:
        with_formulas("$" + (command * LONGEST_FORMULA)[:LONGEST_FORMULA] + "$")
    assert time.process_time() - started_s < 2
