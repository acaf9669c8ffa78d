"""`srpo compare` on small runs, with numbers counted by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from srpo.cli.main import main
from srpo.core.records import FormatError, Grade, Origin, Problem, Record, Style, TokenCounts, Trace
from srpo.eval.bound import read_bound
from srpo.eval.compare import Comparison, compare, render_comparison
from srpo.eval.flips import find_flips
from srpo.report.console import render_flips
from srpo.runs.directory import RunDir


class FakeConfig(Record):
    name: str


def trace(key: str, answers: str, *, gold: str = "7", style: Style = "reflective", tokens: int | None = 10) -> Trace:
    """`answers`: first and final, `r` right, `u` ungradable, everything else a wrong answer."""

    def grade(answer: str) -> Grade:
        verdict = {"r": "correct", "u": "ungradable"}.get(answer, "incorrect")
        return Grade.model_validate({"verdict": verdict, "extracted": answer, "reason": ""})

    counts = None if tokens is None else TokenCounts(prompt=5, total=tokens, first=tokens // 2)
    return Trace(
        origin=Origin(stage="eval", model="m"),
        problem=Problem(id=key, question=f"{key}?", answer=gold),
        style=style,
        text="",
        parsed=FormatError(where=0, what="no think"),
        first_grade=grade(answers[0]),
        final_grade=grade(answers[1]),
        tokens=counts,
    )


def make(path: Path, traces: Sequence[Trace]) -> Path:
    with RunDir.open(path, FakeConfig(name=path.name), "eval") as run:
        run.append_traces(traces)
        run.finish({})
    return path


def compared(tmp_path: Path, first: Sequence[Trace], second: Sequence[Trace]) -> Comparison:
    paths = make(tmp_path / "base", first), make(tmp_path / "srpo", second)
    return compare(RunDir.read(paths[0]), RunDir.read(paths[1]))


def test_one_sample_each(tmp_path: Path) -> None:
    first = [trace(str(i), "55") for i in range(6)] + [trace("6", "rr"), trace("alone", "rr"), trace("u", "uu")]
    second = [trace(str(i), "5r") for i in range(5)] + [trace("5", "55"), trace("6", "r5"), trace("u", "uu")]
    found = compared(tmp_path, first, second)
    assert (found.shared, found.first.only, found.second.only) == (7, 1, 0)
    assert (found.first.problems, found.first.ungradable, found.second.ungradable) == (8, 1, 1)
    final, start = found.answers
    assert (final.answer, start.answer) == ("final", "first")
    assert (final.first_run.value, final.second_run.value) == (1 / 7, 5 / 7)
    assert final.difference.value == pytest.approx(4 / 7)
    assert final.difference.low < 4 / 7 < final.difference.high
    assert (final.only_first_right, final.only_second_right) == (1, 5)
    assert final.mcnemar_p == pytest.approx(2 * (1 + 6) / 2**6)
    assert start.difference.value == 0
    assert found.equal_tokens == (), "one sample each"
    assert "no difference can be told" in render_comparison(found)


def test_several_samples_at_equal_tokens(tmp_path: Path) -> None:
    plain = [trace(key, "rr" if sample < 2 else "55", style="single") for key in "ab" for sample in range(4)]
    dear = [trace(key, "5r" if sample else "55", tokens=20) for key in "ab" for sample in range(2)]
    found = compared(tmp_path, plain, dear)
    assert (found.first.num_samples, found.second.num_samples) == (4, 2)
    assert (found.first.mean_tokens, found.second.mean_tokens) == (10, 20)
    pairs = {(row.first, row.second) for row in found.equal_tokens}
    assert pairs == {("base, final answers", "srpo, final answers"), ("srpo, first answers", "srpo, final answers")}
    rows = [row for row in found.equal_tokens if row.first == "base, final answers"]
    assert [(row.first_vote.budget, row.first_vote.num_votes, row.second_vote.num_votes) for row in rows] == [
        (20, 2, 1),
        (40, 4, 2),
    ]
    # 2 of rr55: 1/6 both right, 4/6 one of each and lots are drawn
    assert rows[0].first_vote.accuracy is not None
    assert rows[0].first_vote.accuracy.value == pytest.approx(0.5)
    assert rows[0].difference is not None
    assert rows[0].difference.value == pytest.approx(0.0)
    own = next(row for row in found.equal_tokens if row.first == "srpo, first answers")
    assert (own.first_vote.budget, own.first_vote.num_votes) == (20, 2), "first answers cost half"
    assert own.difference is not None
    assert own.difference.value == 0.5
    assert own.difference.n == 2
    text = render_comparison(found)
    assert "maj@2" in text
    assert "votes at equal tokens" in text


def test_without_token_counts_there_are_no_votes_at_equal_tokens(tmp_path: Path) -> None:
    first = [trace("a", "rr", tokens=None), trace("a", "55", tokens=None)]
    found = compared(tmp_path, first, first)
    assert found.equal_tokens == ()
    assert found.first.mean_tokens is None
    assert found.answers[0].first_run.value == 0.5


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    one, two = make(tmp_path / "a" / "eval", [trace("a", "rr")]), make(tmp_path / "b" / "eval", [trace("a", "rr")])
    found = compare(RunDir.read(one), RunDir.read(two))
    assert (found.first.name, found.second.name) == (str(one), str(two))


def test_single_style_has_no_first_answers(tmp_path: Path) -> None:
    rows = [trace("a", "rr", style="single")]
    assert [row.answer for row in compared(tmp_path, rows, rows).answers] == ["final"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ([trace("b", "rr")], "no problem in common"),
        ([trace("a", "rr", gold="8")], "gold '7' there and '8' here"),
        ([trace("a", "uu")], "no answers that can be compared"),
    ],
)
def test_what_cannot_be_compared_says_why(tmp_path: Path, second: list[Trace], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compared(tmp_path, [trace("a", "rr")], second)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = make(tmp_path / "base", [trace(str(i), "55") for i in range(9)])
    second = make(tmp_path / "srpo", [trace(str(i), "5r") for i in range(9)])
    assert main(["compare", str(first), str(second), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value.pop("flips")["gained"] == 9
    found = Comparison.model_validate(value)
    assert found.answers[0].difference.value == 1.0
    assert main(["compare", str(first), str(second)]) == 0
    shown = capsys.readouterr().out
    assert "srpo is better" in shown
    assert "+1.000" in shown
    assert main(["compare", str(first), str(tmp_path / "nothing")]) == 2
    assert "'" + str(tmp_path / "nothing") + "' is not a directory" in capsys.readouterr().err
    assert main(["compare", str(first)]) == 2
    assert "what is compared, e.g. the trained model." in capsys.readouterr().err


def test_a_run_that_is_still_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = make(tmp_path / "base", [trace(str(i), "55") for i in range(9)])
    second = make(tmp_path / "half", [trace(str(i), "5r") for i in range(4)])
    (second / "summary.json").unlink()
    assert main(["compare", str(first), str(second)]) == 0
    assert capsys.readouterr().err == f"srpo: {second} is not finished; what it has answered so far is compared\n"


def flipping(tmp_path: Path) -> tuple[Path, Path]:
    """Six of ten problems go from wrong to right, one the other way."""
    first = make(tmp_path / "a", [trace(f"p{at}", "wr" if at >= 6 else "rw") for at in range(10)])
    return first, make(tmp_path / "b", [trace(f"p{at}", "rr" if at < 9 else "rw") for at in range(10)])


def test_flips_are_counted_and_drawn_by_the_seed(tmp_path: Path) -> None:
    runs = [RunDir.read(path) for path in flipping(tmp_path)]
    flips = find_flips(runs[0], runs[1], num=2, seed=1)
    assert (flips.n, flips.gained, flips.lost) == (10, 6, 1)
    assert [flip.gained for flip in flips.shown] == [True, True, False]
    assert (flips.shown[2].problem, flips.shown[2].first, flips.shown[2].second) == ("p9", "r", "w")
    assert find_flips(runs[0], runs[1], num=2, seed=1) == flips
    draws = {tuple(flip.problem for flip in find_flips(*runs, num=2, seed=seed).shown) for seed in range(8)}
    assert len(draws) > 1
    assert "p9: p9?\n     gold 7: r → w" in render_flips(flips)
    assert render_flips(find_flips(*runs, num=0)) == "Flips: 6 of 10 problems wrong→right, 1 right→wrong"


def test_a_bound_decides_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", *map(str, flipping(tmp_path))]
    assert main([*words, "--fail-if", "final < -1.0"]) == 0
    assert "Flips: 6 of 10" in capsys.readouterr().out
    assert main([*words, "--fail-if", "final > 49.9", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err == "srpo: compare: final > 49.9 holds, it is +50.00\n"
    assert json.loads(said.out)["flips"]["gained"] == 6
    assert main([*words, "--fail-if", "final.low >= 50"]) == 0
    assert main([*words, "--fail-if", "fin < 1"]) == 2
    assert "--fail_if 'fin < 1' is no bound; write final, first" in capsys.readouterr().err


def test_a_bound_on_first_answers_needs_first_answers(tmp_path: Path) -> None:
    first = make(tmp_path / "a", [trace("p", "rr", style="single")])
    found = compare(RunDir.read(first), RunDir.read(make(tmp_path / "b", [trace("p", "rr", style="single")])))
    assert read_bound("final >= 0").holds(found)
    with pytest.raises(ValueError, match="neither run has any"):
        read_bound("first < 0").holds(found)
