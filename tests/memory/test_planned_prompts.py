"""Prompts of a plan: those of the run's own data where it can be read, else supposed; the plan says which."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srpo.cli.main import main
from srpo.core.records import Problem
from srpo.policy import data_prompts
from srpo.policy.load import load_policy
from srpo.policy.prompts import PromptEncoder
from tests.support.training import trace

PROBLEMS = [
    Problem(id="short", question="How many?", answer="1", images=("small.png",)),
    Problem(
        id="long", question="How many red bars" + ", and blue ones" * 4, answer="2", images=("large.png", "small.png")
    ),
    Problem(id="gone", question="Which" * 40, answer="2", images=("gone.png",)),
    Problem(id="text", question="5+3=", answer="8"),
]
WHICH = "of the data, the longest text and the largest pictures of its 3 problems"
"""One has a picture that is not there, and is no problem of a run."""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (56, 56), "red").save("small.png")
    Image.new("RGB", (84, 84), "blue").save("large.png")
    rows = [one.model_dump_json() + "\n" for one in PROBLEMS]
    (tmp_path / "problems.jsonl").write_text("".join(rows))
    traces = [trace(one, "7").model_dump_json() + "\n" for one in PROBLEMS for _ in range(2)]
    (tmp_path / "traces.jsonl").write_text("".join(traces))
    return tmp_path


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    main([*words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    memory: dict[str, Any] = found.get("memory", found)
    return memory


def rl_words(model: Path) -> list[str]:
    flags = ["--prompt", "bare", "--steps", "1", "--max_tokens", "8", "--num_prompts", "2", "--group_size", "2"]
    return ["--model", str(model), "--data", "problems.jsonl", *flags]


def test_prompts_are_as_long_as_the_longest_of_the_data(
    tiny_checkpoint: Callable[[str], Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_checkpoint("qwen2_5_vl")
    encoder = PromptEncoder(load_policy(model), "bare", size=0, max_pixels=None)
    long, alone = encoder.encode_all([PROBLEMS[1], PROBLEMS[0]])
    # Both pictures of the plan are of the larger size.
    larger = encoder.encode_all([PROBLEMS[1].model_copy(update={"images": ("large.png", "large.png")})])[0]
    assert larger.num_tokens > long.num_tokens > alone.num_tokens
    plan = planned(capsys, "rl", *rl_words(model), "--dry_run")
    assert (plan["prompt_tokens"], plan["pictures"], plan["prompts"]) == (larger.num_tokens, 2, WHICH)
    assert plan["max_pixels"] == 84 * 84
    small = planned(capsys, "rl", *rl_words(model), "--dry_run", "--max_prompt_tokens", str(alone.num_tokens))
    assert (small["prompt_tokens"], small["pictures"]) == (alone.num_tokens, 1)
    scaled = planned(capsys, "rl", *rl_words(model), "--dry_run", "--max_pixels", "4000")
    assert scaled["max_pixels"] <= 4000
    assert scaled["prompt_tokens"] < larger.num_tokens


def test_a_dry_run_plans_with_a_named_gpu_as_srpo_plan_does(
    tiny_checkpoint: Callable[[str], Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_checkpoint("qwen2_5_vl")
    words = rl_words(model)
    dry = planned(capsys, "rl", *words, "--dry_run", "--gpu", "24GB")
    assert (dry["device"], dry["num_bytes"]) == ("a GPU of 24 GB", 24 * 10**9)
    (data / "rl.yaml").write_text("num_prompts: 2\n")
    assert planned(capsys, "plan", "rl.yaml", *words, "--gpu", "24GB") == dry
    assert main(["rl", *words, "--gpu", "24GB"]) == 2
    assert "gpu '24GB' is for --dry_run of sft, rl, eval; `device` says where to run" in capsys.readouterr().err


def test_every_stage_knows_the_prompts_of_its_own_data(
    tiny_checkpoint: Callable[[str], Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_checkpoint("qwen2_5_vl"))
    size = ["--max_tokens", "8", "--batch_size", "2", "--prompt", "bare", "--dry_run"]
    sft = planned(capsys, "sft", "--model", model, "--traces", "traces.jsonl", *size)
    evaluated = planned(capsys, "eval", "--model", model, "--data", "problems.jsonl", *size)
    assert evaluated["prompts"] == WHICH
    assert sft["prompts"] == WHICH.replace("3", "4"), "of the traces"
    assert sft["prompt_tokens"] == evaluated["prompt_tokens"] > 50


def test_what_is_named_or_cannot_be_known_is_said(
    tiny_checkpoint: Callable[[str], Path],
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_checkpoint("qwen2_5_vl")
    (data / "rl.yaml").write_text("num_prompts: 2\nmax_pixels: 4000\n")
    words = ["plan", "rl.yaml", *rl_words(model)]
    named = planned(capsys, *words, "--text_tokens", "40", "--pictures", "0")
    assert (named["prompts"], named["prompt_tokens"]) == ("as named", 41)
    half = planned(capsys, *words, "--pictures", "0")
    assert half["prompts"] == f"in part as named, else {WHICH}"
    assert 41 < half["prompt_tokens"] < 512
    supposed = planned(capsys, *words, "--shapes", str(model / "config.json"))
    assert supposed["prompts"] == "supposed, for nothing of the data is known here"
    assert supposed["prompt_tokens"] > 512
    main([*words, "--data", "nowhere.jsonl"])
    said = capsys.readouterr()
    assert "(prompts: supposed" in said.out
    assert "the plan's prompts are supposed, for the data cannot be read: " in said.err
    assert "nowhere.jsonl" in said.err
    monkeypatch.setattr(data_prompts, "NUM_MEASURED", 2)
    few = planned(capsys, *words)
    assert few["prompts"] == "of the data, the longest text and the largest pictures of 2 of its 3 problems"
