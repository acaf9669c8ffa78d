"""What verl needs to be told of a checkpoint, read here without its weights."""

from pathlib import Path
from typing import Any, NamedTuple

from srpo.policy.config import LoraConfig
from srpo.policy.families import MODEL_FAMILIES
from srpo.policy.load import quiet_transformers, read_config, resolve_checkpoint
from srpo.policy.lora import ADAPTER_CONFIG, adapted_layers
from srpo.policy.policy import banned_ids
from srpo.policy.processor import OPENED_THOUGHT, Processor, load_processor

_FAMILIES = {
    **{name: family for name, family in MODEL_FAMILIES.items() if not family.tiles},
    # verl trains it; srpo's own loop does not.
    "qwen3_vl_moe": MODEL_FAMILIES["qwen3_vl"],
}
"""Families whose pictures verl reads as we write them."""


class ModelFacts(NamedTuple):
    """A checkpoint."""

    root: Path
    """Its directory, absolute."""
    processor: Processor
    vision: tuple[str, ...]
    """Modules that pictures go through before they are tokens."""
    banned_ids: tuple[int, ...]
    """Tokens that no response may hold."""
    adapted: str = ""
    """Layers with adapters, as a regular expression of their names."""

    @property
    def patch_size(self) -> int:
        """Pixels of a patch's side."""
        size: int = self.processor.image_processor.patch_size
        return size


def read_model(model: str, lora: LoraConfig | None = None) -> ModelFacts:
    """Read a checkpoint's processor and sizes.

    Raises:
        ValueError: there is none, verl cannot read it as we do, or its template would put words before the response;
            an adapter's target is no layer of it.
    """
    quiet_transformers()
    root = resolve_checkpoint(model).resolve()
    if (root / ADAPTER_CONFIG).is_file():
        raise ValueError(
            f"{model!r} holds adapters alone, and verl begins with a whole model, such as a run's RUN/model"
        )
    config = read_config(root)
    family = _FAMILIES.get(kind := config.get("model_type", ""))
    if family is None:
        known = ", ".join(map(repr, _FAMILIES))
        raise ValueError(f"{model!r} has model_type {kind!r}; those that verl takes from srpo are {known}")
    processor = load_processor(root)
    _check_template(root, processor, model)
    rows = config.get("text_config", {}).get("vocab_size") or config.get("vocab_size")
    if not isinstance(rows, int):
        raise ValueError(f"{str(root / 'config.json')!r} does not say how many tokens there are: vocab_size is missing")
    adapted = "" if lora is None else adapted_layers(outline(root), lora, family.vision_blocks)
    return ModelFacts(root, processor, family.vision, banned_ids(processor.tokenizer, rows), adapted)


def outline(root: Path) -> Any:
    """The model without its weights, as transformers builds it from config.json."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(str(root))
    with torch.device("meta"):
        return transformers.AutoModelForImageTextToText.from_config(config)


def _check_template(root: Path, processor: Processor, model: str) -> None:
    if not any((root / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        raise ValueError(
            f"{model!r} has its chat template in tokenizer_config.json alone, where verl's processor does not look: it "
            "would leave out every problem. Write it to chat_template.jinja in that directory"
        )
    chat = [{"role": "user", "content": [{"type": "text", "text": "How many?"}]}]
    opened = str(processor.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
    if opened.rstrip().endswith(OPENED_THOUGHT):
        raise ValueError(
            f"the chat template of {model!r} begins the response with {OPENED_THOUGHT}, as thinking models' do; verl "
            "would leave it out of what is rewarded. Take these words out of the template, or train on one GPU"
        )
