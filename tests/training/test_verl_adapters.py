"""Adapters as verl holds them become the plain model that they are."""

from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch

from srpo.engines.verl.adapters import merged
from srpo.engines.verl.model import read_model
from srpo.policy.config import LoraConfig
from srpo.policy.load import load_policy

LORA = LoraConfig(rank=4, alpha=12)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_merged_state_computes_what_the_adapters_did(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    root = tiny_checkpoint(family)
    facts = read_model(str(root), LORA)
    ids = torch.arange(20, 40)[None]
    plain = load_policy(root).model
    settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=facts.adapted, task_type=peft.TaskType.CAUSAL_LM)
    wrapped = peft.get_peft_model(load_policy(root).model, settings)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if ".lora_B." in name:
                weight.normal_(std=0.3)
        adapted = wrapped(input_ids=ids).logits
        before = plain(input_ids=ids).logits
        found = merged(wrapped.state_dict(), LORA.scaled_by / LORA.rank)
        assert found.keys() == plain.state_dict().keys()
        plain.load_state_dict(found)
        after = plain(input_ids=ids).logits
    assert (adapted - before).abs().max() > 0.1
    assert torch.allclose(after, adapted, atol=1e-4)


def test_half_an_adapter_is_an_error() -> None:
    one = torch.ones(1, 1)
    state = {"base_model.model.q.base_layer.weight": one, "base_model.model.q.lora_A.default.weight": one}
    with pytest.raises(RuntimeError, match="halves of adapters are missing"):
        merged(state, 1.0)
    whole = {"base_model.model.q.lora_A.default.weight": one, "base_model.model.q.lora_B.default.weight": one}
    with pytest.raises(RuntimeError, match=r"adapter of 'base_model.model.q' has no layer"):
        merged(whole, 1.0)
    assert merged({"model.q.weight": one}, 1.0) == {"model.q.weight": one}


def test_targets_that_the_model_has_not_are_refused(tiny_checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"lora.targets \['w_proj'\] are no linear layers"):
        read_model(str(tiny_checkpoint("qwen2_5_vl")), LoraConfig(targets=("w_proj",)))
