"""lmms-eval over a small stand-in that has its protocol."""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from PIL import Image

from srpo.cli.main import run_command
from srpo.core.records import Response, Sampling
from srpo.interop import lmms_eval as ours
from srpo.models.config import ServerConfig
from srpo.models.fake import FakeGenerator
from srpo.models.protocol import Completion, Request
from srpo.runs.directory import RunDir
from tests.support.lmms_eval import ChatModel, Doc, Instance, Lmms, ModelManifest, install
from tests.support.responses import reflective


@pytest.fixture
def lmms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install(monkeypatch)
    ours.model_class.cache_clear()
    yield
    ours.model_class.cache_clear()


DOCS = [
    {"pid": "1", "question": "How long?\nChoices:\n(A) 10 cm\n(B) 12 cm", "answer": "12 cm"},
    {"pid": "2", "question": "How many grams?", "answer": "1250"},
    {"pid": "3", "question": "What is it called?", "answer": "a prism"},
]
REPLIES = {"How long": reflective("A", "12 cm"), "How many": reflective("7 g", "1,250 g"), "What": "<think>hm"}


def messages_of(doc: Doc) -> list[dict[str, object]]:
    content: list[dict[str, object]] = [
        {"type": "image", "url": Image.new("RGB", (4, 4), "red")},
        {"type": "text", "text": doc["question"]},
    ]
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]


def requests(docs: Sequence[Doc] = DOCS, **limits: int) -> list[Instance]:
    kwargs: dict[str, object] = {"until": ["\n\n"], "max_new_tokens": 16, "temperature": 1.0} | limits
    return [Instance(("", messages_of, dict(kwargs), at, "mathvista", "testmini")) for at in range(len(docs))]


def fake() -> FakeGenerator:
    return FakeGenerator(
        lambda request, _: next(text for start, text in REPLIES.items() if start in request.problem.question),
        refuse=lambda request: "too large" if "refuse" in request.problem.question else None,
    )


def make(tmp_path: Path, generator: FakeGenerator, **given: int) -> ChatModel:
    model: ChatModel = ours.SrpoModel(
        generator,
        pretrained="runs/rl/model",
        trace_dir=str(tmp_path / "run"),
        batch_size="2",
        max_batch_size=None,
        **given,
    )
    model.task_dict = {"mathvista": {"testmini": DOCS}}
    return model


@pytest.mark.usefixtures("lmms")
def test_lmms_eval_gets_the_bare_answer_and_we_keep_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = fake()
    model = make(tmp_path, generator)
    assert isinstance(model, Lmms)
    assert model.is_simple is False
    found = model.generate_until(requests())
    assert [one.text for one in found] == ["B", "1250", ""]
    counts = found[0].token_counts
    assert counts is not None
    assert counts.output_tokens == len(REPLIES["How long"].split())
    model.clean()
    traces = list(RunDir.read(tmp_path / "run").traces())
    assert [trace.text for trace in traces] == list(REPLIES.values())
    assert [trace.problem.id for trace in traces] == [f"mathvista/testmini/{at}" for at in range(3)]
    parsed = traces[0].parsed
    assert isinstance(parsed, Response)
    assert parsed.first.answer == "A"
    assert [trace.final_grade.extracted for trace in traces] == ["B", "1250", None]
    assert {trace.final_grade.verdict for trace in traces} == {"ungradable"}
    assert len({trace.problem.images for trace in traces}) == 1, "one picture, stored once"
    with Image.open(traces[0].problem.images[0]) as picture:
        assert picture.size == (4, 4)
    assert run_command(["show", str(tmp_path / "run"), "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == REPLIES["How long"]


@pytest.mark.usefixtures("lmms")
def test_stop_texts_and_tiny_limits_of_tasks_are_ignored(tmp_path: Path) -> None:
    sampled: list[Sampling] = []

    class Spy(FakeGenerator):
        def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
            sampled.append(sampling)
            return super().generate(requests, sampling)

    generator = Spy(lambda *_: "first\n\nsecond\n\n<answer>7</answer>")
    model = make(tmp_path, generator, max_tokens=100)
    assert [one.text for one in model.generate_until(requests())] == ["7"] * 3
    assert [one.text for one in model.generate_until(requests(max_new_tokens=5000)[:1])] == ["7"]
    assert [(one.max_tokens, one.temperature) for one in sampled] == [(100, 0.0), (100, 0.0), (5000, 0.0)]
    model.clean()


@pytest.mark.usefixtures("lmms")
def test_our_prompt_stands_around_the_tasks_own_text(tmp_path: Path) -> None:
    generator = fake()
    model = make(tmp_path, generator)
    model.generate_until(requests()[:1])
    model.clean()
    (request,) = generator.requests
    system, user = request.messages
    assert (system.role, system.text, user.role) == ("system", "Be brief.", "user")
    assert user.text.startswith("How long?\nChoices:\n(A) 10 cm")
    assert "<reflection>" in user.text


@pytest.mark.usefixtures("lmms")
def test_refused_items_are_answered_by_nothing_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = [{"question": "refuse this", "answer": "1"}, DOCS[1]]
    model = make(tmp_path, fake())
    model.task_dict = {"mathvista": {"testmini": docs}}
    assert [one.text for one in model.generate_until(requests(docs))] == ["", "1250"]
    model.clean()
    assert "mathvista/testmini/0: no answer: too large" in capsys.readouterr().err
    first = next(RunDir.read(tmp_path / "run").traces())
    assert first.final_grade.reason == "no answer: too large"


@pytest.mark.usefixtures("lmms")
def test_what_srpo_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
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


@pytest.mark.usefixtures("lmms")
def test_model_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--model_args: give either pretrained=CHECKPOINT or model=NAME"):
        ours.read_arguments({"prompt": "bare"})
    with pytest.raises(ValueError, match=r"--model_args: pretrain: .*; there are pretrained, model, base_url"):
        ours.read_arguments({"pretrain": "x"})
    with pytest.raises(ValueError, match="unknown prompt 'rflective'"):
        ours.read_arguments({"pretrained": "x", "prompt": "rflective"})
    config = ours.read_arguments({"model": "m", "base_url": "http://localhost:1/v1", "device": None, "batch_size": 4})
    server = config.opened()
    assert isinstance(server, ServerConfig)
    assert (server.base_url, config.device) == ("http://localhost:1/v1", "auto")


@pytest.mark.usefixtures("lmms")
def test_entry_point_names_a_manifest_that_finds_the_class() -> None:
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
