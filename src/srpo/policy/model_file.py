"""The config.json of a model: all that is needed to know its shapes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from srpo.policy.families import MODEL_FAMILIES
from srpo.policy.load import TINY_BASE, quiet_transformers, shipped_base
from srpo.policy.lora import adapter_base

USUAL_PIXELS = 12_845_056
"""Largest picture of Qwen2-VL and Qwen2.5-VL, for models that do not say theirs."""

USUAL_SQUARES = 12
"""Most squares of InternVL beside the one of the whole picture, for models that do not say theirs."""


class ModelFile(NamedTuple):
    """What a plan knows of a model."""

    name: str
    config: Any
    """Hugging Face config."""
    max_pixels: int
    """Largest picture that its image processor leaves as it is."""
    squares: int = 0
    """Most squares that it cuts a picture into; 0 in families that cut none."""
    directory: Path | None = None
    """Where its tokenizer could be; None where the config stands alone."""


def read_model_file(model: str | Path) -> ModelFile:
    """Read a directory's config.json, or such a file; no weights, no network.

    Raises:
        ValueError: there is none on this machine, or it is of a family that is not supported.
    """
    path = shipped_base() if str(model) == TINY_BASE else Path(model).expanduser()
    while (base := adapter_base(path)) is not None:
        path = Path(base)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file() or file.suffix != ".json":
        raise ValueError(f"there is no config.json of {str(model)!r} on this machine; name one by --shapes FILE")
    values = _read_json(file)
    family = values.get("model_type")
    if family not in MODEL_FAMILIES:
        raise ValueError(
            f"{str(file)!r} has model_type {family!r}; supported are {', '.join(map(repr, MODEL_FAMILIES))}"
        )
    from transformers import CONFIG_MAPPING

    quiet_transformers()
    try:
        config = CONFIG_MAPPING[family].from_dict(values)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{str(file)!r} is no config of a {family} model: {error}") from error
    settings_file = file.parent / "preprocessor_config.json"
    settings = _read_json(settings_file) if settings_file.is_file() else {}
    squares = _most_squares(settings) if MODEL_FAMILIES[family].tiles else 0
    return ModelFile(path.stem, config, _largest_picture(settings), squares, path if path.is_dir() else None)


def _most_squares(settings: dict[str, Any]) -> int:
    """A long narrow picture becomes as many as are allowed, however small it is, and one of the whole."""
    most = int(settings.get("max_patches") or USUAL_SQUARES)
    return most + 1 if most > 1 else 1


def _largest_picture(settings: dict[str, Any]) -> int:
    size = settings.get("size")
    found = size.get("longest_edge") if isinstance(size, dict) else None
    return int(found or settings.get("max_pixels") or USUAL_PIXELS)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not valid JSON: {error}") from error
    return values if isinstance(values, dict) else {}
