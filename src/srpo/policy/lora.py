"""Adapters: low-rank updates B·A beside linear layers whose own weights do not move (Hu et al. 2021), through peft.

They are injected into the stock modules, so everything else (shared prefix, sampler, optimizer) runs unchanged. Their
weights are float32 whatever the model's type: in bfloat16 most steps at usual learning rates would round to nothing.

    add_adapters(model, LoraConfig(rank=16))
    with adapters_off(model): ...                # the model as it was: the reference of the KL term
    save_adapter(model, directory, base="Qwen/Qwen2.5-VL-3B-Instruct")
    state = merged_tensors(model)                # the tensors of a plain model
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srpo.policy.config import LoraConfig
from srpo.policy.families import family_of

ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_NAME = "default"
_PREFIX = "base_model.model."
"""What peft puts before the name of every tensor in its files."""
_PLAIN = {"use_dora": False, "bias": "none", "modules_to_save": None, "lora_bias": False, "fan_in_fan_out": False}
"""Settings of a foreign adapter beyond which it is no B·A any more."""


def add_adapters(model: nn.Module, config: LoraConfig) -> None:
    """Freeze the model and inject adapters that train.

    Raises:
        ValueError: a target is no linear layer of the model.
    """
    import peft

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.scaled_by,
        target_modules=adapted_layers(model, config, family_of(model).vision_blocks),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        _inject(model, settings)


def adapted_layers(model: nn.Module, config: LoraConfig, vision_blocks: str) -> str:
    """The layers that are adapted, as a regular expression of their names; the model needs no weights.

    Raises:
        ValueError: a target is no linear layer of the model.
    """
    blocks = ["language_model.layers", *([vision_blocks] if config.vision else [])]
    present = {name for block in blocks for name in _linear_layers(model.get_submodule(f"model.{block}"))}
    if unknown := sorted(set(config.targets) - present):
        raise ValueError(
            f"lora.targets {unknown} are no linear layers of this model's blocks; they are called {sorted(present)}"
        )
    places, names = ("|".join(map(re.escape, sorted(parts))) for parts in (blocks, set(config.targets) or present))
    return rf".*\b({places})\..*\.({names})"


def has_adapters(model: nn.Module) -> bool:
    """Whether adapters were injected."""
    return next(_adapted(model), None) is not None


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Context in which the model computes as if it had no adapters."""
    layers = [layer for _, layer in _adapted(model)]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        # peft switches gradients off with the adapters, and on again for all of them.
        model.requires_grad_(False)
        for weight in trained:
            weight.requires_grad_(True)


def merged_tensors(model: nn.Module) -> dict[str, Tensor]:
    """State of the plain model that computes what this one does, under a plain model's names."""
    adapted = dict(_adapted(model))
    inside = tuple(f"{name}." for name in adapted)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(inside)}
    for name, layer in adapted.items():
        base = layer.get_base_layer()
        state[f"{name}.weight"] = _merged(layer)
        if base.bias is not None:
            state[f"{name}.bias"] = base.bias.detach()
    return state


def merge_adapters(model: nn.Module) -> None:
    """Make the model a plain one, its weights those of `merged_tensors`."""
    for name, layer in list(_adapted(model)):
        base = layer.get_base_layer()
        with torch.no_grad():
            base.weight.copy_(_merged(layer))
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, base)
    del model.peft_config


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights under the names of peft's files."""
    return {
        _PREFIX + name.replace(f".{_NAME}.", "."): weight.detach()
        for name, weight in model.named_parameters()
        if ".lora_" in name
    }


def save_adapter(model: Any, directory: Path, base: str) -> None:
    """Write the adapters alone, as peft, vLLM and `load_policy` read them; `base` names the checkpoint under them."""
    from safetensors.torch import save_file

    settings = model.peft_config[_NAME]
    settings.base_model_name_or_path = base
    directory.mkdir(parents=True, exist_ok=True)
    settings.save_pretrained(directory)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in adapter_tensors(model).items()}
    save_file(tensors, directory / _ADAPTER_WEIGHTS, metadata={"format": "pt"})


def adapter_base(directory: Path) -> str | None:
    """Name of the checkpoint under an adapter directory; None where it is no such directory.

    Raises:
        ValueError: its configuration cannot be read, or names no base.
    """
    path = directory / ADAPTER_CONFIG
    if not path.is_file():
        return None
    try:
        base = json.loads(path.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error
    if not isinstance(base, str) or not base:
        raise ValueError(f"{str(path)!r} names no base; write its checkpoint into base_model_name_or_path")
    return base


def inject_saved(model: nn.Module, directory: Path) -> None:
    """Inject the adapters of a directory.

    Raises:
        ValueError: the adapters are damaged, of a kind that is not supported, or made for another model.
    """
    import peft

    settings = peft.PeftConfig.from_pretrained(str(directory))
    found = {name: getattr(settings, name, None) for name in _PLAIN}
    if settings.peft_type != peft.PeftType.LORA or found != _PLAIN:
        raise ValueError(
            f"{str(directory)!r} holds an adapter of kind {settings.peft_type} with {found}; use plain LoRA"
        )
    _inject(model, settings)
    load_adapter(model, directory)


def load_adapter(model: nn.Module, directory: Path) -> None:
    """Read the weights of adapters that are injected already.

    Raises:
        ValueError: they are damaged or made for another model or rank.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = directory / _ADAPTER_WEIGHTS
    try:
        saved = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"adapter {str(path)!r} is missing or damaged: {error}") from error
    ours = adapter_tensors(model)
    different = sorted(
        name for name in ours.keys() | saved.keys() if name not in ours or name not in saved
        or ours[name].shape != saved[name].shape
    )  # fmt: skip
    if different:
        raise ValueError(
            f"adapter {str(path)!r} is of another model or rank: {len(different)} tensors differ, e.g. {different[0]}"
        )
    with torch.no_grad():
        for name, weight in ours.items():
            weight.copy_(saved[name])


def _inject(model: nn.Module, settings: Any) -> None:
    import peft

    model.requires_grad_(False)
    peft.inject_adapter_in_model(settings, model, _NAME)
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            weight.data = weight.data.float()


def _adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers with an adapter, by name."""
    return ((name, layer) for name, layer in model.named_modules() if hasattr(layer, "lora_A"))


def _merged(layer: Any) -> Tensor:
    """The weight W + s·B·A, in the type of W; four-bit weights come out in that of their computation."""
    weight = layer.get_base_layer().weight
    if hasattr(weight, "quant_state"):
        from bitsandbytes.functional import dequantize_4bit

        weight = dequantize_4bit(weight.data, weight.quant_state)
    update = layer.get_delta_weight(_NAME).detach()
    merged: Tensor = (weight.detach().float() + update.float()).to(weight.dtype)
    return merged


def _linear_layers(blocks: nn.Module) -> set[str]:
    """Last parts of the names of all linear layers in it."""
    return {name.rpartition(".")[2] for name, layer in blocks.named_modules() if isinstance(layer, nn.Linear)}
