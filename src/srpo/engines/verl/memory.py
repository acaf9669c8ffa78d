"""What verl needs on each GPU, counted from the shapes in config.json: what it keeps whatever it computes, and what
comes on top while it learns from `engine.tokens_per_gpu` tokens at once.

Weights, gradients and moments are sharded over all GPUs. While learning, a layer's weights are gathered at a time, and
embedding and head for as long as a pass lasts. With checkpointing (`recompute`), a layer keeps its input, and computes
the rest again: about 13 times the hidden size and 4 times the inner size a token, which is what was measured at the
widths of 3B and 7B (242 KiB a token and layer at 7B in bfloat16; this formula: 239). Logits are there four times in RL,
where the entropy wants a softmax, and twice in SFT. What a frozen vision tower needs for a moment is left out. srpo has
not measured verl on a GPU: an estimate, for choosing, not a promise.
"""

from typing import Any, NamedTuple

from srpo.core.records import Record
from srpo.engines.verl.model import ModelFacts, outline
from srpo.policy.engine import EngineConfig

_GB = 1e9
_TRAINED_BYTES = 4 + 4 + 8
"""Of a weight that is trained: itself, its gradient, two moments, in float32."""
_FROZEN_BYTES = 4
_SAMPLED_BYTES = 2
_HIDDEN_COPIES, _INNER_COPIES = 13, 4
_GATHERED_LAYERS = 2
"""The one that computes, and the one that is fetched meanwhile."""
_LOGITS = {"rl": 4, "sft": 2}


class Learning(NamedTuple):
    """How a run learns, as far as its memory goes."""

    stage: str
    """`rl` or `sft`."""
    tokens: int
    """Of prompts and responses at once on a GPU."""
    value_bytes: int
    """Of a number that is computed."""
    recompute: bool
    frozen: bool
    """The vision tower stays as it is."""
    lora_rank: int = 0
    """Of adapters; 0 where the weights train."""
    keeps_reference: bool = False
    """A second copy of the weights, for the KL term."""


class GpuMemory(Record):
    """Bytes of one GPU."""

    num_weights: int
    """Of the whole model."""
    num_trained: int
    """Of them, or of its adapters."""
    learning: int
    """Weights, gradients and moments of its share."""
    in_host: bool
    """They are in the machine's memory while the sampler works."""
    tokens: int
    """That are learned from at once."""
    activations: int
    """Of the decoder's layers."""
    logits: int
    gathered: int
    """Weights that are whole while they are used."""
    reference: int
    """The share of a second copy, in the machine's memory while it does not work."""
    sampler_weights: int
    """Its share of the copy that samples; 0 where nothing is sampled."""
    sampler_share: float
    """Of a GPU's memory, for that copy and its keys and values."""

    @property
    def peak(self) -> int:
        """While learning, the sampler asleep."""
        return self.learning + self.activations + self.logits + self.gathered

    def lines(self) -> list[str]:
        """For people."""
        place = " (in the machine's memory while sampling)" if self.in_host else ""
        sizes = f"{self.num_weights / 1e9:.2f} billion weights, {self.num_trained / 1e9:.2f} billion that train"
        learned = (
            f"{self.activations / _GB:.1f} GB of activations, {self.logits / _GB:.1f} GB of logits, "
            f"{self.gathered / _GB:.1f} GB of gathered weights; {self.peak / _GB:.1f} GB at the peak"
        )
        found = [
            f"memory of each GPU, an estimate: {sizes}",
            f"  weights, gradients, moments, sharded: {self.learning / _GB:.1f} GB{place}",
            f"  learning from {self.tokens:,} tokens at once (engine.tokens_per_gpu): {learned}",
        ]
        if self.reference:
            found.append(f"  the reference of the KL term: {self.reference / _GB:.1f} GB, in the machine's memory")
        if self.sampler_weights:
            found.append(
                f"  the sampler's weights: {self.sampler_weights / _GB:.1f} GB, of {self.sampler_share:.0%} of the GPU "
                "that it may fill (engine.gpu_memory)"
            )
        return found


def gpu_memory(model: ModelFacts, engine: EngineConfig, learning: Learning) -> GpuMemory:
    """Count a checkpoint's weights by its config.json, without reading them."""
    built = outline(model.root)
    weights = {name: weight.numel() for name, weight in built.named_parameters()}
    total = sum(weights.values())
    trained, adapters = _trained(built, model, learning)
    width, layers = layer_bytes(built.config.get_text_config(), learning.value_bytes)
    kept = 1 if learning.recompute else layers
    inputs = layers * built.config.get_text_config().hidden_size * learning.value_bytes if learning.recompute else 0
    in_layers = sum(count for name, count in weights.items() if ".language_model.layers." in f".{name}")
    in_tower = sum(count for name, count in weights.items() if not set(model.vision).isdisjoint(name.split(".")))
    around = total - in_layers - in_tower
    sharded = (total - trained) * _FROZEN_BYTES + (trained + adapters) * _TRAINED_BYTES
    return GpuMemory(
        num_weights=total,
        num_trained=trained + adapters,
        learning=sharded // engine.num_gpus,
        in_host=engine.offload,
        tokens=learning.tokens,
        activations=learning.tokens * (inputs + kept * width),
        logits=learning.tokens * built.config.get_text_config().vocab_size * learning.value_bytes
        * _LOGITS[learning.stage],
        gathered=(around + _GATHERED_LAYERS * in_layers // layers) * learning.value_bytes,
        reference=total * _FROZEN_BYTES // engine.num_gpus if learning.keeps_reference else 0,
        sampler_weights=total * _SAMPLED_BYTES // engine.tensor_parallel if learning.stage == "rl" else 0,
        sampler_share=engine.gpu_memory,
    )  # fmt: skip


def layer_bytes(text: Any, value_bytes: int) -> tuple[int, int]:
    """Bytes that a decoder layer makes of a token, and how many layers there are."""
    inner = text.intermediate_size
    if getattr(text, "num_experts_per_tok", None):
        inner = text.num_experts_per_tok * text.moe_intermediate_size
    return (_HIDDEN_COPIES * text.hidden_size + _INNER_COPIES * inner) * value_bytes, text.num_hidden_layers


def _trained(built: Any, model: ModelFacts, learning: Learning) -> tuple[int, int]:
    """Weights of the model that train, and those of adapters."""
    if not learning.lora_rank:
        still = set(model.vision) if learning.frozen else set()
        named = built.named_parameters()
        return sum(one.numel() for name, one in named if still.isdisjoint(name.split("."))), 0
    import re

    layers = [layer for name, layer in built.named_modules() if re.fullmatch(model.adapted, name)]
    return 0, sum(learning.lora_rank * (layer.in_features + layer.out_features) for layer in layers)
