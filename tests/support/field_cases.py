"""Cases made after public bug reports of graders, trainers and harnesses, and what srpo makes of them today."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.records import Problem, TokenCounts, outcome_of
from srpo.core.rewards import reward
from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.grade import grade_item
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.benchmarks.named import benchmark_named
from srpo.grading import Grader

LENGTHS = TokenCounts(prompt=0, total=20, first=10)


class Found(NamedTuple):
    """One case and what came of it."""

    case: Mapping[str, Any]
    said: Any
    """The verdict, or for rewards the terms that the case names."""
    detail: str

    @property
    def is_right(self) -> bool:
        """Whether the case came out as expected."""
        return bool(self.said == self.case["expected"])

    @property
    def is_false_reward(self) -> bool:
        """Whether something wrong was taken for right."""
        if isinstance(self.said, str):
            return bool(self.said == "correct" != self.case["expected"])
        final = [str(one.get("outcome") or "").rpartition("→")[2] for one in (self.said, self.case["expected"])]
        return final == ["right", "wrong"]


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_cases(cases: Sequence[Mapping[str, Any]], grader: Grader) -> list[Found]:
    """Grade, reward or mark each case."""
    return [_run(case, grader) for case in cases]


def _run(case: Mapping[str, Any], grader: Grader) -> Found:
    if "benchmark" in case:
        benchmark = benchmark_named(case["benchmark"])
        assert isinstance(benchmark, PublishedBenchmark)
        item = benchmark.item(Row("case:1", "case:1", case["row"], Path()), SourceConfig(path="case"), pictures=False)
        found = grade_item(benchmark, item, case["response"], grader=grader).final_grade
        return Found(case, found.verdict, f"{found.extracted!r}: {found.reason}")
    problem = Problem(
        id=case["id"], question=case.get("question", ""), answer=case["gold"], choices=case.get("choices", ())
    )
    if "prediction" in case:
        found = grader.grade(problem, case["prediction"])
        return Found(case, found.verdict, f"{found.extracted!r}: {found.reason}")
    return _reward(case, problem, grader)


def _reward(case: Mapping[str, Any], problem: Problem, grader: Grader) -> Found:
    graded = grader.grade_response(problem, case["response"], "reflective")
    earned = reward(
        "paper",
        text=case["response"],
        parsed=graded.parsed,
        first=graded.first_grade,
        final=graded.final_grade,
        tokens=LENGTHS,
        style="reflective",
    )
    said: dict[str, Any] = {} if earned is None else {term.name: term.score for term in earned.terms}
    said["outcome"] = outcome_of(graded.first_grade, graded.final_grade)
    detail = f"{graded.parsed!r:.60} | {graded.first_grade.reason} | {graded.final_grade.reason}"
    return Found(case, {name: said.get(name) for name in case["expected"]}, detail)
