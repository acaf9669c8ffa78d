"""The estimate of a GPU's memory on verl against what torch keeps, and against itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers

from srpo.engines.verl.memory import Learning, gpu_memory, layer_bytes
from srpo.engines.verl.model import outline, read_model
from srpo.policy.config import LoraConfig
from srpo.policy.engine import EngineConfig
from srpo.policy.load import load_policy

TOKENS = 96
LEARNING = Learning(stage="rl", tokens=TOKENS, value_bytes=4, recompute=True, frozen=True)


def kept_bytes(root: Path, num_layers: int, *, recompute: bool) -> int:
    """What the stock model keeps for its backward pass, with that many layers."""
    config = transformers.AutoConfig.from_pretrained(root)
    config.text_config.num_hidden_layers = num_layers
    config.text_config.layer_types = ["full_attention"] * num_layers
    model = transformers.AutoModelForImageTextToText.from_config(config)
    if recompute:
        model.train()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    own = {weight.data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.arange(TOKENS)[None] % 300
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.model(input_ids=ids).last_hidden_state
    assert hidden.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_activations_are_about_what_torch_keeps(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    root = tiny_checkpoint(family)
    model = read_model(str(root))
    width, layers = layer_bytes(outline(root).config.get_text_config(), 4)
    whole = gpu_memory(model, EngineConfig(gpus=1), LEARNING._replace(recompute=False))
    assert whole.activations == TOKENS * width * layers
    # Of four layers more, so that what stands around the layers does not count.
    measured = (kept_bytes(root, 6, recompute=False) - kept_bytes(root, 2, recompute=False)) / 4
    assert TOKENS * width == pytest.approx(measured, rel=0.35)
    some = gpu_memory(model, EngineConfig(gpus=1), LEARNING)
    inputs = (some.activations - TOKENS * width) / layers
    measured = (kept_bytes(root, 6, recompute=True) - kept_bytes(root, 2, recompute=True)) / 4
    assert inputs == pytest.approx(measured, rel=0.05)


def test_what_does_not_train_weighs_less(tiny_checkpoint: Callable[[str], Path]) -> None:
    root, lora = tiny_checkpoint("qwen2_5_vl"), LoraConfig(rank=2)
    model = read_model(str(root), lora)
    policy = load_policy(root, lora=lora)
    one = gpu_memory(model, EngineConfig(gpus=1), LEARNING._replace(lora_rank=2))
    assert one.num_trained == sum(weight.numel() for weight in policy.model.parameters() if weight.requires_grad)
    assert one.learning == 4 * one.num_weights + 16 * one.num_trained
    full = gpu_memory(model, EngineConfig(gpus=1), LEARNING._replace(frozen=False, keeps_reference=True))
    assert (full.num_trained, full.learning) == (full.num_weights, 16 * full.num_weights)
    assert full.reference == 4 * full.num_weights
    shared = gpu_memory(model, EngineConfig(gpus=4), LEARNING._replace(frozen=False))
    assert (shared.learning, shared.activations) == (full.learning // 4, full.activations)
    assert "at the peak" in "\n".join(shared.lines())
    assert gpu_memory(model, EngineConfig(gpus=1), LEARNING._replace(stage="sft")).logits * 2 == full.logits
