"""What verl keeps on each GPU whatever it computes: weights, gradients and moments, sharded, beside the sampler's room.

Counted from the shapes in config.json. What comes on top while learning grows with `engine.tokens_per_gpu`, and is not
planned: srpo has not measured verl on a GPU.
"""

from srpo.core.records import Record
from srpo.engines.verl.model import ModelFacts
from srpo.policy.engine import EngineConfig

_GB = 1e9
_TRAINED_BYTES = 4 + 4 + 8
"""Of a weight that is trained: itself, its gradient, two moments, in float32."""
_FROZEN_BYTES = 4
_SAMPLED_BYTES = 2


class GpuMemory(Record):
    """Bytes of one GPU."""

    num_weights: int
    """Of the whole model."""
    num_frozen: int
    learning: int
    """Weights, gradients and moments of its share."""
    in_host: bool
    """They are in the machine's memory while the sampler works."""
    sampler_weights: int
    """Its share of the copy that samples; 0 where nothing is sampled."""
    sampler_share: float
    """Of a GPU's memory, for that copy and its keys and values."""

    def lines(self) -> list[str]:
        """For people."""
        place = " (in the machine's memory while sampling)" if self.in_host else ""
        sizes = f"{self.num_weights / 1e9:.2f} billion weights, {self.num_frozen / 1e9:.2f} of them frozen"
        found = [
            f"memory of each GPU: {sizes}",
            f"  weights, gradients, moments, sharded: {self.learning / _GB:.1f} GB{place}",
        ]
        if self.sampler_weights:
            found.append(
                f"  the sampler's weights: {self.sampler_weights / _GB:.1f} GB, of {self.sampler_share:.0%} of the GPU "
                "that it may fill (engine.gpu_memory)"
            )
        return [*found, "  activations come on top, with engine.tokens_per_gpu; they are not planned"]


def gpu_memory(model: ModelFacts, engine: EngineConfig, *, frozen: bool, samples: bool) -> GpuMemory:
    """Count a checkpoint's weights by its config.json, without reading them."""
    import torch
    import transformers

    parts = set(model.vision) if frozen else set()
    config = transformers.AutoConfig.from_pretrained(str(model.root))
    with torch.device("meta"):
        built = transformers.AutoModelForImageTextToText.from_config(config)
    total = sum(weight.numel() for weight in built.parameters())
    still = sum(weight.numel() for name, weight in built.named_parameters() if not parts.isdisjoint(name.split(".")))
    sharded = (total - still) * _TRAINED_BYTES + still * _FROZEN_BYTES
    return GpuMemory(
        num_weights=total,
        num_frozen=still,
        learning=sharded // engine.num_gpus,
        in_host=engine.offload,
        sampler_weights=total * _SAMPLED_BYTES // engine.tensor_parallel if samples else 0,
        sampler_share=engine.gpu_memory,
    )
