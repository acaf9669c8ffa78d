"""What differs between model families: names of modules, positions, and whether a prompt can be computed once.

    family = family_of(model)
    positions, next_position_P = family.positions(model, input_ids, lengths, image_token_id, grids)

How a family's pictures are cut is in `policy.processor` and `policy.tiles`. All else is the same code for every family.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Positions(NamedTuple):
    """Where the tokens of P prompts stand, for the rotary embedding."""

    prompts: "Tensor"
    """Shape (3, P, L) for time, height and width; (P, L) where there is one axis."""
    next_P: "Tensor"
    """Position of the first token after each prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture of `transformers`."""

    model_class: str
    """Class that reads its checkpoints."""
    vision: tuple[str, ...] = ("visual",)
    """Modules of the model that pictures go through before they are tokens: what `freeze_vision` freezes."""
    vision_blocks: str = "visual.blocks"
    """The blocks among them."""
    tiles: bool = False
    """Pictures are cut into squares of one size (`policy.tiles`), not into as many patches as they have."""
    axes: Literal[1, 3] = 3
    """Of rotary positions: time, height and width, where a picture stands in a plane; or one, on which every token of a
    picture is one further."""

    def positions(
        self, model: Any, input_ids: "Tensor", lengths: "Tensor", image_token_id: int, grids: "Tensor | None"
    ) -> Positions:
        """Positions of prompts that are padded on the right."""
        import torch

        places_L = torch.arange(input_ids.shape[1])
        if self.axes == 1:
            return Positions(places_L.expand(len(lengths), -1), lengths)
        positions, deltas = model.model.get_rope_index(
            input_ids,
            mm_token_type_ids=(input_ids == image_token_id).int(),
            image_grid_thw=None if grids is None else grids.cpu(),
            attention_mask=(places_L < lengths[:, None]).long(),
        )
        return Positions(positions, lengths + deltas[:, 0])

    def onward(self, positions_B_T: "Tensor") -> "Tensor":
        """Positions of text, as the language model takes them."""
        return positions_B_T if self.axes == 1 else positions_B_T.expand(3, -1, -1)

    def vision_modules(self, model: Any) -> Sequence[Any]:
        """The modules themselves."""
        return [model.model.get_submodule(name) for name in self.vision]

    def vision_trains(self, model: Any) -> bool:
        """Whether any weight of them has a gradient."""
        return any(weight.requires_grad for part in self.vision_modules(model) for weight in part.parameters())


MODEL_FAMILIES: dict[str, Family] = {
    "qwen2_vl": Family(model_class="Qwen2VLForConditionalGeneration"),
    "qwen2_5_vl": Family(model_class="Qwen2_5_VLForConditionalGeneration"),
    "qwen3_vl": Family(model_class="Qwen3VLForConditionalGeneration"),
    "qwen3_5": Family(model_class="Qwen3_5ForConditionalGeneration"),
    "internvl": Family(
        model_class="InternVLForConditionalGeneration",
        vision=("vision_tower", "multi_modal_projector"),
        vision_blocks="vision_tower.encoder.layer",
        tiles=True,
        axes=1,
    ),
}
"""By `model_type` of a checkpoint's config.json."""


def family_of(model: Any) -> Family:
    """The family of a loaded model."""
    return MODEL_FAMILIES[model.config.model_type]


_REMEMBERED = {
    "DynamicSlidingWindowLayer": "attention in sliding windows",
    "LinearAttentionLayer": "recurrent layers",
}
"""What a cache's layers are of, beside keys and values that all later tokens look at."""


def why_unshared(config: Any) -> str | None:
    """What of a model keeps its responses from sharing one computed prompt; None where nothing does.

    Args:
        config: Hugging Face config of the model, whose own cache tells what its layers remember.

    """
    from transformers import DynamicCache

    kinds = {type(layer).__name__ for layer in DynamicCache(config=config).layers} - {"DynamicLayer"}
    return " and ".join(sorted(_REMEMBERED.get(kind, kind) for kind in kinds)) or None
