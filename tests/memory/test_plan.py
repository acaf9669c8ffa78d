"""The memory plan against what a process takes, against itself at full depth, and as a command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from srpo.cli.main import main
from srpo.cli.stage import StageCommand
from srpo.policy import measure
from srpo.policy.model_file import read_model_file
from srpo.policy.plan import Job, MemoryPlan, Target, parse_gpu, plan_memory
from srpo.rl.config import RlConfig
from srpo.rl.memory import planned_tokens, rl_job
from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig
from srpo.sft.memory import sft_job

TEXT_TOKENS = 64
CPU = Target("this machine", 8 * 10**9, is_gpu=False)
GPU = Target("a GPU of 8 GB", 8 * 10**9, is_gpu=True)
RL = {"model": "x", "data": "x.jsonl", "steps": 1, "dtype": "float32", "max_pixels": 80_000, "num_prompts": 2}
SFT = {"model": "x", "traces": ["x"], "dtype": "float32", "max_pixels": 80_000, "batch_size": 6}
SIZES: dict[str, tuple[int, int, str, dict[str, Any]]] = {
    "a group at once": (192, 6, "rl", {**RL, "group_size": 6, "max_tokens": 192, "micro_prompts": 1}),
    "adapters, layers computed again, few responses at a time": (
        256,
        8,
        "rl",
        {
            **RL,
            "group_size": 8,
            "max_tokens": 256,
            "micro_prompts": 1,
            "micro_responses": 4,
            "lora": {},
            "recompute": True,
        },
    ),
    "a batch of targets": (320, 4, "sft", {**SFT, "max_tokens": 160, "optim": {"name": "adamw8bit"}}),
}


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "internvl": ("rl", {**RL, "group_size": 6, "max_tokens": 192, "micro_prompts": 1}),
    "gemma3": ("sft", {**SFT, "max_tokens": 160, "batch_size": 4}),
    "qwen3_5": ("rl", {**RL, "group_size": 6, "max_tokens": 192, "micro_prompts": 1, "micro_responses": 3}),
}
"""A group at once; where it shares no prompt, half of it."""


def write_model(folder: Path, width: int, depth: int) -> Path:
    """A Qwen2.5-VL of another size."""
    vision = {
        "depth": 3, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": width,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
        "fullatt_block_indexes": [1], "in_channels": 3, "hidden_act": "silu",
    }  # fmt: skip
    settings = {
        "model_type": "qwen2_5_vl", **text_sizes(width, depth), "tie_word_embeddings": False,
        "rope_scaling": {"type": "mrope", "mrope_section": [width // 32, 3 * width // 64, 3 * width // 64]},
        **TOKEN_IDS, "vision_config": vision,
    }  # fmt: skip
    path = folder / "model.json"
    path.write_text(json.dumps(settings))
    return path


WINDOWS = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"] * 2
TOKEN_IDS = {"image_token_id": 4000, "video_token_id": 4001, "vision_start_token_id": 4002, "vision_end_token_id": 4003}


def text_sizes(width: int, depth: int) -> dict[str, int]:
    return {
        "hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": depth, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 4096,
    }  # fmt: skip


def write_other(folder: Path, family: str) -> Path:
    """A model of another family."""
    vision: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128}
    text: dict[str, Any] = text_sizes(192, 8)
    if family == "internvl":
        vision |= {"num_hidden_layers": 3, "num_attention_heads": 4, "image_size": [112, 112], "patch_size": [14, 14]}
        text |= {"model_type": "qwen2"}
        (folder / "preprocessor_config.json").write_text(json.dumps({"max_patches": 4}))
    elif family == "gemma3":
        vision |= {"model_type": "siglip_vision_model", "num_hidden_layers": 3, "num_attention_heads": 4,
                   "image_size": 224, "patch_size": 14, "vision_use_head": False}  # fmt: skip
        text |= {"head_dim": 48, "query_pre_attn_scalar": 48, "sliding_window": 64, "layer_types": WINDOWS}
    else:
        vision |= {"depth": 3, "num_heads": 4, "out_hidden_size": 192, "patch_size": 14}
        text |= {
            "head_dim": 48, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 32,
            "linear_value_head_dim": 48,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5,
                                "mrope_section": [4, 4, 4], "mrope_interleaved": True},
        }  # fmt: skip
    path = folder / "config.json"
    own: dict[str, Any] = {"mm_tokens_per_image": 64} if family == "gemma3" else {}
    values = {"model_type": family, "text_config": text, "vision_config": vision, **TOKEN_IDS, **own}
    path.write_text(json.dumps(values))
    return path


def job_of(stage: str, settings: dict[str, Any]) -> Job:
    if stage == "rl":
        return rl_job(RlConfig.model_validate(settings))
    return sft_job(SftConfig.model_validate(settings))


def plan_of(path: Path, stage: str, settings: dict[str, Any], target: Target = CPU) -> MemoryPlan:
    return plan_memory(job_of(stage, settings), read_model_file(path), target, text_tokens=TEXT_TOKENS)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of a process")
@pytest.mark.parametrize("name", SIZES)
def test_a_process_takes_what_the_plan_says(tmp_path: Path, name: str) -> None:
    width, depth, stage, settings = SIZES[name]
    compare(name, write_model(tmp_path, width, depth), stage, settings)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of a process")
def test_a_process_that_runs_the_forms_of_a_gpu_takes_what_the_plan_says(tmp_path: Path) -> None:
    width, depth, stage, settings = SIZES["a group at once"]
    compare("padded", write_model(tmp_path, width, depth), stage, settings | {"recompute": False}, GPU)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the peak of a process")
@pytest.mark.parametrize("family", OTHERS)
def test_a_process_takes_what_the_plan_says_of_other_families(tmp_path: Path, family: str) -> None:
    stage, settings = OTHERS[family]
    compare(family, write_other(tmp_path, family), stage, settings)


def compare(name: str, path: Path, stage: str, settings: dict[str, Any], target: Target = CPU) -> None:
    """Plan, and run in a process of its own."""
    # The allocator hands back at once what is freed, as far as it can.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    words = [str(path), stage, json.dumps(settings), str(TEXT_TOKENS), "cuda" if target.is_gpu else "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.memory.measured_step", *words],
        env=environment, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    measured = int(done.stdout)
    planned = max(phase.total for phase in plan_of(path, stage, settings, target).phases if phase.name != "sampling")
    print(f"{name}: measured {measured / 1e6:.0f} MB, planned {planned / 1e6:.0f} MB")
    assert 0.85 * measured <= planned <= 1.15 * measured


def test_the_line_through_a_few_layers_ends_where_all_layers_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, _, stage, settings = SIZES["a group at once"]
    path = write_model(tmp_path, width, 8)
    by_line = plan_of(path, stage, settings)
    monkeypatch.setattr(measure, "DEPTHS", (7, 8))
    whole = plan_of(path, stage, settings)
    for ours, theirs in zip(by_line.phases, whole.phases, strict=True):
        assert ours.total == pytest.approx(theirs.total, rel=0.01)


def test_pictures_are_in_learning_where_the_tower_trains_and_nowhere_without_any(tmp_path: Path) -> None:
    width, _, stage, settings = SIZES["a group at once"]
    path, settings = write_model(tmp_path, width, 4), settings | {"max_tokens": 32, "micro_prompts": None}
    frozen, trained = (plan_of(path, stage, settings | {"freeze_vision": freeze}) for freeze in (True, False))
    learning, with_tower = (next(one for one in plan.phases if one.name == "learning") for plan in (frozen, trained))
    assert (learning.pictures, learning.gradients) == (0, 0), "one pass a step finds no gradients"
    assert with_tower.pictures == 2 * 400 * 1176 * 4
    assert with_tower.total > learning.total
    text = plan_memory(job_of(stage, settings), read_model_file(path), CPU, text_tokens=TEXT_TOKENS, pictures=0)
    assert {one.pictures for one in text.phases} == {0}


def test_a_run_that_does_not_fit_is_told_what_to_lower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path, 192, 6)
    config = tmp_path / "rl.yaml"
    config.write_text("model: nowhere\ndata: x.jsonl\nsteps: 1\nmax_pixels: 80000\nmax_tokens: 192\nnum_prompts: 8\n")
    assert main(["plan", str(config), "--shapes", str(path), "--gpu", "0.4GB", "--json"]) == 1
    plan = json.loads(capsys.readouterr().out)
    assert plan["lower"][0]["field"] in {"micro_prompts", "lora"}
    assert len(plan["lower"]) == 3
    assert main(["plan", str(config), "--shapes", str(path), "--gpu", "8GB", "--micro_prompts", "1"]) == 0
    text = capsys.readouterr().out
    assert "it fits" in text
    assert "largest that fit: micro_prompts 8" in text


def test_a_run_that_is_out_of_memory_ends_with_its_plan(tmp_path: Path) -> None:
    path = write_model(tmp_path, 192, 6)

    def work(_: SftConfig, __: RunDir) -> None:
        torch.empty(2**50)

    words = ["--model", str(path), "--traces", "x", "--device", "cpu", "--out", str(tmp_path / "run")]
    words += ["--max_pixels", "80000", "--max_tokens", "64", "--batch_size", "2", "--micro_batch_size", "1"]
    with pytest.raises(ValueError, match="out of memory") as error:
        StageCommand("sft", SftConfig, work).run("srpo sft", words)
    assert "memory of `srpo sft` with model: prompts of" in str(error.value)
    assert " -> " in str(error.value), "it says what to lower"


def test_an_amount_of_memory_is_read_or_refused() -> None:
    assert parse_gpu("24GB").num_bytes == 24 * 10**9
    assert parse_gpu("40 gib").num_bytes == 40 * 2**30
    with pytest.raises(ValueError, match="write for instance 24GB"):
        parse_gpu("big")


def test_a_gpu_learns_from_as_many_tokens_as_the_plan_has_room_for(tmp_path: Path) -> None:
    model = read_model_file(write_model(tmp_path, 192, 6))
    config = RlConfig.model_validate({**RL, "group_size": 6, "max_tokens": 192, "num_prompts": 8})
    one = plan_memory(rl_job(config.model_copy(update={"micro_prompts": 1})), model, GPU)
    group = one.prompt_tokens + 6 * 192
    assert planned_tokens(config, model, GPU) == 8 * group
    learning = max(phase.total for phase in one.phases if phase.name == "learning")
    tight = GPU._replace(num_bytes=int(0.8 * learning))
    found = planned_tokens(config, model, tight)
    assert one.prompt_tokens < found < group
    assert plan_memory(rl_job(config.model_copy(update={"micro_tokens": found})), model, tight).fits
