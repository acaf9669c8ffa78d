"""Load and save policies: any Hugging Face checkpoint of the families in `policy.families`.

policy = load_policy("checkpoints/base")
save_policy(policy, "checkpoints/tuned")
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from srpo.policy.config import LoraConfig
from srpo.policy.families import MODEL_FAMILIES, Family, family_of
from srpo.policy.policy import Policy
from srpo.policy.precision import Attention, AutoDtype, Dtype, pick_attention, pick_device, pick_dtype
from srpo.policy.processor import Processor, load_processor
from srpo.policy.sizes import check_sizes

Quantize = Literal["nf4"]

_SHOWN = 3
"""Tensors that an error names."""
ADAPTER = "adapter"
"""Folder of a saved model that holds the adapters which are merged into it."""
TINY_BASE = "tiny-base"
"""Name of the small base model that ships with srpo; `srpo.tiny.base` says how its weights came about."""


def load_policy(
    checkpoint: str | Path,
    *,
    device: str = "auto",
    dtype: AutoDtype = "auto",
    autocast: Dtype | None = None,
    attention: Attention = "auto",
    trainable: bool = True,
    freeze_vision: bool = True,
    lora: LoraConfig | None = None,
    quantize: Quantize | None = None,
) -> Policy:
    """Load a checkpoint directory (or a name on the Hugging Face hub, where it can be reached).

    Args:
        checkpoint: directory with config.json, weights, tokenizer and preprocessor_config.json; or a hub name; or
            `tiny-base` for the model that ships with srpo; or a directory of LoRA adapters, which are merged into
            the base that it names.
        device: torch device, e.g. "cpu" or "cuda:0"; "auto" takes a GPU where there is one.
        dtype: dtype of the weights; "auto" is bfloat16 on a GPU and float32 elsewhere.
        autocast: dtype of forward passes if it differs from `dtype`.
        attention: kernel of the vision tower's attention, as transformers names it; "auto" takes flash attention where
            it is installed and can run. The language model keeps torch's own, whose masks the shared prefix needs.
        trainable: False switches all gradients off.
        freeze_vision: switches the vision tower's gradients off (the paper's setting).
        lora: train adapters instead of the model's weights.
        quantize: hold the language model's linear layers in four bits (QLoRA); what trains then are adapters.

    Raises:
        ValueError: nothing there, an unsupported model family, or a checkpoint that is damaged or whose tensors are not
            those of its config: a layer of random weights would look like any other result.

    """
    from srpo.policy.lora import adapter_base, inject_saved, merge_adapters

    quiet_transformers()
    device = pick_device(device)
    dtype = pick_dtype(dtype, device)
    adapters, root = [], resolve_checkpoint(checkpoint)
    while (base := adapter_base(root)) is not None:
        adapters.append(root)
        root = resolve_checkpoint(base)
    _check_quantized(quantize, is_adapter=bool(adapters), trains_all=trainable and lora is None)
    kernel = pick_attention(attention, device, autocast or dtype)
    model, processor = _load_parts(root, str(checkpoint), device=device, dtype=dtype, kernel=kernel, quantize=quantize)
    for directory in reversed(adapters):
        inject_saved(model, directory)
        merge_adapters(model)
    choose_trained(model, trainable=trainable, freeze_vision=freeze_vision, lora=lora)
    return Policy(model, processor, name=str(checkpoint), autocast=autocast, saved_dtype=_saved_dtype(root))


def load_outline(checkpoint: str | Path) -> Policy:
    """A policy whose model has no weights: for whoever writes its prompts and targets, and leaves the rest to others.

    Raises:
        ValueError: nothing there, or an unsupported model family.
    """
    import torch
    import transformers

    quiet_transformers()
    root = resolve_checkpoint(checkpoint)
    config = read_config(root)
    family = _supported_family(config, str(checkpoint))
    check_sizes(config, str(checkpoint))
    with torch.device("meta"):
        model = getattr(transformers, family.model_class)(transformers.AutoConfig.from_pretrained(str(root)))
    return Policy(model, read_processor(root, model.config), name=str(checkpoint))


def choose_trained(model: Any, *, trainable: bool, freeze_vision: bool, lora: LoraConfig | None) -> None:
    """Switch on the gradients of what is to train, adapters included, which are added here."""
    from srpo.policy.lora import add_adapters

    # Dropout is 0 in these families; eval mode makes that certain, and sampler and trainer agree.
    model.eval()
    model.requires_grad_(trainable and lora is None)
    if lora is not None:
        add_adapters(model, lora)
    elif freeze_vision:
        for part in family_of(model).vision_modules(model):
            part.requires_grad_(False)


def _load_parts(
    root: Path, name: str, *, device: str, dtype: Dtype, kernel: str, quantize: Quantize | None
) -> tuple[Any, Any]:
    """Model and processor of a plain checkpoint; the weights go to the device one by one."""
    import torch
    import transformers

    config = read_config(root)
    family = _supported_family(config, name)
    check_sizes(config, name)
    try:
        model, info = getattr(transformers, family.model_class).from_pretrained(
            str(root),
            dtype=getattr(torch, dtype),
            attn_implementation={"": "sdpa", "text_config": "sdpa", "vision_config": kernel},
            device_map={"": device},
            quantization_config=_four_bits(dtype, family) if quantize else None,
            output_loading_info=True,
        )
        processor = read_processor(root, model.config)
    except RuntimeError as error:
        raise ValueError(f"checkpoint {name!r} does not fit its config.json: {error}") from error
    except (MemoryError, ImportError):
        raise
    # OSError and safetensors' own say what is cut; indices, pickles and configs raise whatever their reader does.
    except Exception as error:
        what = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
        raise ValueError(f"checkpoint {name!r} is incomplete or damaged: {what}") from error
    _check_tensors(name, info)
    if not family.tiles:
        _check_patches(name, model.config.vision_config, processor.image_processor)
    return model, processor


def _supported_family(config: Mapping[str, Any], name: str) -> Family:
    model_type = config.get("model_type")
    if model_type not in MODEL_FAMILIES:
        supported = ", ".join(map(repr, MODEL_FAMILIES))
        raise ValueError(f"{name!r} has model_type {model_type!r}; supported are {supported}")
    return MODEL_FAMILIES[model_type]


def read_processor(root: Path, config: Any) -> Processor:
    """The processor of a checkpoint directory whose Hugging Face config is read already."""
    from srpo.policy.tiles import TiledProcessor, tokens_per_tile

    if MODEL_FAMILIES[config.model_type].tiles:
        return load_processor(root, TiledProcessor, tokens_per_tile=tokens_per_tile(config))
    return load_processor(root)


def _check_patches(name: str, vision: Any, settings: Any) -> None:
    """ValueError where pictures are cut otherwise than the vision tower reads them."""
    pairs = {
        "patch_size": "patch_size",
        "merge_size": "spatial_merge_size",
        "temporal_patch_size": "temporal_patch_size",
    }
    for ours, theirs in pairs.items():
        cut, read = getattr(settings, ours), getattr(vision, theirs)
        if cut != read:
            raise ValueError(
                f"checkpoint {name!r}: preprocessor_config.json has {ours} {cut}, and the vision_config of config.json "
                f"{theirs} {read}; they must be equal"
            )


def _check_quantized(quantize: Quantize | None, *, is_adapter: bool, trains_all: bool) -> None:
    """Raise ValueError where four-bit weights are asked for and cannot be had."""
    if quantize is None:
        return
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"quantize {quantize!r} needs bitsandbytes, which is not installed: pip install 'srpo[qlora]'"
        ) from error
    if trains_all:
        raise ValueError(f"quantize {quantize!r}: four-bit weights cannot be trained; add a `lora` block")
    if is_adapter:
        raise ValueError(
            f"quantize {quantize!r}: adapters cannot be merged into four bits; save the merged model first"
        )


def _four_bits(dtype: Dtype, family: Family) -> Any:
    """NF4 with double quantization, as in the paper on QLoRA; the vision tower and the head keep their type."""
    import torch
    import transformers

    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
        llm_int8_skip_modules=[*(f"model.{part}" for part in family.vision), "lm_head"],
    )


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
    """Write weights, config, tokenizer, chat template and image settings so that `load_policy` reads them back.

    The weights are written in the type of the checkpoint that was loaded. Adapters are merged into them, and stand
    beside the model in `adapter/`.
    """
    from srpo.policy.lora import has_adapters, save_adapter

    directory = Path(directory)
    save_merged(policy, directory, policy.saved_dtype)
    if has_adapters(policy.model):
        save_adapter(policy.model, directory / ADAPTER, base_name(policy))


def save_merged(policy: Policy, directory: Path, dtype: Any) -> None:
    """Write a plain checkpoint whose weights are of a torch dtype, adapters merged into them."""
    from srpo.policy.lora import has_adapters, merged_tensors

    directory.mkdir(parents=True, exist_ok=True)
    model, state = policy.model, None
    if has_adapters(model):
        state = merged_tensors(model)
    elif dtype != model.dtype:
        state = model.state_dict()
    if state is not None:
        model, state = _plain_model(model, dtype, state)
    save_parts(model, policy.tokenizer, policy.processor.image_processor, directory, state)


def base_name(policy: Policy) -> str:
    """The checkpoint that a policy was loaded from, as it is found from anywhere on this machine."""
    return str(Path(policy.name).resolve()) if Path(policy.name).is_dir() else policy.name


def _plain_model(model: Any, dtype: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A model of the same config that holds no numbers, and `state` in its type: what `save_pretrained` needs."""
    import copy

    import torch

    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config).to(dtype)
    plain.generation_config = model.generation_config
    names = dict(plain.state_dict())
    return plain, {name: tensor.to(plain.dtype) for name, tensor in state.items() if name in names}


def save_parts(
    model: Any, tokenizer: Any, image_processor: Any, directory: Path, state: dict[str, Any] | None = None
) -> None:
    """Write the parts of a checkpoint; `state` holds the weights where they are not those of the model."""
    quiet_transformers()
    model.save_pretrained(directory, state_dict=state)
    tokenizer.save_pretrained(directory)
    image_processor.save_pretrained(directory)


def quiet_transformers() -> None:
    """Keep transformers' advice and progress bars out of our output; its errors still raise."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def resolve_checkpoint(checkpoint: str | Path) -> Path:
    """The local directory of a checkpoint; a hub name is fetched if need be.

    Raises:
        ValueError: there is none.
    """
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


def read_config(directory: Path) -> dict[str, Any]:
    """The config.json of a checkpoint directory; ValueError when there is none."""
    path = directory / "config.json"
    if not path.is_file():
        raise ValueError(f"{str(directory)!r} has no config.json; pass a Hugging Face checkpoint directory")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not valid JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def _saved_dtype(directory: Path) -> Dtype | None:
    """Type of the weights of a checkpoint, as its config.json says."""
    config = read_config(directory)
    found = config.get("dtype", config.get("torch_dtype"))
    return next((name for name in get_args(Dtype) if name == found), None)
