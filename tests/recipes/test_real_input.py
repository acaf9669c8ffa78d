"""Real photographs and questions, and pictures of every kind, through the commands, with a random tiny model.

Accuracy is of no interest here: the point is that real input flows and that every row is accounted for.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srpo.core.records import Problem, Sampling
from srpo.data.check import BAD_PICTURE
from srpo.models.fake import FakeGenerator
from srpo.models.local import LocalGenerator
from srpo.models.protocol import Message, Request
from srpo.reflect.config import ReflectConfig
from srpo.reflect.run import run as reflect
from srpo.runs.directory import RunDir
from srpo.runs.rejects import read_rejected

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared benchmark data beside the checkout")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from srpo.tiny.model import TinyConfig, build_tiny

    texts = [
        "How many bars are higher than 3? As shown in the figure, find the length of the line segment.",
        "Look at the picture again. The first step of the attempt goes wrong. Known solution, for your eyes only.",
    ]
    return build_tiny(TinyConfig(), texts * 10, tmp_path_factory.mktemp("tiny") / "model", seed=0)


def srpo(*words: str | Path, code: int = 0) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-m", "srpo", *map(str, words), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == code, result.stderr
    return dict(json.loads(result.stdout))


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@needs_shared
@pytest.mark.parametrize(("name", "rows", "usable"), [("mmk12", 200, 200), ("mathvision", 3040, 304)])
def test_eval_takes_real_problems(tiny: Path, tmp_path: Path, name: str, rows: int, usable: int) -> None:
    out = tmp_path / "run"
    words = ("eval", "recipes/tiny/eval.yaml", "--model", tiny, "--data", SHARED / name, "--out", out)
    found = srpo(*words, "--max_tokens", "24")
    assert (found["rows"], found["answered"], found["refused"]) == (rows, usable, 0)
    assert lines(out / "traces.jsonl") == usable
    assert lines(out / "rejected.jsonl") == rows - usable
    assert all("no such file" in row.detail and row.place for row in read_rejected(out))
    stages = found["stages"]
    assert isinstance(stages, list)
    assert stages[0]["n"] + stages[0]["ungradable"] == usable


@needs_shared
# MathVision 1050 is 773 once more: scanned anew, options in another order. A gold of MMK12 can be reached by no answer.
@pytest.mark.parametrize(("name", "usable"), [("mmk12", 199), ("mathvision", 303)])
def test_reflect_takes_real_problems_and_says_what_it_rejects(
    tiny: Path, tmp_path: Path, name: str, usable: int
) -> None:
    out = tmp_path / "run"
    words = ("reflect", "recipes/tiny/reflect.yaml", "--model", tiny, "--data", SHARED / name, "--teacher", "policy")
    found = srpo(*words, "--out", out, "--max_tokens", "16", "--num_samples", "2")
    assert found["attempts"] == 2 * usable
    rejected = found["rejected"]
    assert isinstance(rejected, dict)
    lost = sum(sum(rejected.get(where, {}).values()) for where in ("attempt", "gold", "teacher", "selection"))
    assert lost + int(str(found["selected"])) == 2 * usable
    assert rejected["attempt"]


@needs_shared
def test_a_model_as_teacher_sees_real_pictures(tiny: Path, tmp_path: Path) -> None:
    from srpo.policy.load import load_policy

    cfg = ReflectConfig.model_validate(
        {
            "model": str(tiny),
            "data": str(SHARED / "mmk12"),
            "limit": 12,
            "teacher": {"model": "policy", "max_tokens": 12, "retries": 1},
            "num_samples": 1,
            "batch_size": 6,
        }
    )
    teacher = LocalGenerator(load_policy(tiny, trainable=False), max_pixels=50_176)
    policy = FakeGenerator(lambda *_: "<think>I guess</think><answer>12345</answer>")
    with RunDir.open(tmp_path / "run", cfg, "reflect") as run_dir:
        result = reflect(cfg, run_dir, policy=policy, teacher=teacher)
    assert (result.asked, result.requests, result.selected) == (12, 24, 0)
    assert set(result.rejected["teacher"]) <= {"truncated", "format", "final answer wrong"}


def odd_pictures(folder: Path) -> dict[str, bool]:
    """Pictures of all modes and sizes; the value says whether a model can look at it."""
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 255, (60, 90, 3), dtype=np.uint8))
    good: dict[str, Callable[[], Image.Image]] = {
        **{f"{mode.lower()}.png": partial(base.convert, mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
        "cmyk.jpg": lambda: base.convert("CMYK"),
        "i16.png": lambda: Image.fromarray(rng.integers(0, 65535, (40, 40), dtype=np.uint16)),
        "one.png": lambda: base.resize((1, 1)),
        "thin.png": lambda: base.resize((1, 1000)),
        "wide.png": lambda: base.resize((1000, 1)),
        "photo.jpg": lambda: base.resize((3000, 2000)),
    }
    for name, make in good.items():
        make().save(folder / name)
    whole = (folder / "photo.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not found")
    return {**dict.fromkeys(good, True), "cut.jpg": False, "empty.png": False, "text.png": False}


def test_pictures_of_every_kind_work_or_are_named(tiny: Path, tmp_path: Path) -> None:
    pictures = odd_pictures(tmp_path)
    data = tmp_path / "questions.jsonl"
    rows = [{"id": name, "question": "How many?", "answer": "3", "image": name} for name in pictures]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "run"
    recipe = ("eval", "recipes/tiny/eval.yaml", "--model", tiny, "--data", tmp_path, "--out", out)
    found = srpo(*recipe, "--max_tokens", "8")
    assert (found["rows"], found["refused"], found["adjusted_pictures"]) == (15, 3, 2)
    refused = {row.id: row.detail for row in read_rejected(out)}
    assert refused.keys() == {name for name, works in pictures.items() if not works}
    assert all(str(tmp_path / name) in detail for name, detail in refused.items())
    checked = srpo("data", "check", tmp_path, code=1)
    assert checked["counts"] == {BAD_PICTURE: 3}


def test_texts_do_not_depend_on_the_process(tiny: Path, tmp_path: Path) -> None:
    from srpo.policy.load import load_policy

    Image.new("RGB", (300, 200), "blue").save(tmp_path / "a.png")
    problem = Problem(id="1", question="How many?", answer="3", images=(str(tmp_path / "a.png"),))
    request = Request(problem=problem, messages=(Message(role="user", text=problem.question),), num_samples=3)
    other = request.model_copy(update={"messages": (Message(role="user", text="Why is it so?"),)})
    texts = []
    for _ in range(2):
        generator = LocalGenerator(load_policy(tiny, trainable=False))
        assert generator.inspect(request).num_tokens > 9
        texts.append(generator.generate([request], Sampling(max_tokens=12, seed=5)))
    assert texts[0] == texts[1]
    assert len({one.text for one in texts[0][0]}) == 3
    greedy = Sampling(temperature=0.0, max_tokens=12)
    assert generator.generate([request], greedy)[0] == generator.generate([other, request], greedy)[1]
    assert generator.generate([request], Sampling(max_tokens=12, seed=6)) != texts[0]


def test_a_prompt_that_does_not_fit_is_refused_with_its_length(tiny: Path) -> None:
    from srpo.policy.load import load_policy

    generator = LocalGenerator(load_policy(tiny, trainable=False))
    problem = Problem(id="1", question="q", answer="3")
    request = Request(problem=problem, messages=(Message(role="user", text="7 " * 5000),))
    reason = generator.inspect(request).reason
    assert reason is not None
    assert "the model has 4096 positions" in reason
    picture = Request(problem=problem, messages=(Message(role="user", text="<|image_pad|>"),))
    assert generator.inspect(picture).reason is None, "a control token in a question is text"


def spoil(out: Path, words: tuple[str | Path, ...], step: int) -> None:
    """Start a stage and kill it when it has saved so many steps."""
    command = [sys.executable, "-m", "srpo", *map(str, words)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    saved = out / "checkpoints" / f"step-{step:06d}"
    deadline = time.monotonic() + 300
    while process.poll() is None and not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    killed = process.poll() is None
    process.kill()
    _, errors = process.communicate()
    assert killed, f"ended by itself: {errors.decode()}"


@pytest.mark.parametrize("stage", ["eval", "reflect"])
def test_a_stage_killed_twice_ends_like_one_that_was_not(tiny: Path, tmp_path: Path, stage: str) -> None:
    words = (stage, f"recipes/tiny/{stage}.yaml", "--model", tiny, "--limit", "60", "--batch_size", "4")
    whole, out = tmp_path / "whole", tmp_path / "killed"
    expected = srpo(*words, "--out", whole)
    for step in (2, 7):
        spoil(out, (*words, "--out", out), step)
    found = srpo(*words, "--out", out)
    for timed in (expected, found):
        for row in timed.get("stages", ()):
            row.pop("seconds")
    assert found == expected
    for name in ("traces.jsonl", "rejected.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
