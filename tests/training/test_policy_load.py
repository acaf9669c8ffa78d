"""Loading, saving, the tiny model, threads and the check that the picture matters."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from srpo.policy.load import load_policy, save_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from srpo.policy.threads import configure_threads
from srpo.policy.vision_check import MIN_EFFECT, image_effect
from srpo.tiny.model import TinyConfig, build_tiny
from tests.support.pictures import picture


def score(policy: Policy) -> torch.Tensor:
    prompt = policy.encode("How many bars?", [picture(0)])
    with torch.no_grad():
        return completion_logprobs(policy, [prompt], [[policy.encode_text("I guess 7")]]).logprobs_B_T


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "internvl", "qwen3_5"])
def test_save_and_load_give_the_same_policy(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    policy = load_policy(tiny_checkpoint(family))
    save_policy(policy, tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    assert torch.equal(score(again), score(policy))
    assert again.banned_ids == policy.banned_ids
    assert again.name == str(tmp_path / "saved")


@pytest.mark.parametrize(
    ("family", "class_name"),
    [("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"), ("qwen3_vl", "Qwen3VLForConditionalGeneration")],
)
def test_plain_transformers_reads_the_tiny_checkpoint(
    tiny_checkpoint: Callable[[str], Path], family: str, class_name: str
) -> None:
    directory = tiny_checkpoint(family)
    model = getattr(transformers, class_name).from_pretrained(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    assert model.config.model_type == family
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.decode([tokenizer.eos_token_id]) == "<|im_end|>"


def test_tiny_is_reproducible_and_leaves_global_randomness_alone(tmp_path: Path) -> None:
    config = TinyConfig(hidden_size=32, num_layers=1, vision_depth=1, num_merges=20)
    state = torch.random.get_rng_state()
    first = build_tiny(config, ["one two two three"] * 9, tmp_path / "a", seed=1)
    second = build_tiny(config, ["one two two three"] * 9, tmp_path / "b", seed=1)
    other = build_tiny(config, ["one two two three"] * 9, tmp_path / "c", seed=2)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_default_size_is_below_a_million_parameters(tmp_path: Path) -> None:
    policy = load_policy(build_tiny(TinyConfig(), ["How many bars?"] * 9, tmp_path, seed=0))
    assert 0.8e6 < sum(parameter.numel() for parameter in policy.model.parameters()) < 1e6


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TinyConfig(hidden_size=100), "hidden_size 100"),
        (TinyConfig(num_kv_heads=3), "num_heads 4"),
        (TinyConfig(vision_size=40), "vision_size 40"),
        (TinyConfig(image_size=80), "image_size 80"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, config: TinyConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_tiny(config, [], tmp_path, seed=0)


def num_trainable(policy: Policy) -> int:
    return sum(parameter.requires_grad for parameter in policy.model.parameters())


def test_freezing(tiny_checkpoint: Callable[[str], Path]) -> None:
    directory = tiny_checkpoint("qwen2_5_vl")
    everything = load_policy(directory, freeze_vision=False)
    frozen = load_policy(directory)
    vision = list(frozen.model.model.visual.parameters())
    assert vision
    assert not any(parameter.requires_grad for parameter in vision)
    assert num_trainable(frozen) == num_trainable(everything) - len(vision)
    assert num_trainable(load_policy(directory, trainable=False)) == 0


def test_banned_ids_are_control_tokens_and_rows_without_a_token(tiny_policy: Policy) -> None:
    names = set(tiny_policy.tokenizer.convert_ids_to_tokens(list(tiny_policy.banned_ids)))
    assert names == {
        "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|endoftext|>",
    }  # fmt: skip
    assert tiny_policy.end_id not in tiny_policy.banned_ids
    rows = tiny_policy.vocab_size
    tiny_policy.model.resize_token_embeddings(rows + 5)
    padded = Policy(tiny_policy.model, tiny_policy.processor, name="padded")
    assert set(padded.banned_ids) - set(tiny_policy.banned_ids) == set(range(rows, rows + 5))


def test_bad_checkpoints_are_named(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint directory '\./nowhere'"):
        load_policy("./nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file"):
        load_policy(tmp_path / "file")
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ValueError, match="model_type 'llama'; supported are 'qwen2_vl'"):
        load_policy(tmp_path)
    for family in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family, "vision_config": {"depth": 2}}))
        with pytest.raises(ValueError, match=r"hidden_size, num_hidden_layers, .*vision_config\.hidden_size must be"):
            load_policy(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text((tiny_checkpoint("qwen2_5_vl") / "config.json").read_text())
    with pytest.raises(ValueError, match="incomplete or damaged"):
        load_policy(tmp_path)


def test_a_hub_name_out_of_reach_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as caught:
        load_policy("some-org/some-model")
    assert "'some-org/some-model'" in str(caught.value)
    assert "hf download some-org/some-model --local-dir DIR" in str(caught.value)


def test_loading_prints_nothing(tiny_checkpoint: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"))
    policy.encode("How many bars?", [picture(0)])
    assert capfd.readouterr() == ("", "")


def test_threads_are_configured_without_torch() -> None:
    code = (
        "import os, sys\n"
        "from srpo.policy.threads import configure_threads\n"
        "import srpo.tiny.model\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "print(configure_threads(1), [os.environ[k] for k in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "1 ['1', 'passive', '0']\n"
    with pytest.raises(ValueError, match="at least 1, got 0"):
        configure_threads(0)


def test_pictures_matter_to_a_working_policy_and_not_to_a_blind_one(tiny_policy: Policy) -> None:
    prompts = [
        tiny_policy.encode("How many bars?", [picture(0)]),
        tiny_policy.encode("5+3="),
        tiny_policy.encode("Which two?", [picture(1)]),
        tiny_policy.encode("How many?", [picture(2, 60, 120)]),
    ]
    completions = [[tiny_policy.encode_text("I guess 7")] for _ in prompts]
    effect = image_effect(tiny_policy, prompts, completions)
    assert effect.num_prompts == 3
    assert effect.max_abs > 100 * MIN_EFFECT
    assert effect.max_abs >= effect.mean_abs > 0
    with torch.no_grad():
        tiny_policy.model.model.visual.merger.mlp[-1].weight.zero_()
    assert image_effect(tiny_policy, prompts, completions).max_abs < MIN_EFFECT
    with pytest.raises(ValueError, match="none of the 1 prompts has a picture"):
        image_effect(tiny_policy, prompts[1:2], completions[1:2])


def test_equal_pictures_are_blanked_instead_of_swapped(tiny_policy: Policy) -> None:
    prompts = [tiny_policy.encode("How many bars?", [picture(0)])] * 2
    completions = [[tiny_policy.encode_text("I guess 7")]] * 2
    assert image_effect(tiny_policy, prompts, completions).max_abs > 100 * MIN_EFFECT


def _rewritten(checkpoint: Path, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a checkpoint with other tensors."""
    shutil.copytree(checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _drop_layer(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if "layers.0.mlp" in name]:
        del tensors[name]


def _add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.language_model.layers.99.mlp.up_proj.weight"] = torch.zeros(2, 2)


def _reshape(tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name in tensors if name.endswith("layers.0.mlp.up_proj.weight"))
    tensors[name] = torch.zeros(3, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop_layer, r"does not fit its config.json: \d tensors of the model are missing, e.g. .*layers.0.mlp"),
        (_add, r"1 tensors are not of this model, e.g. .*layers.99.mlp.up_proj"),
        (_reshape, "does not fit its config.json"),
    ],
)
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_checkpoint_whose_tensors_are_not_those_of_its_config_is_refused(
    tiny_checkpoint: Callable[[str], Path],
    tmp_path: Path,
    family: str,
    change: Callable[[dict[str, torch.Tensor]], None],
    message: str,
) -> None:
    changed = _rewritten(tiny_checkpoint(family), tmp_path / "changed", change)
    with pytest.raises(ValueError, match=message):
        load_policy(changed)


@pytest.mark.parametrize("size", [0, 7, 200, 5000])
def test_torn_weights_are_a_named_error(tiny_checkpoint: Callable[[str], Path], tmp_path: Path, size: int) -> None:
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), tmp_path / "torn")
    weights = tmp_path / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ValueError, match="torn' is incomplete or damaged"):
        load_policy(tmp_path / "torn")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors.index.json", b"{}"),
        ("model.safetensors.index.json", b"["),
        ("model.safetensors.index.json", b'{"metadata": {}, "weight_map": {"a": "../../etc/passwd"}}'),
        ("pytorch_model.bin", b"no pickle"),
        ("pytorch_model.bin", pickle.dumps({"a": print})),
        ("pytorch_model.bin", b""),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_of_other_kinds_that_are_damaged_are_named(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, file: str, content: bytes
) -> None:
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), tmp_path / "bad")
    (tmp_path / "bad/model.safetensors").unlink()
    (tmp_path / "bad" / file).write_bytes(content)
    with pytest.raises(ValueError, match="bad' is incomplete or damaged"):
        load_policy(tmp_path / "bad")


def test_pictures_are_cut_as_the_vision_tower_reads_them(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), tmp_path / "bad")
    path = tmp_path / "bad/preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"patch_size": 7}))
    with pytest.raises(ValueError, match=r"has patch_size 7, and the vision_config of config\.json patch_size \d+"):
        load_policy(tmp_path / "bad")
