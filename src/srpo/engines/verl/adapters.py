"""Adapters out of verl: a state that peft has wrapped becomes that of a plain model."""

from collections.abc import Mapping
from typing import Any

_WRAPPED, _BASE, _HALF = "base_model.model.", ".base_layer.", ".lora_"
_A, _B = ".lora_A.default.weight", ".lora_B.default.weight"


def merged(state: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """The weights W + scale·B·A under a plain model's names, in the type of W; a state without adapters as it is.

    Raises:
        RuntimeError: half of an adapter is missing, or one belongs to no layer.
    """
    plain = {_plain(name): value for name, value in state.items() if _HALF not in name}
    halves = {name for name in state if _HALF in name}
    layers = {name.removesuffix(_A) for name in halves if name.endswith(_A)}
    if halves != {layer + half for layer in layers for half in (_A, _B)}:
        raise RuntimeError(f"srpo: halves of adapters are missing or unknown: {sorted(halves)[:4]}, ..")
    for layer in sorted(layers):
        name = f"{_plain(layer)}.weight"
        if name not in plain:
            raise RuntimeError(f"srpo: the adapter of {layer!r} has no layer to be added to")
        weight = plain[name]
        update = scale * (state[layer + _B].float() @ state[layer + _A].float())
        plain[name] = (weight.float() + update).to(weight.dtype)
    return plain


def _plain(name: str) -> str:
    return name.removeprefix(_WRAPPED).replace(_BASE, ".")
