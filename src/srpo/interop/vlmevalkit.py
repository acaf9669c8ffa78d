"""Prediction files that VLMEvalKit marks: one row for each item, the bare final answer in `prediction`.

    srpo export runs/eval --format vlmevalkit --tsv ~/LMUData/MathVista_MINI.tsv --out predictions
    build_dataset("MathVista_MINI").evaluate("predictions/MODEL_MathVista_MINI.tsv", model=JUDGE)    # VLMEvalKit

VLMEvalKit marks what its own data file holds beside the prediction (`choices`, `answer_type`, ...), so that file
should be given; its columns are taken over, the pictures left out. `raw_prediction` holds the whole text. VLMEvalKit
reads TSV as it does xlsx. Written against its sources of 2026.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from string import ascii_uppercase
from typing import Final, NamedTuple

from srpo.core.records import Record, Trace
from srpo.data.placeholders import PLACEHOLDER
from srpo.grading import bare_answer, is_plain_number
from srpo.report.leaderboard.results import result_of
from srpo.report.open import read_run
from srpo.runs.files import make_directory_atomic
from srpo.runs.reader import RunReader

NO_ANSWER: Final = "No answer."
"""An empty cell would come back as `nan`."""
VLMEVALKIT_NAMES: Final = {
    "mathvista": "MathVista_MINI",
    "mathverse": "MathVerse_MINI",
    "mathvision": "MathVision",
    "mathvision-testmini": "MathVision_MINI",
    "mmmu": "MMMU_DEV_VAL",
    "mmmu-pro-standard": "MMMU_Pro_10c",
    "mmmu-pro-vision": "MMMU_Pro_V",
    "wemath": "WeMath",
    "mmstar": "MMStar",
    "charxiv": "CharXiv_reasoning_val",
    "hallusionbench": "HallusionBench",
    "olympiadbench": "OlympiadBench",
    "emma": "EMMA",
}
"""Benchmark -> what VLMEvalKit calls its data set."""

_READ_AS_MISSING: Final = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA")
) | {"NULL", "NaN", "None", "n/a", "nan", "null"}
"""Texts that pandas takes for missing values."""
_PICTURES: Final = frozenset({"image"})
_HALLUSION, _HALLUSION_PARTS = "index without its third part", 6
"""HallusionBench's index has a part for the kind of picture, which the ids of recorded responses have not."""
_OURS: Final = ("prediction", "raw_prediction")


class Prediction(NamedTuple):
    """What a run says about one item."""

    trace: Trace
    text: str
    """The bare final answer, in a form that survives pandas."""


class ExportedPredictions(Record):
    """What was written."""

    path: str
    num_predictions: int
    without_answer: int
    """Responses in which there is no final answer; their prediction is `No answer.`."""
    further_samples: int
    """Second and further responses to an item; the first one is written."""
    without_prediction: int
    """Rows of the data file that the run did not answer; they are left out."""
    unknown_items: int
    """Items of the run that the data file does not have; they are left out."""
    notes: tuple[str, ...]
    """What to know before the file is marked."""


class _Sheet(NamedTuple):
    columns: Sequence[str]
    rows: Iterable[Mapping[str, str]]


def export_predictions(run: Path, out: Path, *, tsv: Path | None = None, name: str = "") -> ExportedPredictions:
    """Write `out/{model}_{data set}.tsv`.

    Args:
        run: Run directory of `srpo eval` or `srpo score --out`.
        out: A directory that does not exist yet, or is empty.
        tsv: VLMEvalKit's own file of the data set.
        name: The model's name; empty takes the run's.

    Raises:
        ValueError: no run, nothing to export, items that the data file does not have, or `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{str(out)!r} exists and is not an empty directory; choose another --out")
    reader = read_run(run)
    found, further = _predictions(reader.traces())
    if not found:
        raise ValueError(f"{str(run)!r} holds no responses")
    sheet, without, unknown = (_own_sheet(found), 0, 0) if tsv is None else _their_sheet(tsv, found)
    file = f"{_file_name(name or _model_of(reader))}_{_file_name(_data_set_of(reader, tsv))}.tsv"
    make_directory_atomic(out, lambda folder: _write(folder / file, sheet))
    texts = [one.text for one in found.values()]
    return ExportedPredictions(
        path=str(out / file),
        num_predictions=len(texts) - unknown,
        without_answer=texts.count(NO_ANSWER),
        further_samples=further,
        without_prediction=without,
        unknown_items=unknown,
        notes=tuple(_notes(texts, tsv)),
    )


def prediction_text(trace: Trace) -> str:
    """The bare final answer of a trace, in a form that pandas reads back as this text."""
    problem = trace.problem
    bare = bare_answer(trace.text, choices=problem.choices, number=is_plain_number(problem.answer))
    text = _clean(bare or trace.final_grade.extracted or "").strip()
    if not text:
        return NO_ANSWER
    return f"{text}." if text in _READ_AS_MISSING else text


def _predictions(traces: Iterable[Trace]) -> tuple[dict[str, Prediction], int]:
    found: dict[str, Prediction] = {}
    further = 0
    for trace in traces:
        if trace.problem.id in found:
            further += 1
        else:
            found[trace.problem.id] = Prediction(trace, prediction_text(trace))
    return found, further


def _own_sheet(found: Mapping[str, Prediction]) -> _Sheet:
    width = max(len(one.trace.problem.choices) for one in found.values())
    columns = ("index", "question", *ascii_uppercase[:width], "answer", *_OURS)
    rows = (
        {"index": key, "question": one.trace.problem.question, "answer": one.trace.problem.answer}
        | dict(zip(ascii_uppercase, one.trace.problem.choices, strict=False))
        | _cells(one)
        for key, one in found.items()
    )
    return _Sheet(columns, rows)


def _their_sheet(tsv: Path, found: Mapping[str, Prediction]) -> tuple[_Sheet, int, int]:
    columns, rows = _read_tsv(tsv)
    key = _key(rows, found, tsv)
    answered = [(row, found[key(row)]) for row in rows if key(row) in found]
    unknown = len(found) - len(answered)
    kept = [column for column in columns if column not in _OURS]
    return (
        _Sheet((*kept, *_OURS), (dict(row) | _cells(one) for row, one in answered)),
        len(rows) - len(answered),
        unknown,
    )


def _cells(one: Prediction) -> dict[str, str]:
    return {"prediction": one.text, "raw_prediction": one.trace.text}


def _read_tsv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows without the pictures, which make these files large."""
    try:
        with _long_fields(), path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, dialect="excel-tab")
            columns = [name for name in reader.fieldnames or () if name not in _PICTURES]
            rows = [{name: row[name] or "" for name in columns} for row in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"--tsv {str(path)!r} is not UTF-8 text") from error
    except csv.Error as error:
        raise ValueError(f"--tsv {str(path)!r} is not a table of tab-separated values: {error}") from error
    if "index" not in columns:
        raise ValueError(f"--tsv {str(path)!r} has no column 'index'; give VLMEvalKit's own file of the data set")
    return columns, rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """A picture in base64 is longer than the csv module takes by itself."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


_Key = Callable[[Mapping[str, str]], str]


def _key(rows: Sequence[Mapping[str, str]], found: Mapping[str, Prediction], tsv: Path) -> _Key:
    """How a row says which item it is: a column that has all items of the run, each once, with the same questions.

    The questions are compared because two columns that count from 0 and from 1 have nearly the same values.
    """
    columns = set(rows[0]) if rows else set()
    names = ("index", "id", "pid", "question_id", "sample_index", "figure_id", "ID")
    keys: dict[str, _Key] = {name: itemgetter(name) for name in names if name in columns}
    if {"ID", "key"} <= columns:
        keys["ID|key"] = lambda row: f"{row['ID']}|{row['key']}"
    if all(row["index"].count("_") >= _HALLUSION_PARTS - 1 for row in rows):
        keys[_HALLUSION] = _without_third
    most = {}
    for name, key in keys.items():
        values = [key(row) for row in rows]
        most[name] = held = len(found.keys() & set(values))
        # The run may be on all of HallusionBench, of which VLMEvalKit has the questions with pictures.
        complete = held == len(found) or (name == _HALLUSION and held > 0)
        if complete and len(set(values)) == len(values) and _same_questions(rows, key, found):
            return key
    best = max(most, key=lambda name: most[name], default="index")
    raise ValueError(
        f"--tsv {str(tsv)!r} is not the data of this run: no column has its {len(found)} items, each once and with the "
        f"same question; {best!r} has {most.get(best, 0)} of the ids"
    )


def _without_third(row: Mapping[str, str]) -> str:
    parts = row["index"].split("_")
    return "_".join(parts[:2] + parts[3:])


def _same_questions(rows: Sequence[Mapping[str, str]], key: _Key, found: Mapping[str, Prediction]) -> bool:
    """Whether most questions agree; prompts around them may differ, so that one only has to hold the other."""
    same = different = 0
    for row in rows:
        one = found.get(key(row))
        ours, theirs = _words(one.trace.problem.question if one else ""), _words(row.get("question", ""))
        if ours and theirs:
            agrees = ours in theirs or theirs in ours
            same, different = same + agrees, different + (not agrees)
    return same >= different


def _words(question: str) -> str:
    return "".join(PLACEHOLDER.sub("", question).split()).casefold()


def _write(path: Path, sheet: _Sheet) -> None:
    # Model text may hold lone surrogates, which UTF-8 cannot say.
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, sheet.columns, restval="", dialect="excel-tab", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows({name: _clean(value) for name, value in row.items()} for row in sheet.rows)


def _clean(text: str) -> str:
    """Without what a reader of tables stumbles over."""
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _notes(texts: Sequence[str], tsv: Path | None) -> Iterator[str]:
    if tsv is None:
        yield "without --tsv there are only our columns; most rules of VLMEvalKit need those of its own file"
    numerals = [text for text in texts if is_plain_number(text)]
    if len(numerals) == len(texts) and any("." in text for text in texts) and any("." not in text for text in texts):
        yield "all predictions are numbers, some with decimals: pandas reads 7 as 7.0, which may be marked wrong"


def _model_of(reader: RunReader) -> str:
    result = result_of(reader)
    if result is not None:
        return result.model
    model = reader.config.config.get("model", "")
    return Path(model).name if isinstance(model, str) and model else reader.path.resolve().name


def _data_set_of(reader: RunReader, tsv: Path | None) -> str:
    if tsv is not None:
        return tsv.stem
    result = result_of(reader)
    return VLMEVALKIT_NAMES.get(result.benchmark, result.benchmark) if result is not None else "predictions"


def _file_name(text: str) -> str:
    """A name that is one part of a path."""
    kept = "".join(sign if sign.isalnum() or sign in "-._" else "-" for sign in text).strip(".-")
    return kept or "model"
