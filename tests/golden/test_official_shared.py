"""Outputs of the authors' own scoring code, to the last digit. Skipped where the shared data is absent."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from srpo.eval.official import mathvista, mmmu
from srpo.eval.official.hallusionbench import hallusion_scores
from srpo.eval.official.olympiadbench import olympiad_equal
from srpo.eval.official.wemath import Kind, wemath_scores

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GOLDEN = DATA / "scorers" / "official_scorers.json"
pytestmark = pytest.mark.skipif(not GOLDEN.is_file(), reason="the shared benchmark data is not here")


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def drawn(run: dict[str, Any], key: str) -> bool:
    """The seeded rule by which the golden file's answers are right or wrong."""
    share: float = run["p"]
    return hashlib.sha256(f"{run['seed']}|{key}".encode()).digest()[0] / 256 < share


def test_wemath(golden: Any) -> None:
    names: dict[str, Kind] = {
        "InadequateGeneralization": "IG",
        "InsufficientKnowledge": "IK",
        "CompleteMastery_strict": "CM_strict",
        "CompleteMastery_loose": "CM_loose",
        "RoteMemorization_strict": "RM_strict",
        "RoteMemorization_loose": "RM_loose",
    }
    for run in golden["wemath"]["runs"]:
        keys = [(item["ID"], item["key"]) for item in golden["wemath"]["items"]]
        found = wemath_scores({key: drawn(run, "|".join(key)) for key in keys})
        assert (found.groups, found.incomplete) == (525, 0)
        assert {name: found.counts[ours] for name, ours in names.items()} == run["counts"]
        assert {f"{name}_rate": f"{found.rates[ours]:.2%}" for name, ours in names.items()} == run["rates"]
        assert (found.strict_score, found.loose_score) == (run["score_strict"], run["score_loose"])
        assert (found.S1, found.S2, found.S3, found.accuracy) == (run["S1"], run["S2"], run["S3"], run["acc"])


def test_hallusionbench(golden: Any) -> None:
    parts = ("category", "subcategory", "set_id", "figure_id", "question_id")
    for run in golden["hallusionbench"]["runs"]:
        rows = [row for row in golden["hallusionbench"]["items"] if run["split"] == "all" or row["visual_input"] != "0"]
        ids = ["_".join(row[part] for part in parts) for row in rows]
        found = hallusion_scores({key: drawn(run, key) for key in ids}, ids)
        assert (found.n, found.questions, found.figures) == (run["n"], run["n_q"], run["n_f"])
        assert (found.incomplete_questions, found.incomplete_figures) == (0, 0)
        # the official code multiplies by 100 before it divides, which may differ in the 17th digit
        for ours, theirs in ((found.aAcc, "aAcc"), (found.qAcc, "qAcc"), (found.fAcc, "fAcc")):
            assert ours == pytest.approx(run[theirs] / 100, rel=1e-15)


def test_mathvista(golden: Any) -> None:
    for case in golden["mathvista_normalize"]:
        asked = (case["choices"], case["question_type"], case["answer_type"], case["precision"])
        assert mathvista.normalise(case["extraction"], *asked) == case["normalized"], case
        assert mathvista.is_right(case["extraction"], case["answer"], *asked) == case["correct"], case
    rows = map(json.loads, (DATA / "mathvista" / "testmini.jsonl").read_text(encoding="utf-8").splitlines())
    columns = ("answer", "choices", "question_type", "answer_type", "precision")
    verdicts = [mathvista.is_right("", *(row[column] for column in columns)) for row in rows]
    empty = golden["mathvista_empty_extraction"]
    assert (sum(verdicts), len(verdicts)) == (empty["correct"], empty["total"])


def test_mmmu(golden: Any) -> None:
    for case in golden["mmmu_parse_multi_choice"]:
        parsed = None if case["parsed"] == "RANDOM" else case["parsed"]
        assert mmmu.parse_choice(case["response"], case["options"]) == parsed, case
    for case in golden["mmmu_open"]:
        parsed = mmmu.parse_open(case["response"])
        assert sorted(map(str, parsed)) == sorted(case["parsed"]), case
        assert mmmu.open_is_right(parsed, case["answer"]) == case["correct"], case


def test_olympiadbench(golden: Any) -> None:
    others = json.loads((DATA / "grading" / "other_grader_cases.json").read_text(encoding="utf-8"))
    for case in golden["olympiadbench_scoring_examples"] + others["olympiadbench"]["cases"]:
        assert olympiad_equal(case["gold"], case["pred"], case["precision"]) == case["expected"], case
