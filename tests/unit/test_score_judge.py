"""Which answers a judge is asked about, what it is shown, and how its reply is read."""

import pytest

from srpo.core.records import Origin, Problem, Trace
from srpo.core.response import style_of
from srpo.eval.benchmarks.benchmark import Item
from srpo.eval.benchmarks.named import benchmark_named
from srpo.eval.config import EvalJudgeConfig
from srpo.eval.judge import EvalJudge, answers_of, doubtful_answers
from srpo.eval.rubrics import check_judged, prompt_text, read_ruling
from srpo.grading import RULES_ONLY
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Completion


def trace_of(problem: Problem, text: str) -> Trace:
    style = style_of(text)
    scored = RULES_ONLY.grade_response(problem, text, style)
    return Trace(
        origin=Origin(stage="eval", model="m"),
        problem=problem,
        style=style,
        text=text,
        parsed=scored.parsed,
        first_grade=scored.first_grade,
        final_grade=scored.final_grade,
    )


LENGTH = Problem(id="1", question="How long?", answer="half a mile", kind="text", images=("x.png",))
COLOUR = Problem(id="2", question="Which?", answer="B", choices=("red", "blue"))
FIVE = "<think>t</think><answer>{}</answer><reflection>r</reflection><think>u</think><answer>{}</answer>"


@pytest.mark.parametrize(
    ("problem", "text", "asked"),
    [
        (LENGTH, "<answer>0.8 km</answer>", ["0.8 km", "0.8 km"]),
        (LENGTH, FIVE.format("a mile", "0.8 km"), ["a mile", "0.8 km"]),
        (LENGTH, FIVE.format("a mile", "half a mile"), ["a mile"]),
        (LENGTH, FIVE.format("a mile", ""), ["a mile"]),
        (LENGTH, "<think>t</think><answer>a mile</answer><reflection>it goes on", ["a mile"]),
        (LENGTH, "", []),
        (LENGTH, "<think>it goes on and on", []),
        (LENGTH, r"We see that it is \boxed{0.8\text{ km}}", [r"0.8\text{ km}"] * 2),
        (LENGTH, "word " * 100 + "about 0.8 km", ["word " * 57 + "about 0.8 km"] * 2),
        (COLOUR, "<answer>A</answer>", []),
        (COLOUR, "<answer>(a)</answer>", []),
        (COLOUR, "<answer>Red</answer>", []),
        (COLOUR, "<answer>the sea</answer>", ["the sea", "the sea"]),
        (Problem(id="3", question="?", answer="12"), "<answer>13</answer>", []),
        (Problem(id="3", question="?", answer="12"), "<answer>a baker's lot</answer>", ["a baker's lot"] * 2),
        (Problem(id="4", question="?", answer="Yes"), "<answer>No</answer>", []),
    ],
)
def test_who_is_asked_about_what(problem: Problem, text: str, asked: list[str]) -> None:
    assert doubtful_answers(Item(problem=problem), trace_of(problem, text)) == asked


def test_the_judge_sees_no_reasoning_no_picture_and_no_flood() -> None:
    item = Item(problem=LENGTH)
    judge = FakeGenerator(lambda *_: '{"why": "equal", "verdict": "correct"}')
    decider = EvalJudge(EvalJudgeConfig(model="local:j"), benchmark_named("custom"), answers=judge, points=None)
    flood = "<think>t</think><answer>" + "x" * 1_000_000 + "</answer>"
    texts = [FIVE.format("a mile", "0.8 km").replace("<think>t", "<think>SECRET"), flood]
    decided, judging = decider.decide([(item, trace_of(LENGTH, text)) for text in texts])
    assert [one.decided_by for one in decided] == ["judge", "judge"]
    assert [one.trace.first_grade.is_correct for one in decided] == [True, True]
    assert decided[0].trace.final_grade.reason == "judge: correct, equal"
    assert judging.failures == {}
    assert [request.problem.images for request in judge.requests] == [()] * 3
    assert not any("SECRET" in request.messages[0].text for request in judge.requests)
    assert max(len(request.messages[0].text) for request in judge.requests) < 5000


def test_what_fails_leaves_the_rule() -> None:
    class Silent(FakeGenerator):
        def generate(self, requests: object, sampling: object) -> list[list[Completion]]:
            return [[Completion("", 0, truncated=False, error="HTTP 500")]]

    decider = EvalJudge(
        EvalJudgeConfig(model="local:j", reflections=True),
        benchmark_named("custom"),
        answers=Silent(lambda *_: ""),
        points=Silent(lambda *_: ""),
    )
    ((one,), judging) = decider.decide([(Item(problem=LENGTH), trace_of(LENGTH, FIVE.format("mile", "mile")))])
    assert (one.decided_by, one.trace.final_grade.verdict, one.score) == ("rule", "incorrect", None)
    assert (judging.failures, judging.score_failures) == ({"request failed": 1}, 1)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"why": "same", "verdict": "correct"}', ("correct", "same")),
        ('Well.\n```json\n{"verdict": "Incorrect", "why": "other",}\n```', ("incorrect", "other")),
        ('{"verdict": true}', ("correct", "")),
        ('{"verdict": 0, "why": ""}', ("incorrect", "")),
        ("<why>so</why><verdict> unclear </verdict>", ("unclear", "so")),
        ("Correct.", ("correct", "")),
        ("'no'", ("incorrect", "")),
        ("It is not correct", None),
        ('{"verdict": "maybe"}', None),
        ('{"answer": 7}', None),
        ("", None),
        ('{"verdict": ' * 5000, None),
    ],
)
def test_read_ruling(reply: str, found: tuple[str, str] | None) -> None:
    assert read_ruling(reply) == found


def test_rubrics() -> None:
    with pytest.raises(ValueError, match="the official metric of 'wemath' is a rule"):
        check_judged("wemath")
    chart = Item(problem=LENGTH, groups={"answer_type": "number-in-chart"})
    assert "exactly equal" in prompt_text("charxiv", chart, "q", "3")
    label = Item(problem=LENGTH, groups={"answer_type": "text-in-chart"})
    assert "ACC+" in prompt_text("charxiv", label, "q", "3")
    yes = Item(problem=LENGTH, facts={"gt_answer_details": "The bars are equal."})
    text = prompt_text("hallusionbench", yes, "Are they {equal}?", "{no}")
    for part in ("The bars are equal.", "{equal}", "{no}", '"unclear"'):
        assert part in text


@pytest.mark.parametrize(("category", "right"), [("VS", True), ("VD", False)])
def test_not_to_know_is_right_without_a_picture(category: str, right: bool) -> None:
    item = Item(
        problem=Problem(id="1", question="Is it so?", answer="Yes"),
        groups={"category": category, "visual_input": "none"},
    )
    judge = FakeGenerator(lambda *_: '{"why": "", "verdict": "unclear"}')
    decider = EvalJudge(EvalJudgeConfig(model="local:j"), benchmark_named("hallusionbench"), answers=judge, points=None)
    ((one,), _) = decider.decide([(item, trace_of(item.problem, "<answer>Nobody can tell from this.</answer>"))])
    assert one.trace.final_grade.is_correct is right


def test_answers_of_plain_texts() -> None:
    assert answers_of(trace_of(LENGTH, "  ")) == (None, None)
    assert answers_of(trace_of(LENGTH, "about 0.8 km")) == ("about 0.8 km",) * 2
