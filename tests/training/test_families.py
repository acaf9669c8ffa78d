"""Families beside Qwen's first three: whether they share a prompt, what they say of it, and a step of each trainer."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srpo.core.rewards import RewardCase
from srpo.policy.families import MODEL_FAMILIES, why_unshared
from srpo.policy.load import load_policy
from srpo.policy.model_file import read_model_file
from srpo.runs.directory import RunDir
from tests.support.training import rl_config, sft_config, write_traces

RECURRENT = "each response computes its own prompt: recurrent layers"


def letters(case: RewardCase) -> dict[str, float]:
    """Something that samples of an untrained model differ in."""
    return {"letters": float(len(set(case.text)))}


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("qwen2_vl", None),
        ("qwen2_5_vl", None),
        ("qwen3_vl", None),
        ("internvl", None),
        ("qwen3_5", "recurrent layers"),
        ("windows", "attention in sliding windows"),
    ],
)
def test_what_the_layers_remember_decides_whether_a_prompt_is_shared(
    tiny_checkpoint: Callable[[str], Path], family: str, reason: str | None
) -> None:
    config = read_model_file(tiny_checkpoint(family)).config
    assert why_unshared(config) == reason


def test_an_unknown_architecture_is_told_which_ones_work(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), tmp_path / "other")
    path = tmp_path / "other/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "paligemma"}))
    for read in (load_policy, read_model_file):
        with pytest.raises(ValueError, match="model_type 'paligemma'") as error:
            read(tmp_path / "other")
        assert all(repr(name) in str(error.value) for name in MODEL_FAMILIES)


@pytest.mark.parametrize("family", ["internvl", "qwen3_5"])
def test_a_step_of_each_trainer_moves_the_language_model(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str
) -> None:
    from srpo.rl.run import run as run_rl
    from srpo.sft.run import run as run_sft

    base = tiny_checkpoint(family)
    sft = sft_config(base, write_traces(tmp_path), epochs=1, batch_size=16)
    with RunDir.open(tmp_path / "sft", sft, "sft") as run_dir:
        warmed = Path(run_sft(sft, run_dir).model)
    rl = rl_config(
        warmed, reward=f"{__name__}:letters", steps=1, num_prompts=2, max_tokens=12, min_format_rate=0.0,
        micro_responses=3,
    )  # fmt: skip
    with RunDir.open(tmp_path / "rl", rl, "rl") as run_dir:
        done = Path(run_rl(rl, run_dir).model)
        logged = list(run_dir.metrics())
    assert (RECURRENT in capsys.readouterr().err) == (family == "qwen3_5")
    weights = [dict(load_policy(path).model.named_parameters()) for path in (base, warmed, done)]
    for before, after in itertools.pairwise(weights):
        moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
        assert moved == {name for name in before if ".language_model." in name}
    # The sampler's log-probs are the trainer's.
    assert logged[-1]["rl/sampler_mismatch/max"] < 1e-3
