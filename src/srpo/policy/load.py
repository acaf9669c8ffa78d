"""Load and save policies: any Hugging Face checkpoint of the Qwen-VL families.

policy = load_policy("checkpoints/base")
save_policy(policy, "checkpoints/tuned")
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from srpo.policy.policy import Policy
from srpo.policy.processor import load_processor

Dtype = Literal["float32", "bfloat16", "float16"]

_SHOWN = 3
"""Tensors that an error names."""
MODEL_FAMILIES = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
}
"""Supported values of `model_type` in a checkpoint's config.json, and the class that reads it."""


TINY_BASE = "tiny-base"
"""Name of the small base model that ships with srpo; `srpo.tiny.base` says how its weights came about."""


def load_policy(
    checkpoint: str | Path,
    *,
    device: str = "cpu",
    dtype: Dtype = "float32",
    autocast: Dtype | None = None,
    trainable: bool = True,
    freeze_vision: bool = True,
) -> Policy:
    """Load a checkpoint directory (or a name on the Hugging Face hub, where it can be reached).

    Args:
        checkpoint: directory with config.json, weights, tokenizer and preprocessor_config.json; or a hub name; or
            `tiny-base` for the model that ships with srpo.
        device: torch device, e.g. "cpu" or "cuda:0".
        dtype: dtype of the weights.
        autocast: dtype of forward passes if it differs from `dtype`.
        trainable: False switches all gradients off.
        freeze_vision: switches the vision tower's gradients off (the paper's setting).

    Raises:
        ValueError: nothing there, an unsupported model family, or a checkpoint that is damaged or whose tensors are not
            those of its config: a layer of random weights would look like any other result.

    """
    import torch
    import transformers
    from safetensors import SafetensorError

    quiet_transformers()
    directory = _resolve(checkpoint)
    model_type = _read_model_type(directory)
    if model_type not in MODEL_FAMILIES:
        raise ValueError(
            f"{str(checkpoint)!r} has model_type {model_type!r}; supported are {', '.join(map(repr, MODEL_FAMILIES))}"
        )
    try:
        model, info = getattr(transformers, MODEL_FAMILIES[model_type]).from_pretrained(
            str(directory), dtype=getattr(torch, dtype), attn_implementation="sdpa", output_loading_info=True
        )
        processor = load_processor(directory)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"checkpoint {str(checkpoint)!r} is incomplete or damaged: {error}") from error
    except RuntimeError as error:
        raise ValueError(f"checkpoint {str(checkpoint)!r} does not fit its config.json: {error}") from error
    _check_tensors(str(checkpoint), info)
    model.to(device)
    # Dropout is 0 in these families; eval mode makes that certain, and sampler and trainer agree.
    model.eval()
    if not trainable:
        model.requires_grad_(False)
    elif freeze_vision:
        model.model.visual.requires_grad_(False)
    return Policy(model, processor, name=str(checkpoint), autocast=autocast)


def _check_tensors(checkpoint: str, info: Mapping[str, Collection[Any]]) -> None:
    """Raise ValueError that names the tensors which are missing from a checkpoint, or too many in it."""
    found = [
        f"{len(names)} {what}, e.g. {', '.join(sorted(map(str, names))[:_SHOWN])}"
        for what, names in (
            ("tensors of the model are missing", info["missing_keys"]),
            ("tensors are not of this model", info["unexpected_keys"]),
            ("tensors have another shape", info["mismatched_keys"]),
        )
        if names
    ]
    if found:
        raise ValueError(
            f"checkpoint {checkpoint!r} does not fit its config.json: {'; '.join(found)}. Download or save it again; "
            "an adapter has to be merged into its base first"
        )


def save_policy(policy: Policy, directory: str | Path) -> None:
    """Write weights, config, tokenizer, chat template and image settings so that `load_policy` reads them back."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_parts(policy.model, policy.tokenizer, policy.processor.image_processor, directory)


def save_parts(model: Any, tokenizer: Any, image_processor: Any, directory: Path) -> None:
    """Write the parts of a checkpoint."""
    quiet_transformers()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    image_processor.save_pretrained(directory)


def quiet_transformers() -> None:
    """Keep transformers' advice and progress bars out of our output; its errors still raise."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _resolve(checkpoint: str | Path) -> Path:
    """Return a local directory, fetching a hub name if need be."""
    directory = Path(checkpoint).expanduser()
    if directory.is_dir():
        return directory
    name = str(checkpoint)
    if name == TINY_BASE:
        return shipped_base()
    if directory.exists():
        raise ValueError(f"{name!r} is a file; pass the checkpoint's directory")
    if directory.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ValueError(f"there is no checkpoint directory {name!r}")
    return _download(name)


def shipped_base() -> Path:
    """Directory of the base model that ships with srpo."""
    directory = Path(__file__).parents[1] / "assets" / TINY_BASE
    if not (directory / "model.safetensors").is_file():
        raise ValueError(f"the shipped base model is missing from {str(directory)!r}; install srpo again")
    return directory


def _download(name: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.jinja", "*.txt", "*.safetensors"]))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        why = (
            "HF_HUB_OFFLINE is set and the hub cache does not hold it"
            if constants.HF_HUB_OFFLINE
            else f"the Hugging Face hub could not deliver it ({type(error).__name__})"
        )
        raise ValueError(
            f"{name!r} is not a local directory, and {why}. On a machine with access run "
            f"`hf download {name} --local-dir DIR`, then pass DIR"
        ) from error


def _read_model_type(directory: Path) -> str | None:
    path = directory / "config.json"
    if not path.is_file():
        raise ValueError(f"{str(directory)!r} has no config.json; pass a Hugging Face checkpoint directory")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not valid JSON: {error}") from error
    return config.get("model_type") if isinstance(config, dict) else None
