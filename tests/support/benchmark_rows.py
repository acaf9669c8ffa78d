"""Rows in the published schemas, written by us, and the items that adapters make of them."""

import io
from pathlib import Path
from typing import Any

from PIL import Image

from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Item
from srpo.eval.benchmarks.items import PublishedBenchmark
from srpo.eval.benchmarks.named import benchmark_named


def item(name: str, folder: Path | None = None, /, **values: object) -> Item:
    """The item of one row; with a folder, its pictures too."""
    place = folder or Path()
    source = SourceConfig(path="x", image_store=str(place / "store"))
    benchmark = benchmark_named(name)
    assert isinstance(benchmark, PublishedBenchmark)
    return benchmark.item(Row("x:1", "x:1", values, place), source, pictures=folder is not None)


def right(name: str, one: Item, text: str) -> bool:
    return benchmark_named(name).grade(one, text).is_correct


def png(colour: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": None}


def mmmu(**values: object) -> dict[str, Any]:
    row = {"id": "validation_Energy_and_Power_3", "question": "<image 1> Which of <image 2> is it?",
           "options": "['$6', 'it\\'s 8', \"<image 3>\"]", "answer": "B", "question_type": "multiple-choice",
           "topic_difficulty": "Hard", "explanation": "", "img_type": "['Plots']"}  # fmt: skip
    return {**row, **values}


def hallusion(**values: object) -> dict[str, Any]:
    row = {"category": "VS", "subcategory": "ocr", "visual_input": "1", "set_id": "0", "figure_id": "1",
           "question_id": "2", "question": "Is it so?", "gt_answer": "0", "gt_answer_details": "It is not.",
           "filename": "./VS/ocr/0_1.png"}  # fmt: skip
    return {**row, **values}


ROWS: dict[str, dict[str, Any]] = {
    "mathvista": {"pid": "1", "question": "q", "answer": "1", "question_type": "free_form", "answer_type": "float",
                  "precision": 1, "choices": None, "unit": "g", "metadata": {"task": "t", "skills": ["a"]}},
    "mathverse": {"sample_index": "1", "problem_version": "Text Lite", "question": "q", "answer": "1",
                  "question_type": "multi-choice", "metadata": {"subject": "s"}, "query_cot": "q"},
    "mathvision": {"id": "1", "question": "q", "options": ["A"], "answer": "A", "level": 1, "subject": "s"},
    "mmmu": mmmu(),
    "mmmu-pro-standard": {"id": "test_Art_1", "question": "q", "options": "['a', 'b']", "answer": "A",
                          "subject": "Art"},
    "wemath": {"ID": "2steps_1", "key": "2steps_1", "question": "q", "option": "A. x; B. y", "answer": "A"},
    "mmstar": {"index": 0, "question": "q", "answer": "A", "category": "c", "l2_category": "l",
               "meta_info": {"source": "s"}},
    "charxiv": {"figure_id": 1, "query": "q", "answer": "1", "inst_category": 1, "qa_source": 1},
    "hallusionbench": hallusion(),
    "olympiadbench": {"id": 1, "question": "q", "final_answer": ["1"], "error": "1e-2", "context": "c", "unit": "u",
                      "answer_type": "Numerical", "is_multiple_answer": False, "subfield": "Algebra"},
    "emma": {"pid": "1", "question": "q", "options": ["a", "b"], "answer": "a", "type": "Multiple Choice",
             "subject": "Math"},
    "mmk12": {"id": "1", "question": "q A. x B. y", "answer": "A", "subject": "math"},
}  # fmt: skip
