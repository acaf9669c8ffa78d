"""Metrics of self-correction on a handful of responses, counted by hand."""

import time

import pytest

from srpo.core.records import FormatError, Grade, Origin, Problem, TokenCounts, Trace
from srpo.eval.metrics.correction import GradedSample, correction_metrics, read_sample, same_answer
from srpo.eval.metrics.reflections import reflection_kind

RIGHT = Grade(verdict="correct", extracted="7", reason="")
NONE = Grade(verdict="incorrect", extracted=None, reason="no answer")
UNGRADABLE = Grade(verdict="ungradable", extracted=None, reason="")


def wrong(text: str = "5") -> Grade:
    return Grade(verdict="incorrect", extracted=text, reason="")


def response(reflection: str = "The red bar ends at 4, and 4+3=7.") -> str:
    first, second = "<think>3+4=7</think><answer>7</answer>", "<think>yes</think><answer>7</answer>"
    return f"{first}<reflection>{reflection}</reflection>{second}"


def sample(
    problem: str, first: Grade, final: Grade, text: str | None = None, tokens: TokenCounts | None = None
) -> GradedSample:
    return read_sample(problem, first, final, response() if text is None else text, "How high is the bar?", tokens)


TEN = [
    *(sample(f"kept{i}", RIGHT, RIGHT) for i in range(4)),
    sample("broken", RIGHT, wrong()),
    sample("lost", RIGHT, NONE),
    sample("fixed", wrong(), RIGHT),
    sample("confirmed", wrong("1/2"), wrong("0.5")),
    sample("other", wrong("5"), wrong("6")),
    sample("gone", wrong("5"), NONE),
]


def test_ten_responses_by_hand() -> None:
    found = correction_metrics(TEN)
    assert (found.n, found.num_samples, found.ungradable) == (10, 10, 0)
    assert (found.acc_t1.value, found.acc_t2.value) == (0.6, 0.5)
    assert found.delta.value == pytest.approx(-0.1)
    assert found.delta.low < -0.1 < found.delta.high
    assert (found.i_to_c.value, found.c_to_i.value) == (0.1, 0.2)
    assert (found.fix_rate.value, found.fix_rate.n) == (1 / 4, 4)
    assert (found.keep_rate.value, found.keep_rate.n) == (4 / 6, 6)
    assert found.break_rate.value == pytest.approx(2 / 6)
    assert (found.oracle.value, found.oracle_gain.value) == (0.7, 0.1)
    assert found.change_rate.value == 3 / 8, "of ten, two have no final answer; broken, fixed and other are changes"
    assert (found.wrong_to_other_wrong.value, found.unchanged_wrong.value, found.wrong_to_none.value) == (0.1, 0.1, 0.1)
    assert found.mcnemar_p == 1.0, "one against two"
    assert found.ref_score == pytest.approx(1 / 4 - 2 / 6)
    assert found.m_recall == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert (found.first_parsed.value, found.final_parsed.value) == (1.0, 0.8)
    assert found.fix_rate.low == pytest.approx(0.0456, abs=1e-4), "Wilson for 1 of 4"
    assert found.truncated is None
    assert found.lengths is None


def test_samples_without_a_first_answer_are_a_cell_of_their_own() -> None:
    found = correction_metrics([*TEN, sample("blank", NONE, RIGHT), sample("mute", NONE, NONE)])
    assert (found.n, found.acc_t1.value) == (10, 0.6), "they are not among those that a reflection could mend"
    assert (found.no_first.value, found.no_first.n) == (2 / 12, 12)
    assert (found.no_first_final_right.value, found.no_first_final_right.n) == (0.5, 2)
    other = found.missing_as_wrong
    assert (other.n, other.acc_t1.value, other.acc_t2.value) == (12, 6 / 12, 6 / 12)
    assert other.i_to_c.value == 2 / 12
    assert found.first_parsed.value == 10 / 12


def test_samples_of_a_problem_are_averaged_first() -> None:
    rows = [sample("a", wrong(), RIGHT)] * 3 + [sample("a", RIGHT, RIGHT)] + [sample("b", RIGHT, RIGHT)]
    found = correction_metrics(rows)
    assert (found.n, found.num_samples) == (2, 5)
    assert found.acc_t1.value == (1 / 4 + 1) / 2
    assert found.i_to_c.value == (3 / 4 + 0) / 2
    assert found.fix_rate.value == 1.0
    assert found.keep_rate.n == 2
    assert found.acc_t1.low < found.acc_t1.value < found.acc_t1.high
    assert found.mcnemar_p == 1.0, "one problem gained, none lost"


def test_ungradable_golds_are_counted_and_left_out() -> None:
    found = correction_metrics([sample("a", RIGHT, RIGHT), sample("b", UNGRADABLE, UNGRADABLE)])
    assert (found.n, found.ungradable) == (1, 1)


def test_nothing_at_all() -> None:
    found = correction_metrics([])
    assert (found.n, found.acc_t1.value, found.acc_t1.low, found.acc_t1.high) == (0, 0.0, 0.0, 1.0)
    assert found.mcnemar_p == 1.0
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_rates_without_a_case_say_so() -> None:
    found = correction_metrics([sample("a", RIGHT, RIGHT)])
    assert (found.fix_rate.n, found.fix_rate.value, found.fix_rate.high) == (0, 0.0, 1.0)
    assert found.keep_rate.value == 1.0


def test_traces_and_rows_say_the_same() -> None:
    problem = Problem(id="p", question="How high is the bar?", answer="7")
    tokens = TokenCounts(prompt=9, total=30, first=10, truncated=True)
    trace = Trace(
        origin=Origin(stage="eval", model="m"),
        problem=problem,
        text=response(),
        parsed=FormatError(where=0, what="no think"),
        first_grade=RIGHT,
        final_grade=RIGHT,
        tokens=tokens,
    )
    assert correction_metrics([trace]) == correction_metrics([sample("p", RIGHT, RIGHT, tokens=tokens)])


def test_lengths_are_shared_out_by_characters() -> None:
    text = f"<think>a</think><answer>7</answer><reflection>{'r' * 60}</reflection>{'s' * 47}"
    tokens = TokenCounts(prompt=9, total=34, first=10, truncated=True)
    found = correction_metrics([sample("a", RIGHT, RIGHT, text, tokens), sample("b", RIGHT, RIGHT)])
    assert found.lengths is not None
    assert (found.lengths.n, found.lengths.total, found.lengths.first) == (1, 34, 10)
    # 60 characters of reflection, and 60 from its closing tag on
    assert (found.lengths.reflection, found.lengths.second) == (12, 12)
    assert found.truncated is not None
    assert (found.truncated.value, found.truncated.n) == (1.0, 1)
    assert found.formatted.value == 0.5


def test_broken_formats_still_show_their_parts() -> None:
    cut = sample("a", RIGHT, NONE, "<think>3+4</think><answer>7</answer><reflection>Let me look ag")
    assert (cut.kind, cut.reflected, cut.is_formatted) == (None, False, False)
    bare = sample("a", RIGHT, RIGHT, "plain words, 7")
    assert (bare.kind, bare.characters) == (None, (14, 0, 0))
    found = correction_metrics(
        [cut, sample("b", RIGHT, RIGHT), sample("c", wrong(), wrong()), sample("d", RIGHT, wrong())]
    )
    kinds = (found.effective, found.redundant, found.harmful)
    assert [kind.value for kind in kinds] == [1 / 3] * 3
    assert {kind.n for kind in kinds} == {3}, "only those with a reflection block"
    assert found.reflected.value == 3 / 4


@pytest.mark.parametrize(
    ("first", "final", "expected"),
    [
        (RIGHT, RIGHT.model_copy(update={"extracted": "seven"}), True),
        (RIGHT, wrong("7.5"), False),
        (wrong("7.5"), RIGHT, False),
        (wrong("$\\frac{1}{2}$"), wrong("0.5"), True),
        (wrong("(B)"), wrong("b"), True),
        (wrong("12 cm"), wrong("12  cm."), True),
        (wrong("5"), wrong("6"), False),
        (wrong("5"), NONE, False),
        (NONE, NONE, False),
    ],
)
def test_answers_are_compared_by_what_they_say(first: Grade, final: Grade, expected: bool) -> None:
    assert same_answer(first, final) is expected


@pytest.mark.parametrize(
    ("first", "final", "reflection", "kind", "why"),
    [
        (wrong(), RIGHT, "I misread the bar: it is 7.", "effective", "wrong, the final one is right"),
        (RIGHT, RIGHT, "The red bar ends at 4, and 4+3=7.", "effective", "checks"),
        (RIGHT, RIGHT, "I looked at the bar again and it ends at the line.", "effective", "checks"),
        (RIGHT, RIGHT, "3+4=7, so seven it must be", "redundant", "repeats"),
        (RIGHT, RIGHT, "The answer 7 is correct, nothing has to change.", "redundant", "nothing that can be checked"),
        (RIGHT, RIGHT, "I should read more carefully next time.", "redundant", "nothing that can be checked"),
        (RIGHT, RIGHT, "ok", "redundant", "says nothing"),
        (wrong(), RIGHT, "...", "redundant", "says nothing"),
        (wrong(), wrong(), "The red bar ends at 4, and 4+3=7.", "redundant", "stays wrong"),
        (wrong(), wrong("8"), "It must be 8.", "redundant", "stays wrong"),
        (RIGHT, wrong(), "The red bar ends at 2.", "harmful", "final one is not"),
        (RIGHT, NONE, "ok", "harmful", "final one is not"),
    ],
)
def test_kinds_of_reflections(first: Grade, final: Grade, reflection: str, kind: str, why: str) -> None:
    think = "I read the bars: 3+4=7, so seven it must be"
    judged = reflection_kind(first, final, reflection, think, "How high is the red bar?")
    assert judged.kind == kind
    assert why in judged.reason


@pytest.mark.parametrize("text", ["<reflection>" * 20_000, "<answer>7</answer>" * 20_000, "a " * 200_000])
def test_time_is_linear_in_hostile_text(text: str) -> None:
    start = time.process_time()
    correction_metrics([sample("a", RIGHT, RIGHT, text), sample("b", RIGHT, RIGHT, response(text.replace("<", "")))])
    assert time.process_time() - start < 1
