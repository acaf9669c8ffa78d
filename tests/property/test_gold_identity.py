"""Golds that say different things never grade each other, whatever kinds they are: one reading per text."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from srpo.core.records import Problem
from srpo.grading import grade, grade_gold

settings.register_profile("quick", max_examples=150, deadline=None)
settings.load_profile("quick")

CIRCLED = "①②③④⑤⑥⑦⑧⑨"
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")


class Said(NamedTuple):
    """What a gold says, and one way to write it."""

    meaning: tuple[object, ...]
    text: str


def _written(meaning: tuple[object, ...], *spellings: str) -> st.SearchStrategy[Said]:
    return st.sampled_from(spellings).map(lambda text: Said(meaning, text))


small = st.integers(1, 40)
pairs = st.tuples(small, small).filter(lambda pair: pair[0] < pair[1])
ranges = pairs.flatmap(
    lambda p: _written(
        ("range", *p), f"{p[0]}-{p[1]}", f"{p[0]} to {p[1]}", f"between {p[0]} and {p[1]}", f"{p[0]} – {p[1]}"
    )
)
days = st.tuples(st.integers(1990, 2030), st.integers(1, 10), st.integers(10, 28))
dates = days.flatmap(
    lambda d: _written(
        ("date", *d),
        f"{d[0]}-{d[1]:02}-{d[2]}",
        f"{MONTHS[d[1] - 1]} {d[2]}, {d[0]}",
        f"{d[2]} {MONTHS[d[1] - 1]} {d[0]}",
    )
)
statements = st.sets(st.integers(1, 9), min_size=2, max_size=4).flatmap(
    lambda found: _written(
        ("statements", *sorted(found)),
        "".join(CIRCLED[n - 1] for n in sorted(found)),
        "、".join(CIRCLED[n - 1] for n in sorted(found)),
        "".join(f"({n})" for n in sorted(found)),
    )
)
letters = st.sets(st.sampled_from("ABCDEF"), min_size=1, max_size=4).flatmap(
    lambda found: _written(
        ("letters", *sorted(found)), "".join(sorted(found)), ", ".join(f"({c})" for c in sorted(found))
    )
)
numbers = st.integers(-99, 3000).flatmap(lambda n: _written(("number", n), str(n), f"{n}.0"))
lengths = st.integers(2, 60).flatmap(lambda n: _written(("length", n), f"{n} cm", rf"{n}\,\text{{cm}}"))
points = st.tuples(small, small).flatmap(lambda p: _written(("point", *p), f"({p[0]}, {p[1]})"))
parts = st.tuples(small, small).flatmap(
    lambda p: _written(("parts", *p), f"(1) {p[0]}; (2) {p[1]}", f"① {p[0]} ② {p[1]}")
)
clocks = st.tuples(st.integers(1, 11), st.integers(10, 59)).flatmap(
    lambda t: _written(("time", *t), f"{t[0]}:{t[1]} pm", f"{t[0] + 12}:{t[1]}")
)
golds = st.one_of(ranges, dates, statements, letters, numbers, points, parts, clocks, lengths)


def problem(gold: str) -> Problem:
    return Problem(id="p", question="", answer=gold)


@given(golds, golds)
def test_golds_that_say_different_things_never_grade_each_other(one: Said, other: Said) -> None:
    kinds = {one.meaning[0], other.meaning[0]}
    if kinds == {"number", "length"} or kinds == {"point", "parts"}:
        return  # a unit may be left out, and a point answers two parts: declared equivalents
    assert grade_gold(problem(one.text)) is None
    same = one.meaning == other.meaning
    assert grade(problem(one.text), other.text).is_correct is same, (one, other)


@given(golds)
def test_thinking_decides_nothing(said: Said) -> None:
    for opening, closing in (
        ("<think>", "</think>"),
        ("◁think▷", "◁/think▷"),
        ("[THINK]", "[/THINK]"),
        ("", "</think>"),
    ):
        text = rf"{opening}The answer is \boxed{{{said.text}}}.{closing} I see no answer."
        assert not grade(problem(said.text), text).is_correct
        assert grade(problem(said.text), f"{opening}maybe \\boxed{{0.123}}{closing} {said.text}<|im_end|>").is_correct
