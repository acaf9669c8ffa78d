import pytest

from srpo.core.records import Attempt, Grade, Origin, Problem, Response, Trace
from srpo.core.response import render
from srpo.core.selection import leaks_gold, normalised, select, verify_trace

GRADES = {v: Grade(verdict=v, extracted=None, reason=f"because {v}") for v in ("correct", "incorrect", "ungradable")}


def trace(problem="1", *, first="incorrect", final="correct", reflection="the red bar is 4, not 3", think="4+3=7"):
    response = Response(
        first=Attempt(think="3+3=6", answer="6"), reflection=reflection, second=Attempt(think=think, answer="7")
    )
    return Trace(
        origin=Origin(stage="reflect", model="m", teacher="t"),
        problem=Problem(id=problem, question="?", answer="7"),
        text=render(response),
        response=response,
        first_grade=GRADES[first],
        final_grade=GRADES[final],
    )


def many(num_wrong, num_right):
    wrong = [trace(f"w{i}") for i in range(num_wrong)]
    return wrong + [trace(f"r{i}", first="correct") for i in range(num_right)]


def test_a_good_trace_passes():
    assert verify_trace(trace()) is None
    assert verify_trace(trace(first="correct")) is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (trace().model_copy(update={"response": None}), "format: not five blocks"),
        (trace().model_copy(update={"response": Attempt(think="a", answer="7")}), "format: not five blocks"),
        (trace(first="ungradable", final="ungradable"), "ungradable: because ungradable"),
        (trace(final="incorrect"), "final answer wrong: because incorrect"),
        (trace(reflection="."), "empty reflection: '.' says nothing"),
        (trace(reflection="3+3=6 "), "copied reflection: it is the first attempt once more"),
        (trace(reflection=" 4+3=7\n"), "copied reflection: it is the second attempt once more"),
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
def test_bad_traces_are_refused_with_the_reason(bad, reason):
    assert verify_trace(bad) == reason


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
def test_phrases_that_betray_the_key(text):
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
def test_honest_reflections_are_no_leak(text):
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
def test_strict_mode_refuses_the_gold_as_the_answer(text, gold, leaks):
    assert (leaks_gold(text, gold, strict=True) is not None) is leaks


def test_duplicates_are_dropped_per_problem():
    traces = [
        trace("1"),
        trace("1", reflection="The RED bar  is 4,\nnot 3"),
        trace("2"),
        trace("1", reflection="other words"),
    ]
    selection = select(traces, wrong_share=None)
    assert [t.problem.id for t in selection.kept] == ["1", "2", "1"]
    assert [(d.position, d.reason, d.detail) for d in selection.dropped] == [
        (1, "duplicate", "duplicate: same text as trace 0 for this problem")
    ]


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
def test_balance(wrong, right, share, limit, expected):
    selection = select(many(wrong, right), wrong_share=share, max_count=limit)
    assert (selection.num_wrong, selection.num_right) == expected


def test_nothing_is_dropped_in_silence():
    traces = [*many(40, 5), trace(final="incorrect"), trace(reflection="."), trace("w0")]
    selection = select(traces)
    assert len(selection.kept) + len(selection.dropped) == len(traces)
    assert sum(selection.counts.values()) == len(selection.dropped)
    assert selection.counts == {"final answer wrong": 1, "empty reflection": 1, "duplicate": 1, "balance": 29}
    balance = next(dropped for dropped in selection.dropped if dropped.reason == "balance")
    assert balance.detail == "balance: 40 wrong and 5 right first attempts passed, wrong_share is 0.7"


def test_the_choice_is_seeded_and_keeps_the_order():
    traces = many(50, 5)
    assert select(traces, seed=1) == select(traces, seed=1)
    assert select(traces, seed=1).kept != select(traces, seed=2).kept
    places = [traces.index(kept) for kept in select(traces, seed=1).kept]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"wrong_share": 1.2}, "1.2 must lie"), ({"max_count": -1}, "-1 must")]
)
def test_impossible_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        select([], **arguments)


def test_normalised():
    assert normalised("  Ａ b\n\tC ") == "a b c"
