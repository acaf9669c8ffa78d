"""Other harnesses: lmms-eval over a small stand-in that has its protocol, and prediction files for VLMEvalKit."""

import csv
import json
import sys
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from srpo.cli import export as export_command
from srpo.cli import show as show_command
from srpo.core.records import FormatError, Grade, Origin, Problem, Trace
from srpo.core.statistics import wilson
from srpo.eval.benchmarks.benchmark import Breakdown
from srpo.eval.result import BenchmarkResult, Headline
from srpo.grading import bare_answer, is_plain_number
from srpo.interop import lmms_eval as ours
from srpo.interop.questions import has_lettered_options, listed_options
from srpo.interop.vlmevalkit import NO_ANSWER, export_predictions, prediction_text
from srpo.models.fake import FakeGenerator
from srpo.runs.directory import RunDir
from tests.support.report_runs import FakeConfig


def reflective(first: str, second: str) -> str:
    return (
        f"<think>a</think> <answer>{first}</answer> <reflection>Look at (A) again.</reflection> "
        f"<think>b</think> <answer>{second}</answer>"
    )


# -- bare answers


@pytest.mark.parametrize(
    ("text", "hints", "bare"),
    [
        (reflective("A", "B"), {"lettered": True}, "B"),
        (reflective("A", "B. 12 cm"), {"choices": ("10 cm", "12 cm")}, "B"),
        (reflective("A", "12 cm"), {"choices": ("10 cm", "12 cm")}, "B"),
        (reflective("A", "12 cm"), {"lettered": True}, "12 cm"),
        (r"so \boxed{C}", {"lettered": True}, "C"),
        (reflective("1", "The answer is (D)."), {"lettered": True}, "D"),
        (reflective("1", "A and B"), {"lettered": True}, "A and B"),
        (reflective("1", "No"), {"choices": ("Yes", "No")}, "B"),
        (reflective("1", "1,250 kg"), {"number": True}, "1250"),
        (reflective("1", "1,250 kg"), {}, "1,250 kg"),
        (reflective("1", "$-2.50$ m"), {"number": True}, "-2.50"),
        (reflective("1", "50\\%"), {"number": True}, "50"),
        (reflective("1", "2π"), {"number": True}, "2π"),
        (reflective("1", "5 million"), {"number": True}, "5 million"),
        (reflective("1", "3 or 4"), {"number": True}, "3 or 4"),
        (reflective("1", r"$\frac{1}{2}$."), {}, r"\frac{1}{2}"),
        (reflective("1", "**Paris**"), {}, "Paris"),
        ("<answer>3</answer> <reflection>Let me look ag", {"number": True}, ""),
        ("", {}, ""),
    ],
)
def test_bare_answer(text: str, hints, bare: str) -> None:
    assert bare_answer(text, **hints) == bare


def test_options_of_a_question_are_found_where_it_lists_them() -> None:
    question = "In figure A. B what?\nChoices:\n(A) 10 cm\n(B) 12 cm\n\n(C) none\nAnswer with a letter."
    assert listed_options(question) == ("10 cm", "12 cm", "none")
    assert has_lettered_options(question)
    assert has_lettered_options("Which? Options: A: one, B: two")
    assert not has_lettered_options("Find the angle at A.")
    assert listed_options("Find the angle.\nA. only one") == ()


def test_numbers_are_told_from_quantities() -> None:
    assert all(map(is_plain_number, ("7", "-2.5", "1,000")))
    assert not any(map(is_plain_number, ("12 cm", "1/2", "B", "")))


def test_hostile_texts_take_linear_time() -> None:
    for text in ("<answer>" * 20_000, "$" * 200_000, "A. x\n" * 20_000, "1," * 50_000):
        bare_answer(text, number=True)
        listed_options(text)
        has_lettered_options(text)


# -- lmms-eval: the classes of 0.7.3 that a chat model meets, reduced to their protocol


@dataclass
class TheirCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass
class GenerationResult:
    text: str
    token_counts: TheirCounts | None = None


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass
class Instance:
    arguments: tuple
    task_name: str = "mathvista"
    metadata: dict = field(default_factory=dict)

    @property
    def args(self):
        return self.arguments


class Lmms:
    is_simple = True

    def __init__(self) -> None:
        self.task_dict = {}

    def clean(self) -> None:
        self.task_dict = {}


@pytest.fixture
def lmms(monkeypatch: pytest.MonkeyPatch):
    """A fake `lmms_eval` package, importable for the length of a test."""
    parts = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
        "lmms_eval.api.instance": {"GenerationResult": GenerationResult, "TokenCounts": TheirCounts},
        "lmms_eval.api.model": {"lmms": Lmms},
    }
    for name, members in parts.items():
        module = ModuleType(name)
        module.__path__ = []
        for key, member in members.items():
            setattr(module, key, member)
        monkeypatch.setitem(sys.modules, name, module)
    ours.model_class.cache_clear()
    yield
    ours.model_class.cache_clear()


DOCS = [
    {"pid": "1", "question": "How long?\nChoices:\n(A) 10 cm\n(B) 12 cm", "answer": "12 cm"},
    {"pid": "2", "question": "How many grams?", "answer": "1250"},
    {"pid": "3", "question": "What is it called?", "answer": "a prism"},
]
REPLIES = {"How long": reflective("A", "12 cm"), "How many": reflective("7 g", "1,250 g"), "What": "<think>hm"}


def messages_of(doc):
    content = [
        {"type": "image", "url": Image.new("RGB", (4, 4), "red")},
        {"type": "text", "text": doc["question"]},
    ]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]


def requests(docs=DOCS, **limits):
    kwargs = {"until": ["\n\n"], "max_new_tokens": 16, "temperature": 1.0} | limits
    return [Instance(("", messages_of, dict(kwargs), at, "mathvista", "testmini")) for at in range(len(docs))]


def fake():
    return FakeGenerator(
        lambda request, _: next(text for start, text in REPLIES.items() if start in request.problem.question),
        refuse=lambda request: "too large" if "refuse" in request.problem.question else None,
    )


def make(tmp_path: Path, generator, **given):
    model = ours.SrpoModel(
        generator,
        pretrained="runs/rl/model",
        trace_dir=str(tmp_path / "run"),
        batch_size="2",
        max_batch_size=None,
        **given,
    )
    model.task_dict = {"mathvista": {"testmini": DOCS}}
    return model


def test_lmms_eval_gets_the_bare_answer_and_we_keep_the_text(
    lmms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = fake()
    model = make(tmp_path, generator)
    assert isinstance(model, Lmms)
    assert model.is_simple is False
    found = model.generate_until(requests())
    assert [one.text for one in found] == ["B", "1250", ""]
    assert found[0].token_counts.output_tokens == len(REPLIES["How long"].split())
    model.clean()
    traces = list(RunDir.read(tmp_path / "run").traces())
    assert [trace.text for trace in traces] == list(REPLIES.values())
    assert [trace.problem.id for trace in traces] == [f"mathvista/testmini/{at}" for at in range(3)]
    assert traces[0].parsed.first.answer == "A"
    assert [trace.final_grade.extracted for trace in traces] == ["B", "1250", None]
    assert {trace.final_grade.verdict for trace in traces} == {"ungradable"}
    assert len({trace.problem.images for trace in traces}) == 1, "one picture, stored once"
    with Image.open(traces[0].problem.images[0]) as picture:
        assert picture.size == (4, 4)
    assert show_command.run([str(tmp_path / "run"), "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == REPLIES["How long"]


def test_stop_texts_and_tiny_limits_of_tasks_are_ignored(lmms, tmp_path: Path) -> None:
    sampled = []

    class Spy(FakeGenerator):
        def generate(self, asked, sampling):
            sampled.append(sampling)
            return super().generate(asked, sampling)

    generator = Spy(lambda *_: "first\n\nsecond\n\n<answer>7</answer>")
    model = make(tmp_path, generator, max_tokens=100)
    assert [one.text for one in model.generate_until(requests())] == ["7"] * 3
    assert [one.text for one in model.generate_until(requests(max_new_tokens=5000)[:1])] == ["7"]
    assert [(one.max_tokens, one.temperature) for one in sampled] == [(100, 0.0), (100, 0.0), (5000, 0.0)]
    model.clean()


def test_our_prompt_stands_around_the_tasks_own_text(lmms, tmp_path: Path) -> None:
    generator = fake()
    model = make(tmp_path, generator)
    model.generate_until(requests()[:1])
    model.clean()
    (request,) = generator.requests
    system, user = request.messages
    assert (system.role, system.text, user.role) == ("system", "Be brief.", "user")
    assert user.text.startswith("How long?\nChoices:\n(A) 10 cm")
    assert "<reflection>" in user.text


def test_refused_items_are_answered_by_nothing_and_named(
    lmms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs = [{"question": "refuse this", "answer": "1"}, DOCS[1]]
    model = make(tmp_path, fake())
    model.task_dict = {"mathvista": {"testmini": docs}}
    assert [one.text for one in model.generate_until(requests(docs))] == ["", "1250"]
    model.clean()
    assert "mathvista/testmini/0: no answer: too large" in capsys.readouterr().err
    first = next(RunDir.read(tmp_path / "run").traces())
    assert first.final_grade.reason == "no answer: too large"


def test_what_srpo_cannot_do_is_refused_by_name(lmms, tmp_path: Path) -> None:
    model = make(tmp_path, fake())
    with pytest.raises(ValueError, match="task 'mathvista' asks for log-likelihoods"):
        model.loglikelihood(requests())
    with pytest.raises(ValueError, match="task 'mathvista' asks for several rounds"):
        model.generate_until_multi_round(requests())
    audio = Instance(
        ("", lambda _: [{"role": "user", "content": [{"type": "audio", "url": b""}]}], {}, 0, "mathvista", "testmini")
    )
    with pytest.raises(ValueError, match=r"mathvista/testmini/0: srpo answers questions about pictures; .* of audio"):
        model.generate_until([audio])
    model.clean()
    with pytest.raises(ValueError, match=r"trace_dir '.*run' is not empty; choose a new directory"):
        make(tmp_path, fake())


def test_model_arguments_are_checked(lmms, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--model_args: give either pretrained=CHECKPOINT or model=NAME"):
        ours.read_arguments({"prompt": "bare"})
    with pytest.raises(ValueError, match=r"--model_args: pretrain: .*; there are pretrained, model, base_url"):
        ours.read_arguments({"pretrain": "x"})
    with pytest.raises(ValueError, match="unknown prompt 'rflective'"):
        ours.read_arguments({"pretrained": "x", "prompt": "rflective"})
    config = ours.read_arguments({"model": "m", "base_url": "http://localhost:1/v1", "device": None, "batch_size": 4})
    assert (config.opened().base_url, config.device) == ("http://localhost:1/v1", "cpu")


def test_entry_point_names_a_manifest_that_finds_the_class(lmms) -> None:
    found = ours.manifest()
    assert found == ModelManifest(model_id="srpo", chat_class_path="srpo.interop.lmms_eval.SrpoModel")
    module, _, name = found.chat_class_path.rpartition(".")
    assert issubclass(getattr(sys.modules[module], name), Lmms)
    lines = (Path(__file__).parents[2] / "pyproject.toml").read_text().splitlines()
    at = lines.index('[project.entry-points."lmms_eval.models"]')
    assert lines[at + 1] == 'srpo = "srpo.interop.lmms_eval:manifest"'
    for point in entry_points(group="lmms_eval.models"):  # installed: only after the next `pip install`
        if point.name == "srpo":
            assert point.load() is ours.manifest


def test_without_lmms_eval_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ours.model_class.cache_clear()
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    with pytest.raises(ValueError, match=r"lmms-eval is not installed in this environment \(docs/interop\.md"):
        ours.manifest()
    with pytest.raises(ValueError, match="lmms-eval is not installed"):
        ours.SrpoModel  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        ours.Model  # noqa: B018


# -- VLMEvalKit


def trace(key: str, text: str, *, question="How long?", answer="12 cm", choices=(), sample=0, extracted=None) -> Trace:
    grade = Grade(verdict="incorrect", extracted=extracted, reason="")
    return Trace(
        origin=Origin(stage="eval", model="tiny"),
        problem=Problem(id=key, question=question, answer=answer, choices=choices),
        sample=sample,
        text=text,
        parsed=FormatError(where=0, what="no think"),
        first_grade=grade,
        final_grade=grade,
    )


TRACES = [
    trace("1", reflective("A", "12 cm"), choices=("10 cm", "12 cm"), answer="B"),
    trace("2", reflective("7", "1,250 g\r\nof flour"), question="How many grams?", answer="1250"),
    trace("3", '<think>a "quote"\tand a tab</think> <answer>None</answer>', question="Which one?", answer="None"),
    trace("4", "<answer>3</answer> <reflection>Let me look ag", question="How many?", answer="4"),
    trace("1", "another sample", sample=1),
]


def write_run(path: Path, traces=TRACES, result: BenchmarkResult | None = None) -> Path:
    with RunDir.open(path, FakeConfig(), "eval") as run:
        run.append_traces(traces)
        run.finish({"benchmark": result} if result else {})
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


THEIRS = [
    {"index": "0", "pid": "1", "image": "iVBOR" * 40_000, "question": "Hint: ..\nQuestion: How long?", "answer": "B"},
    {"index": "1", "pid": "2", "image": "x", "question": "How  many grams?", "answer": "1250"},
    {"index": "2", "pid": "3", "image": "x", "question": "<image 1> Which one?", "answer": "None"},
    {"index": "3", "pid": "4", "image": "x", "question": "How many?", "answer": "4"},
    {"index": "4", "pid": "5", "image": "x", "question": "Not asked", "answer": "5"},
]


def write_tsv(path: Path, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), dialect="excel-tab")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_predictions_stand_in_the_columns_of_their_own_file(tmp_path: Path) -> None:
    tsv = write_tsv(tmp_path / "MathVista_MINI.tsv", THEIRS)
    limit = csv.field_size_limit()
    result = export_predictions(write_run(tmp_path / "run"), tmp_path / "out", tsv=tsv, name="org/my model")
    assert csv.field_size_limit() == limit
    assert Path(result.path) == tmp_path / "out" / "org-my-model_MathVista_MINI.tsv"
    assert (result.num_predictions, result.without_answer, result.further_samples, result.without_prediction) == (
        4,
        1,
        1,
        1,
    )
    assert result.notes == ()
    rows = read(Path(result.path))
    assert list(rows[0]) == ["index", "pid", "question", "answer", "prediction", "raw_prediction"]
    assert [row["prediction"] for row in rows] == ["B", "1,250 g\nof flour", "None.", NO_ANSWER]
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]
    assert rows[0]["raw_prediction"] == TRACES[0].text
    assert rows[2]["raw_prediction"] == TRACES[2].text


def test_without_their_file_the_columns_are_ours(tmp_path: Path) -> None:
    made = BenchmarkResult(
        benchmark="mathvista",
        title="MathVista testmini",
        model="ours",
        data="",
        style="auto",
        size=4,
        n=4,
        missing=0,
        ungradable=0,
        unusable=0,
        accuracy=0.5,
        interval=tuple(wilson(2, 4)),
        accuracy_over_all=0.5,
        headline=Headline(name="accuracy", value=0.5),
        breakdown=Breakdown(),
        decided_by={},
    )
    result = export_predictions(write_run(tmp_path / "run", result=made), tmp_path / "out")
    assert Path(result.path).name == "ours_MathVista_MINI.tsv"
    assert "without --tsv" in result.notes[0]
    rows = read(Path(result.path))
    assert list(rows[0]) == ["index", "question", "A", "B", "answer", "prediction", "raw_prediction"]
    assert (rows[0]["index"], rows[0]["B"], rows[1]["A"]) == ("1", "12 cm", "")


def test_columns_that_only_look_like_ids_are_not_joined_on(tmp_path: Path) -> None:
    rows = [row | {"index": str(at)} for at, row in enumerate(THEIRS)]
    tsv = write_tsv(tmp_path / "MathVista_MINI.tsv", [{k: v for k, v in row.items() if k != "pid"} for row in rows])
    with pytest.raises(
        ValueError, match=r"MathVista_MINI\.tsv' is not the data of this run: .* 'index' has 4 of the ids"
    ):
        export_predictions(write_run(tmp_path / "run"), tmp_path / "out", tsv=tsv)
    assert not (tmp_path / "out").exists()


def test_wemath_and_hallusionbench_are_joined_by_their_parts(tmp_path: Path) -> None:
    asked = [trace("t-1|2steps_1", "<answer>A</answer>"), trace("t-1|2steps_2", "<answer>B</answer>")]
    theirs = [
        {"index": str(at), "ID": "t-1", "key": f"2steps_{at}", "question": "How long?", "answer": "A"} for at in (1, 2)
    ]
    result = export_predictions(
        write_run(tmp_path / "a", asked), tmp_path / "a out", tsv=write_tsv(tmp_path / "WeMath.tsv", theirs)
    )
    assert [row["prediction"] for row in read(Path(result.path))] == ["A", "B"]
    asked = [trace("VD_chart_0_1_2", "<answer>Yes</answer>"), trace("VS_map_3_0_1", "<answer>No</answer>")]
    theirs = [{"index": "VD_chart_1_0_1_2", "question": "How long?", "answer": "1"}]
    result = export_predictions(
        write_run(tmp_path / "b", asked), tmp_path / "b out", tsv=write_tsv(tmp_path / "HallusionBench.tsv", theirs)
    )
    assert [row["prediction"] for row in read(Path(result.path))] == ["Yes"]
    assert (result.num_predictions, result.unknown_items) == (1, 1)


def test_predictions_survive_what_pandas_makes_of_them() -> None:
    for text in ("None", "nan", "NA", "null"):
        assert prediction_text(trace("1", f"<answer>{text}</answer>")) == f"{text}."
    assert prediction_text(trace("1", "<answer> </answer>")) == NO_ANSWER
    assert prediction_text(trace("1", "long prose " * 100, extracted="7")) == "7", "read by the benchmark's own rule"


def test_numbers_alone_come_with_a_warning(tmp_path: Path) -> None:
    asked = [trace(str(at), f"<answer>{text}</answer>", answer="1") for at, text in enumerate(("7", "2.5"))]
    result = export_predictions(write_run(tmp_path / "run", asked), tmp_path / "out")
    assert any("reads 7 as 7.0" in note for note in result.notes)


def test_bad_places_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(ValueError, match="exists and is not an empty directory"):
        export_predictions(run, run)
    with pytest.raises(ValueError, match=r"is not a run directory"):
        export_predictions(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match=r"x\.tsv' has no column 'index'"):
        export_predictions(run, tmp_path / "out", tsv=write_tsv(tmp_path / "x.tsv", [{"a": "1"}]))
    (tmp_path / "y.tsv").write_bytes(b"index\n\xff\n")
    with pytest.raises(ValueError, match=r"y\.tsv' is not UTF-8 text"):
        export_predictions(run, tmp_path / "out", tsv=tmp_path / "y.tsv")
    with pytest.raises(ValueError, match="holds no responses"):
        export_predictions(write_run(tmp_path / "none", []), tmp_path / "out")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, tsv = write_run(tmp_path / "run"), write_tsv(tmp_path / "MathVista_MINI.tsv", THEIRS)
    common = [str(run), "--format", "vlmevalkit", "--tsv", str(tsv), "--model-name", "m"]
    assert export_command.run([*common, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'a' / 'm_MathVista_MINI.tsv'}: 4 predictions; 1 without a final answer")
    assert "1 rows of the data file without a prediction left out" in said
    assert export_command.run([*common, "--out", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_predictions"] == 4
    with pytest.raises(ValueError, match="stands alone, and takes one run"):
        export_command.run([*common, "--out", str(tmp_path / "c"), "--format", "vlmevalkit", "trl"])
    with pytest.raises(ValueError, match="belong to --format vlmevalkit"):
        export_command.run([str(run), "--out", str(tmp_path / "c"), "--tsv", str(tsv)])
