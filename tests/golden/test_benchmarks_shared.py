"""The authors' own files: every row is an item, every gold grades itself. Skipped where the shared data is absent."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from srpo.core.records import Grade
from srpo.data.config import SourceConfig
from srpo.eval.benchmarks.benchmark import Mark
from srpo.eval.benchmarks.items import load_items
from srpo.eval.benchmarks.named import benchmark_named

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not (DATA / "mathvision").is_dir(), reason="the shared benchmark data is not here")

SIZES = {
    ("mathvista", "mathvista"): 1000, ("mathverse", "mathverse"): 788, ("mathvision", "mathvision"): 3040,
    ("wemath", "wemath"): 1740, ("charxiv", "charxiv"): 1000, ("hallusionbench", "hallusionbench"): 1129,
    ("emma-mini", "emma"): 414, ("mmk12", "mmk12"): 200,
}  # fmt: skip
_EVERY = 4
"""One item in so many has its gold graded: what the rest would add takes seconds."""


@pytest.mark.parametrize(("name", "folder"), SIZES)
def test_every_row_is_an_item_and_golds_are_right(name: str, folder: str) -> None:
    bench = benchmark_named(name)
    found = load_items(bench, SourceConfig(path=str(DATA / folder)), pictures=False)
    assert len(found.items) == SIZES[name, folder]
    assert found.rejected == ()
    wrong = [
        (item.problem.id, item.problem.answer)
        for item in found.items[::_EVERY]
        if not bench.grade(item, item.problem.answer).is_correct
    ]
    assert wrong == []


def test_the_tables_have_the_published_sizes() -> None:
    facts = {"mathvision": ("level", 5), "charxiv": ("answer_type", 4), "wemath": ("step", 3), "mathvista": ("task", 5)}
    for name, (axis, count) in facts.items():
        found = load_items(benchmark_named(name), SourceConfig(path=str(DATA / name)), pictures=False)
        assert len({item.groups[axis] for item in found.items}) == count


def test_pictures_that_are_there_are_found() -> None:
    for name, count in (("mathvision", 304), ("mmk12", 200), ("wemath", 205)):
        found = load_items(benchmark_named(name), SourceConfig(path=str(DATA / name)))
        assert len(found.items) == count
        assert all("no such file" in row.reason for row in found.rejected)


def _golden(name: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((DATA / "scorers" / "official_scorers.json").read_text(encoding="utf-8"))[name]
    return golden


def _marks(name: str, *, share: float, seed: int) -> list[Mark]:
    """The synthetic verdicts that the golden outputs were made with, on the real items."""
    items = load_items(benchmark_named(name), SourceConfig(path=str(DATA / name)), pictures=False).items
    right = Grade(verdict="correct", extracted=None, reason="")
    wrong = Grade(verdict="incorrect", extracted=None, reason="")
    marks = []
    for item in items:
        digest = hashlib.sha256(f"{seed}|{item.problem.id}".encode()).digest()
        marks.append(Mark(item=item, final=right if digest[0] / 256 < share else wrong))
    return marks


def test_wemath_equals_the_official_table() -> None:
    for run in _golden("wemath")["runs"]:
        found = benchmark_named("wemath").breakdown(_marks("wemath", share=run["p"], seed=run["seed"]))
        counts = run["counts"]
        assert found.counts["IG"] == counts["InadequateGeneralization"]
        assert found.counts["IK"] == counts["InsufficientKnowledge"]
        assert found.counts["CM_loose"] == counts["CompleteMastery_loose"]
        assert found.counts["RM_strict"] == counts["RoteMemorization_strict"]
        wanted = {"strict_score": run["score_strict"], "loose_score": run["score_loose"]}
        for metric, value in (wanted | {name: run[name] for name in ("S1", "S2", "S3")}).items():
            assert found.metrics[metric] == pytest.approx(value, abs=1e-12)
        assert f"{found.metrics['IK']:.2%}" == run["rates"]["InsufficientKnowledge_rate"]


def test_hallusionbench_equals_the_official_numbers() -> None:
    for run in _golden("hallusionbench")["runs"]:
        marks = _marks("hallusionbench", share=run["p"], seed=run["seed"])
        if run["split"] != "all":
            marks = [mark for mark in marks if mark.item.groups["visual_input"] != "none"]
        found = benchmark_named("hallusionbench").breakdown(marks)
        assert len(marks) == run["n"]
        assert found.counts == {"figures": run["n_f"], "questions": run["n_q"]}
        for name in ("aAcc", "fAcc", "qAcc"):
            assert found.metrics[name] * 100 == pytest.approx(run[name], abs=1e-9)
