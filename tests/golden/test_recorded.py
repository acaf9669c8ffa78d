"""Our verdicts on recorded outputs of public models against those of the benchmarks' authors.

Where they differ, and who is right: docs/agreement.md. Skipped where the shared data is absent.
"""

import gzip
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from srpo.data.config import SourceConfig
from srpo.eval.benchmarks.benchmark import Item
from srpo.eval.benchmarks.grade import grade_as_mark
from srpo.eval.benchmarks.items import load_items
from srpo.eval.benchmarks.named import benchmark_named
from srpo.eval.config import ScoreConfig
from srpo.eval.score import score

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not (DATA / "mathvista").is_dir(), reason="the shared benchmark data is not here")

MATHVISTA = ("bard", "gpt4_2shot_solution", "llava_llama_2_13b")
MATHVISION = ("gemini-pro-cot", "llava-1.5-13b", "sphinx-moe")
EMMA = ("internvl2-direct", "llava-cot")
REFUSED = {
    "bard": {"134"},
    "gpt4_2shot_solution": {
        "34", "182", "185", "314", "327", "412", "423", "652", "710", "775", "843", "974", "982",
    },
}  # fmt: skip
"""Refusals to which GPT-4's extraction gave an answer, by chance the right one. Ours never credits a refusal."""


class Row(NamedTuple):
    """One recorded response with both verdicts."""

    id: str
    response: str
    extraction: str
    ours: bool
    official: bool


class Agreement(NamedTuple):
    """Shares between 0 and 1."""

    n: int
    same: float
    ours: float
    official: float


@lru_cache(maxsize=4)
def _items(name: str, path: str) -> dict[str, Item]:
    found = load_items(benchmark_named(name), SourceConfig(path=str(DATA / path)), pictures=False)
    assert not found.rejected
    return {item.problem.id: item for item in found.items}


def _recorded(folder: str, model: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / folder / "recorded" / f"{model}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@lru_cache(maxsize=16)
def _rows(name: str, path: str, model: str) -> list[Row]:
    benchmark, items = benchmark_named(name), _items(name, path)
    return [
        Row(
            id=row["id"],
            response=row["response"] or "",
            extraction=row.get("official_extraction") or "",
            ours=grade_as_mark(benchmark, items[row["id"]], row["response"] or "").is_correct,
            official=row["official_correct"],
        )
        for row in _recorded(path.split("/", maxsplit=1)[0], model)
        if row["id"] in items
    ]


def _agreement(rows: list[Row]) -> Agreement:
    n = len(rows)
    same = sum(row.ours == row.official for row in rows) / n
    return Agreement(n, same, sum(row.ours for row in rows) / n, sum(row.official for row in rows) / n)


def _answered(model: str) -> list[Row]:
    """The responses of which GPT-4 extracted an answer: a letter, an option, a number, a list."""
    items = _items("mathvista", "mathvista/testmini.jsonl")

    def answers(row: Row) -> bool:
        said, choices = row.extraction.strip(), items[row.id].problem.choices
        if choices:
            return said in choices or bool(re.fullmatch(r"\(?[A-Z]\)?\.?", said))
        return bool(re.fullmatch(r"-?[\d.,]+%?|\[.*\]", said))

    return [row for row in _rows("mathvista", "mathvista/testmini.jsonl", model) if answers(row)]


def test_mathvista_agrees_without_an_llm() -> None:
    found = {model: _agreement(_answered(model)) for model in MATHVISTA}
    assert sum(one.same for one in found.values()) / len(found) >= 0.975
    assert min(one.same for one in found.values()) >= 0.94
    assert found["bard"].same >= 0.99
    ours, official = (sum(getattr(one, name) for one in found.values()) / 3 for name in ("ours", "official"))
    assert abs(ours - official) <= 0.015


@pytest.mark.parametrize("model", MATHVISTA)
def test_mathvista_accuracy_is_the_official_one_but_for_refusals(model: str) -> None:
    kept = [row for row in _answered(model) if row.id not in REFUSED.get(model, set())]
    found = _agreement(kept)
    assert found.same >= 0.97
    assert abs(found.ours - found.official) <= 0.015


def test_mathvista_never_credits_a_refusal_or_nothing() -> None:
    items = _items("mathvista", "mathvista/testmini.jsonl")
    for model, ids in REFUSED.items():
        rows = [row for row in _answered(model) if row.id in ids]
        assert len(rows) == len(ids)
        assert not any(row.ours for row in rows)
    benchmark = benchmark_named("mathvista")
    assert not any(grade_as_mark(benchmark, item, "").is_correct for item in items.values())
    silent = [
        row
        for row in _rows("mathvista", "mathvista/testmini.jsonl", "gpt4_2shot_solution")
        if row.extraction in ("N/A", "Cannot be determined")
    ]
    assert len(silent) > 300
    assert not any(row.ours for row in silent)


@pytest.mark.parametrize(
    ("model", "ours", "code_on_ours", "official"),
    [("bard", 0.338, 0.343, 0.348), ("gpt4_2shot_solution", 0.160, 0.285, 0.292),
     ("llava_llama_2_13b", 0.252, 0.260, 0.261)],
)  # fmt: skip
def test_mathvista_number_of_the_authors_code_beside_ours(
    model: str, ours: float, code_on_ours: float, official: float, tmp_path: Path
) -> None:
    """What the authors' comparison adds to our number is the shortest option for answers that nobody can read."""
    recorded = _recorded("mathvista", model)
    rows = [json.dumps({"id": row["id"], "response": row["response"]}) for row in recorded]
    responses = tmp_path / "responses.jsonl"
    responses.write_text("\n".join(rows), encoding="utf-8")
    source = SourceConfig(path=str(DATA / "mathvista" / "testmini.jsonl"))
    found = score(ScoreConfig(benchmark="mathvista", data=source, responses=str(responses)))
    assert found.official is not None
    assert (found.accuracy, found.official.accuracy) == (ours, code_on_ours)
    assert sum(row["official_correct"] for row in recorded) / len(recorded) == official


@pytest.mark.parametrize("model", MATHVISION)
def test_mathvision_agrees(model: str) -> None:
    rows = _rows("mathvision", "mathvision/test.jsonl", model)
    found = _agreement(rows)
    marked = _agreement([row for row in rows if len(row.response.strip()) <= 40 or "boxed" in row.response[-200:]])
    assert found.n == 3040
    assert marked.same >= 0.985
    assert found.same >= 0.965
    assert abs(found.ours - found.official) <= 0.01


def test_emma_agrees() -> None:
    found = [_agreement(_rows("emma-mini", "emma/questions.jsonl", model)) for model in EMMA]
    assert sum(one.same for one in found) / len(found) >= 0.985
    assert min(one.same for one in found) >= 0.98
    assert all(one.n == 400 for one in found)


def test_hallusionbench_reads_recorded_answers() -> None:
    """No verdicts are published with this sample; what begins with yes or no is read as such, and nothing is read out
    of a text that says that the data is missing."""
    rows = json.loads((DATA / "hallusionbench" / "HallusionBench_result_sample.json").read_text(encoding="utf-8"))
    benchmark = benchmark_named("hallusionbench")
    path = str(DATA / "hallusionbench" / "HallusionBench.json")
    items = {item.problem.id: item for item in load_items(benchmark, SourceConfig(path=path), pictures=False).items}
    read = 0
    for row in rows:
        item = items["_".join(row[name] for name in ("category", "subcategory", "set_id", "figure_id", "question_id"))]
        said, found = row["model_prediction"].strip(), grade_as_mark(benchmark, item, row["model_prediction"]).final
        read += found.extracted is not None
        if match := re.match(r"(yes|no)\b,", said, re.IGNORECASE):
            assert found.extracted == match[1].lower()
        if re.search(r"\bI (?:cannot|can't) (?:answer|confirm|help)|I'm sorry", said):
            assert found.extracted is None
    assert read / len(rows) > 0.88
