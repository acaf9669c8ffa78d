from collections import Counter
from collections.abc import Sequence
from typing import TypedDict, get_args

import pytest

from srpo.core.records import Attempt, FormatError, Grade, Origin, Problem, Response, Trace, Verdict
from srpo.core.response import render
from srpo.core.selection import Balance, Selection, difficulty_of, select, source_of
from srpo.core.verification import leaks_gold, names_something, normalised, verify_trace

GRADES = {v: Grade(verdict=v, extracted=None, reason=f"because {v}") for v in get_args(Verdict)}


def trace(
    problem: str = "1",
    *,
    first: Verdict = "incorrect",
    final: Verdict = "correct",
    reflection: str = "the red bar is 4, not 3",
    think: str = "4+3=7",
    family: str = "",
) -> Trace:
    response = Response(
        first=Attempt(think="3+3=6", answer="6"), reflection=reflection, second=Attempt(think=think, answer="7")
    )
    return Trace(
        origin=Origin(stage="reflect", model="m", teacher="t"),
        problem=Problem(id=problem, question="?", answer="7", family=family),
        text=render(response),
        parsed=response,
        first_grade=GRADES[first],
        final_grade=GRADES[final],
    )


def many(num_wrong: int, num_right: int) -> list[Trace]:
    wrong = [trace(f"w{i}") for i in range(num_wrong)]
    return wrong + [trace(f"r{i}", first="correct") for i in range(num_right)]


def test_a_good_trace_passes() -> None:
    assert verify_trace(trace()) is None
    assert verify_trace(trace(first="correct")) is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (
            trace().model_copy(update={"parsed": FormatError(where=3, what="expected <answer>")}),
            "format: not five blocks; at character 3, expected <answer>",
        ),
        (trace().model_copy(update={"parsed": Attempt(think="a", answer="7")}), "format: not five blocks"),
        (trace(first="ungradable", final="ungradable"), "ungradable: because ungradable"),
        (trace(final="incorrect"), "final answer wrong: because incorrect"),
        (trace(reflection="."), "empty reflection: '.' says nothing"),
        (trace(reflection="3+3=6 "), "copied reflection: it is the first attempt once more"),
        (trace(reflection=" 4+3=7\n"), "copied reflection: it is the second attempt once more"),
        (
            trace(reflection="I should look at it more carefully before I answer."),
            "nothing checkable: it names no number, formula or thing of the problem, picture or attempt",
        ),
        (
            trace(reflection="The correct answer is given as 7, so red is 4."),
            "leak: speaks of a solution that the reader does not have: 'correct answer is given'",
        ),
        (
            trace(think="The reference solution says 7"),
            "leak: speaks of a solution that the reader does not have: 'reference solution'",
        ),
    ],
)
def test_bad_traces_are_refused_with_the_reason(bad: Trace, reason: str) -> None:
    found = verify_trace(bad)
    assert found is not None
    assert (found.where, found.id, found.why) == ("teacher", bad.problem.id, reason)


@pytest.mark.parametrize(
    "text",
    [
        "the correct answer is given as 7",
        "According to the reference, the sum is 7.",
        "This matches the ground truth.",
        "Compared with the answer key I am off by one",
        "The  Reference\nAnswer is 7",
        "I was told that the correct answer is 7",
        "The provided correct answer is 7",
        "根据参考答案,结果是7",
        "标准答案是7",
    ],
)
def test_phrases_that_betray_the_key(text: str) -> None:
    assert leaks_gold(text, "7") is not None


@pytest.mark.parametrize(
    "text",
    [
        "red=3\nblue=4\n3+4=7\nneed 9 no",
        "so the answer should be 7, not 6",
        "The given figure shows 7 bars",
        "the final answer is given by 3+4",
        "According to the reference line at 5, the bar is taller",
        "according to the legend, blue means 7",
        "The expected value is 7",
        "之前给出的答案漏了一个",
        "I was given three bars to compare",
        "",
    ],
)
def test_honest_reflections_are_no_leak(text: str) -> None:
    assert leaks_gold(text, "7") is None


@pytest.mark.parametrize(
    ("text", "gold", "leaks"),
    [
        ("so the answer should be 7, not 6", "7", True),
        ("The correct answer is **B**", "B", True),
        ("the answer is $7$", "7", True),
        ("the answer is 72", "7", False),
        ("答案应该是7", "7", True),
        ("3+4=7", "7", False),
        ("the answer is", "", False),
    ],
)
def test_strict_mode_refuses_the_gold_as_the_answer(text: str, gold: str, leaks: bool) -> None:
    assert (leaks_gold(text, gold, strict=True) is not None) is leaks


def test_an_attempt_with_a_word_or_two_changed_is_a_copy() -> None:
    think = " ".join(f"step {number} of the sum" for number in range(10))
    first = Attempt(think=think, answer="6")
    second = Attempt(think="4+3=7", answer="7")
    copied = Response(first=first, reflection=think.replace("step 3", "part 3"), second=second)
    refused = verify_trace(trace().model_copy(update={"parsed": copied}))
    assert refused is not None
    assert (refused.reason, refused.detail) == ("copied reflection", "it is the first attempt once more")
    checked = Response(first=first, reflection=f"{think}, but 3 is read as 8, so the rest is off by 5", second=second)
    assert verify_trace(trace().model_copy(update={"parsed": checked})) is None


@pytest.mark.parametrize(
    ("reflection", "names"),
    [
        ("The bars were swapped.", True),
        ("Angle sums go wrong here.", True),
        ("x = y was assumed", True),
        ("there are three of them", True),
        ("第三条边读错了", True),
        ("三角形看错了", True),
        ("I must check this again and be more careful.", False),
        ("The attempt made a mistake in the reasoning; look at the picture again.", False),
        ("我应该再看看题目。", False),
        ("", False),
    ],
)
def test_a_reflection_names_something(reflection: str, names: bool) -> None:
    assert names_something(reflection, "How tall is the bar at this angle? 三角形的面积") is names


def kept(traces: Sequence[Trace], selection: Selection) -> list[Trace]:
    return [trace for position, trace in enumerate(traces) if selection.rejected(position, trace) is None]


def refusals(traces: Sequence[Trace], selection: Selection) -> list[tuple[int, str, str]]:
    found = [(position, selection.rejected(position, trace)) for position, trace in enumerate(traces)]
    return [(position, refused.reason, refused.detail) for position, refused in found if refused is not None]


def test_duplicates_are_dropped_per_problem() -> None:
    traces = [
        trace("1"),
        trace("1", reflection="The RED bar  is 4,\nnot 3"),
        trace("1", reflection="other words"),
        trace("2"),
    ]
    selection = select(traces, wrong_share=None)
    assert [t.problem.id for t in kept(traces, selection)] == ["1", "1", "2"]
    assert refusals(traces, selection) == [(1, "duplicate", "same text as trace 0 for this problem")]


@pytest.mark.parametrize(
    ("wrong", "right", "share", "limit", "expected"),
    [
        (70, 30, 0.7, None, (70, 30)),
        (100, 30, 0.7, None, (70, 30)),
        (70, 100, 0.7, None, (70, 30)),
        (100, 100, 0.7, 10, (7, 3)),
        (5, 100, 0.7, None, (5, 2)),
        (10, 0, 0.7, None, (0, 0)),
        (10, 0, 1.0, None, (10, 0)),
        (10, 5, 0.0, None, (0, 5)),
        (10, 5, None, None, (10, 5)),
        (60, 40, None, 10, (6, 4)),
        (0, 0, 0.7, None, (0, 0)),
        (3, 3, 0.5, 0, (0, 0)),
    ],
)
def test_balance(wrong: int, right: int, share: float | None, limit: int | None, expected: tuple[int, int]) -> None:
    selection = select(many(wrong, right), wrong_share=share, max_count=limit)
    assert (selection.num_wrong, selection.num_right) == expected


def test_nothing_is_dropped_in_silence() -> None:
    traces = [*many(40, 5), trace("w39")]
    traces.insert(3, traces[2])
    traces.append(traces[-1])
    selection = select(iter(traces))
    found = refusals(traces, selection)
    assert len(kept(traces, selection)) + len(found) == len(selection) == len(traces)
    assert Counter(reason for _, reason, _ in found) == {"duplicate": 2, "balance": 41 - 11}
    assert {detail for _, reason, detail in found if reason == "balance"} == {
        "41 wrong and 5 right first attempts passed, wrong_share is 0.7"
    }


def test_the_choice_is_seeded_and_keeps_the_order() -> None:
    traces = many(50, 5)
    assert kept(traces, select(traces, seed=1)) == kept(traces, select(traces, seed=1))
    assert kept(traces, select(traces, seed=1)) != kept(traces, select(traces, seed=2))


def test_the_choice_is_that_of_the_first_release() -> None:
    """A selection that changed would change the demo and every recipe."""
    traces = many(12, 4)
    assert [t.problem.id for t in kept(traces, select(traces, seed=3))] == [
        *(f"w{i}" for i in (0, 2, 3, 4, 5, 6, 7, 9, 11)),
        *(f"r{i}" for i in range(4)),
    ]


def sourced(num_wrong: int, num_right: int, family: str) -> list[Trace]:
    wrong = [trace(f"{family}w{i}", family=family) for i in range(num_wrong)]
    return wrong + [trace(f"{family}r{i}", first="correct", family=family) for i in range(num_right)]


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({}, {("a", False): 70, ("a", True): 30, ("b", False): 7, ("b", True): 3}),
        ({"a": 10}, {("a", False): 7, ("a", True): 3, ("b", False): 7, ("b", True): 3}),
        ({"*": 20}, {("a", False): 14, ("a", True): 6, ("b", False): 7, ("b", True): 3}),
        ({"*": 20, "b": 0}, {("a", False): 14, ("a", True): 6}),
    ],
)
def test_caps_hold_for_each_source_with_its_mix(caps: dict[str, int], expected: dict[tuple[str, bool], int]) -> None:
    traces = [*sourced(70, 30, "a"), *sourced(7, 3, "b")]
    selection = select(traces, caps=caps)
    found = kept(traces, selection)
    assert Counter((t.problem.family, t.first_grade.is_correct) for t in found) == expected
    assert sum(reason == "cap" for _, reason, _ in refusals(traces, selection)) == len(traces) - sum(expected.values())


def test_a_capped_source_fills_up_with_what_it_has() -> None:
    traces = [*sourced(2, 50, "a"), *sourced(60, 0, "b")]
    found = kept(traces, select(traces, caps={"a": 10}))
    assert Counter((t.problem.family, t.first_grade.is_correct) for t in found)[("a", True)] == 8


@pytest.mark.parametrize(
    ("wrong_share", "expected"),
    [
        (None, {("a", False): 10, ("b", False): 1, ("b", True): 9, ("c", False): 5, ("c", True): 5}),
        (0.7, {("a", False): 10, ("b", False): 4, ("b", True): 6, ("c", False): 7, ("c", True): 3}),
    ],
)
def test_every_family_gets_as_many_as_the_smallest_and_keeps_its_mix(
    wrong_share: float | None, expected: dict[tuple[str, bool], int]
) -> None:
    traces = [*sourced(10, 0, "a"), *sourced(4, 36, "b"), *sourced(20, 20, "c")]
    selection = select(traces, wrong_share=wrong_share, balance="family")
    found = kept(traces, selection)
    assert Counter((t.problem.family, t.first_grade.is_correct) for t in found) == expected
    assert len(refusals(traces, selection)) == len(traces) - 30


def test_a_limit_is_shared_out_evenly_over_families() -> None:
    traces = [*sourced(3, 0, "a"), *sourced(4, 36, "b"), *sourced(20, 20, "c")]
    found = kept(traces, select(traces, wrong_share=None, max_count=24, balance="family"))
    assert Counter(t.problem.family for t in found) == {"a": 3, "b": 11, "c": 10}


def test_every_difficulty_gets_as_many() -> None:
    shares = [0.0] * 30 + [0.25] * 5 + [1.0] * 10
    traces = [
        trace(str(i), first="correct" if share else "incorrect").model_copy(update={"share_right": share})
        for i, share in enumerate(shares)
    ]
    found = kept(traces, select(traces, wrong_share=None, balance="difficulty"))
    assert Counter(map(difficulty_of, found)) == {"never": 5, "seldom": 5, "always": 5}


def test_balance_of_nothing_is_nothing() -> None:
    choices: list[Balance] = ["none", "family", "difficulty"]
    assert [select([], balance=choice).num_wrong for choice in choices] == [0, 0, 0]


@pytest.mark.parametrize(
    ("family", "source", "name"),
    [
        ("geometry", "x.jsonl:3", "geometry"),
        ("", "d/x.jsonl:3", "d/x.jsonl"),
        ("", "x.json[7]", "x.json"),
        ("", "a:b/c.png", "a:b/c.png"),
    ],
)
def test_what_a_cap_counts_together(family: str, source: str, name: str) -> None:
    assert source_of(Problem(id="1", question="?", answer="1", family=family, source=source)) == name


class Settings(TypedDict, total=False):
    wrong_share: float
    max_count: int


@pytest.mark.parametrize(
    ("arguments", "message"), [({"wrong_share": 1.2}, "1.2 must lie"), ({"max_count": -1}, "-1 must")]
)
def test_impossible_settings(arguments: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select([], **arguments)


def test_normalised() -> None:
    assert normalised("  Ａ b\n\tC ") == "a b c"
