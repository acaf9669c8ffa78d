"""The example of a report is one problem through several runs, the one that shows most."""

from srpo.core.records import Attempt, FormatError, Grade, Origin, Parsed, Problem, Response, Trace
from srpo.data.drawn import drawn_problems, scene_of
from srpo.report.example import choose_example

RIGHT = Grade(verdict="correct", extracted="7", reason="")
WRONG = Grade(verdict="incorrect", extracted="5", reason="")
BROKEN = FormatError(where=0, what="x")


def trace(key: str, first: Grade, final: Grade, parsed: Parsed = BROKEN, text: str = "") -> Trace:
    problem = Problem(id=key, question="?", answer="7")
    origin = Origin(stage="eval", model="m")
    return Trace(origin=origin, problem=problem, text=text, parsed=parsed, first_grade=first, final_grade=final)


def five(reflection: str) -> Response:
    return Response(first=Attempt(think="", answer="5"), reflection=reflection, second=Attempt(think="", answer="7"))


def test_a_repair_after_a_look_is_preferred_to_one_without() -> None:
    looked, guessed = five("3 and 4 are in the picture"), five("5: so wrong")
    base = [trace(key, WRONG, WRONG) for key in "abc"]
    last = [trace("a", RIGHT, RIGHT, looked), trace("b", WRONG, RIGHT, guessed), trace("c", WRONG, RIGHT, looked)]
    assert choose_example({"base": base, "srpo": last}) == [("base", base[2]), ("srpo", last[2])]


def test_among_drawn_problems_a_reflection_that_reads_the_picture_right_is_preferred() -> None:
    problem = drawn_problems("train", families=("oddone",), count=1, seed=3)[0]
    claim = next(name for name in ("11", "22") if name != problem.answer)
    true = "\n".join(scene_of(problem.images[0]).check(claim).lines)
    found = []
    for key, reflection in (("false", "11 red"), ("true", true)):
        response = Response(
            first=Attempt(think="", answer=claim),
            reflection=reflection,
            second=Attempt(think="", answer=problem.answer),
        )
        one = trace(key, WRONG, RIGHT, response)
        found.append(one.model_copy(update={"problem": problem.model_copy(update={"id": key})}))
    base = [trace(key, WRONG, WRONG) for key in ("false", "true")]
    assert choose_example({"base": base, "srpo": found})[1] == ("srpo", found[1])


def test_of_equals_the_shortest_is_taken() -> None:
    base = [trace(key, WRONG, WRONG) for key in "ab"]
    last = [trace("a", WRONG, RIGHT, five("red 3"), "a long text"), trace("b", WRONG, RIGHT, five("red 3"), "short")]
    assert choose_example({"base": base, "srpo": last})[0][1].problem.id == "b"


def test_without_a_shared_problem_there_is_no_example() -> None:
    assert choose_example({}) == []
    assert choose_example({"base": [trace("a", WRONG, WRONG)], "srpo": [trace("b", WRONG, RIGHT)]}) == []
