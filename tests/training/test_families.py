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
from srpo.policy.limits import row_bytes
from srpo.policy.load import load_policy
from srpo.policy.model_file import read_model_file
from srpo.policy.plain import PlainRows
from srpo.policy.sizes import check_sizes
from srpo.runs.directory import RunDir
from tests.support.pictures import picture
from tests.support.training import rl_config, sft_config, write_traces

UNSHARED = {"qwen3_5": "recurrent layers", "gemma3": "attention in sliding windows"}


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
        *UNSHARED.items(),
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


def test_what_of_gemma_is_not_supported_is_refused(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    for file, change, message in (
        ("config.json", {"final_logit_softcapping": 30.0}, "caps its logits"),
        ("preprocessor_config.json", {"do_pan_and_scan": True}, "do_pan_and_scan True"),
    ):
        directory = tmp_path / file
        shutil.copytree(tiny_checkpoint("gemma3"), directory)
        values = json.loads((directory / file).read_text())
        (values["text_config"] if file == "config.json" else values).update(change)
        (directory / file).write_text(json.dumps(values))
        with pytest.raises(ValueError, match=message):
            load_policy(directory)


def test_sizes_that_published_gemmas_leave_to_the_default_are_not_asked_for(
    tiny_checkpoint: Callable[[str], Path],
) -> None:
    config = json.loads((tiny_checkpoint("gemma3") / "config.json").read_text())
    for name in ("num_attention_heads", "vocab_size"):
        del config["text_config"][name]
    check_sizes(config, "gemma")
    del config["text_config"]["hidden_size"]
    with pytest.raises(ValueError, match="how large the model is: hidden_size must"):
        check_sizes(config, "gemma")


@pytest.mark.parametrize("family", ["internvl", *UNSHARED])
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
    said = capsys.readouterr().err
    assert ("each response computes its own prompt" in said) == (family in UNSHARED)
    assert UNSHARED.get(family, "") in said
    weights = [dict(load_policy(path).model.named_parameters()) for path in (base, warmed, done)]
    for before, after in itertools.pairwise(weights):
        moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
        assert moved == {name for name in before if ".language_model." in name}
    # The sampler's log-probs are the trainer's.
    assert logged[-1]["rl/sampler_mismatch/max"] < 1e-3


@pytest.mark.parametrize("family", ["qwen3_5", "gemma3", "windows"])
def test_what_a_row_keeps_is_what_the_limits_count(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    policy = load_policy(tiny_checkpoint(family))
    prompts = [policy.encode("How many bars?", [picture(0)]), policy.encode("5+3=")]
    with torch.inference_mode():
        rows = PlainRows(policy, prompts, torch.tensor([0, 0, 1]), [[], [], []])
    kept = 0
    for layer in rows.cache.layers:
        states = [*getattr(layer, "conv_states", {}).values(), *getattr(layer, "recurrent_states", {}).values()]
        kept += sum(one.nbytes for one in states or [layer.keys, layer.values])
    assert kept == 3 * row_bytes(policy, max(prompt.num_tokens for prompt in prompts))
