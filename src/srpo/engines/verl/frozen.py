"""Whether a vision tower that was to stay as it is has stayed so: read from the files, whoever trained."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def check_frozen(start: Path, result: Path, parts: Sequence[str]) -> None:
    """Compare these modules' weights in two checkpoints, in the result's precision.

    Raises:
        ValueError: a weight moved, or is not in both.
    """
    import torch

    before, after = (dict(_weights(directory, parts)) for directory in (start, result))
    if before.keys() != after.keys() or not after:
        raise ValueError(
            f"{str(result)!r} has {len(after)} weights of {', '.join(parts)}, and {str(start)!r} has {len(before)}; "
            "they are not the same model"
        )
    moved = [name for name, value in after.items() if not torch.equal(before[name].to(value.dtype), value)]
    if moved:
        raise ValueError(
            f"freeze_vision: {len(moved)} of {len(after)} weights of the vision tower moved, e.g. {moved[0]!r}; verl's "
            f"plugin did not take effect. The model is in {str(result)!r}"
        )


def _weights(directory: Path, parts: Sequence[str]) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                if not set(parts).isdisjoint(name.split(".")):
                    yield name.removeprefix("model."), tensors.get_tensor(name)
