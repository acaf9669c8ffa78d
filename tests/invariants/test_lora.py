"""Adapters: nothing changes before they train, only they train, and what is exported is what was in memory."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srpo.policy.config import LoraConfig, OptimConfig
from srpo.policy.load import load_policy, save_policy
from srpo.policy.lora import adapters_off, merge_adapters, save_adapter
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs, plain_logprobs
from tests.support.pictures import picture
from tests.support.training import about

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "qwen3_5"]
LINEAR_LAYERS = {"qwen3_5": 8 + 7 + 8}
"""Of all blocks, where they are not two with seven."""
LORA = LoraConfig(rank=4)


def score(policy: Policy) -> torch.Tensor:
    prompt = policy.encode("How many bars?", [picture(0)])
    texts = [[policy.encode_text("I guess 7"), policy.encode_text("5+3=8")]]
    return completion_logprobs(policy, [prompt], texts).logprobs_B_T


def trained(checkpoint: Path, lora: LoraConfig = LORA, *, dtype: str = "float32") -> Policy:
    policy = load_policy(checkpoint, lora=lora, dtype=dtype)  # type: ignore[arg-type]
    optimizer = Optimizer(policy.model, OptimConfig(lr=1e-2, schedule="constant", warmup_steps=0), None)
    for _ in range(4):
        (-score(policy).sum()).backward()
        optimizer.step()
    return policy


@pytest.mark.parametrize("family", FAMILIES)
def test_training_starts_from_the_model_as_it_is_and_moves_the_adapters_alone(
    tiny_checkpoint: Callable[[str], Path], family: str
) -> None:
    plain = load_policy(tiny_checkpoint(family), trainable=False)
    assert torch.equal(score(load_policy(tiny_checkpoint(family), lora=LORA)), score(plain))
    policy = trained(tiny_checkpoint(family))
    moving = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert len(moving) == 2 * LINEAR_LAYERS.get(family, 2 * 7), "A and B of every linear layer of the blocks"
    assert all(".language_model.layers." in name and ".lora_" in name for name in moving)
    assert (score(policy) - score(plain)).abs().max() > 0.1
    weights = dict(policy.model.named_parameters())
    for name, weight in plain.model.named_parameters():
        ours = weights.get(
            name, weights.get(name.replace(".weight", ".base_layer.weight").replace(".bias", ".base_layer.bias"))
        )
        assert ours is not None
        assert torch.equal(ours, weight), name
    with torch.no_grad(), adapters_off(policy.model):
        assert torch.equal(score(policy), score(plain))
    assert {name for name, weight in policy.model.named_parameters() if weight.requires_grad} == moving


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prefix_and_plain_forward_agree_on_adapters(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    policy = trained(tiny_checkpoint(family), LoraConfig(rank=4, vision=True))
    prompts = [policy.encode("How many bars?", [picture(0)]), policy.encode("5+3=")]
    texts = [[policy.encode_text("I guess 7"), policy.encode_text("5")], [policy.encode_text("8")]]
    gradients = []
    for function in (plain_logprobs, completion_logprobs):
        policy.model.zero_grad(set_to_none=True)
        result = function(policy, prompts, texts).logprobs_B_T
        result.mean().backward()
        gradients.append({name: p.grad for name, p in policy.model.named_parameters() if p.requires_grad})
    assert any(".language_model." not in name for name in gradients[0])
    for name, gradient in gradients[0].items():
        assert gradient is not None
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=0, msg=about(name))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_merged_model_and_an_adapter_reload_as_what_was_in_memory(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, family: str, dtype: str
) -> None:
    policy = trained(tiny_checkpoint(family), dtype=dtype)
    assert all(p.dtype == torch.float32 for name, p in policy.model.named_parameters() if ".lora_" in name)
    policy.saved_dtype = policy.model.dtype
    save_policy(policy, tmp_path / "merged")
    save_adapter(policy.model, tmp_path / "adapter", str(tiny_checkpoint(family)))
    with torch.no_grad():
        apart = score(policy)
        merge_adapters(policy.model)
        together = score(policy)
        if dtype == "float32":
            torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
        for place in (tmp_path / "merged", tmp_path / "adapter", tmp_path / "merged" / "adapter"):
            again = load_policy(place, dtype=dtype, trainable=False)  # type: ignore[arg-type]
            assert torch.equal(score(again), together)
    assert {p.name for p in (tmp_path / "merged").glob("*.safetensors")} == {"model.safetensors"}


def test_an_adapter_may_stand_on_an_adapter(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    save_adapter(trained(tiny_checkpoint("qwen2_5_vl")).model, tmp_path / "one", str(tiny_checkpoint("qwen2_5_vl")))
    second = trained(tmp_path / "one", LoraConfig(rank=2))
    save_policy(second, tmp_path / "both")
    with torch.no_grad():
        merged = score(load_policy(tmp_path / "both", trainable=False))
        assert torch.equal(score(load_policy(tmp_path / "both" / "adapter", trainable=False)), merged)
        torch.testing.assert_close(merged, score(second), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_adapters_and_leaves_global_randomness_alone(
    tiny_checkpoint: Callable[[str], Path],
) -> None:
    state = torch.random.get_rng_state()
    first, second, other = (
        load_policy(tiny_checkpoint("qwen2_5_vl"), lora=LoraConfig(seed=seed)).model.state_dict() for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    name = next(name for name in first if ".lora_A." in name)
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])


def test_targets_are_layers_that_exist(tiny_checkpoint: Callable[[str], Path]) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), lora=LoraConfig(targets=("q_proj",)))
    assert {n.split(".")[-4] for n, p in policy.model.named_parameters() if p.requires_grad} == {"q_proj"}
    with pytest.raises(ValueError, match=r"lora.targets \['qproj'\] are no linear layers .*'q_proj'"):
        load_policy(tiny_checkpoint("qwen2_5_vl"), lora=LoraConfig(targets=("qproj",)))


def test_adapters_of_another_model_and_torn_ones_are_refused(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), lora=LORA)
    save_adapter(policy.model, tmp_path, "tiny-base")
    with pytest.raises(ValueError, match="of another model or rank: 50 tensors differ"):
        load_policy(tmp_path)
    save_adapter(policy.model, tmp_path, str(tiny_checkpoint("qwen2_5_vl")))
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors' is missing or damaged"):
        load_policy(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors' is missing or damaged"):
        load_policy(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"adapter_config\.json' is damaged"):
        load_policy(tmp_path)


def test_four_bits_learn_and_come_out_as_a_plain_model(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    place = tiny_checkpoint("qwen2_5_vl")
    policy = load_policy(place, lora=LORA, quantize="nf4", dtype="bfloat16")
    assert policy.model.model.language_model.layers[0].mlp.up_proj.base_layer.weight.dtype == torch.uint8
    assert policy.model.model.visual.blocks[0].mlp.up_proj.weight.dtype == torch.bfloat16
    optimizer = Optimizer(policy.model, OptimConfig(lr=1e-2, schedule="constant", warmup_steps=0), None)
    losses = []
    for _ in range(4):
        loss = -score(policy).sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    save_policy(policy, tmp_path)
    again = load_policy(tmp_path, dtype="bfloat16", trainable=False)
    with torch.no_grad():
        torch.testing.assert_close(score(again), score(policy), atol=0.2, rtol=0)
    with pytest.raises(ValueError, match="four-bit weights cannot be trained; add a `lora` block"):
        load_policy(place, quantize="nf4")
    with pytest.raises(ValueError, match="adapters cannot be merged into four bits"):
        load_policy(tmp_path / "adapter", quantize="nf4", trainable=False)


def test_four_bits_without_bitsandbytes_are_refused(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ValueError, match=r"needs bitsandbytes, which is not installed: pip install 'srpo\[qlora\]'"):
        load_policy(tiny_checkpoint("qwen2_5_vl"), quantize="nf4", lora=LORA)
