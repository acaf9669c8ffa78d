"""The policy that a stage trains: loaded as its config says, and saved so that a stopped run goes on exactly.

Unlike a finished model, such a checkpoint has the weights in the type in which they are trained. Where adapters train,
it holds these alone, because the base does not move.
"""

from pathlib import Path
from typing import Literal, Protocol

from srpo.policy.config import LoraConfig, TrainedDtype
from srpo.policy.load import ADAPTER, load_policy, save_parts
from srpo.policy.policy import Policy
from srpo.policy.precision import Attention
from srpo.runs.progress import note

_SAVED_DTYPE = "saved_dtype"
"""File of a checkpoint that names the type in which the finished model is written."""


class TrainedConfig(Protocol):
    """What the configs of `sft` and `rl` say of the policy."""

    @property
    def model(self) -> str:
        """Checkpoint that the run begins with."""

    @property
    def device(self) -> str:
        """Torch device."""

    @property
    def dtype(self) -> TrainedDtype:
        """Type of the weights."""

    @property
    def autocast(self) -> Literal["bfloat16"] | None:
        """Type of forward passes, where it is another one."""

    @property
    def attention(self) -> Attention:
        """Kernel of the vision tower's attention."""

    @property
    def freeze_vision(self) -> bool:
        """Whether the vision tower stays as it is."""

    @property
    def lora(self) -> LoraConfig | None:
        """Adapters that train in place of the weights."""

    @property
    def quantize(self) -> Literal["nf4"] | None:
        """Four bits for what does not train."""

    @property
    def recompute(self) -> bool | None:
        """Whether layers are computed again in the backward pass; None does so on a GPU."""


def load_trained(config: TrainedConfig, checkpoint: Path | None = None) -> Policy:
    """The policy of a run that begins, or goes on from `checkpoint`.

    Raises:
        ValueError: a checkpoint cannot be read, or does not fit the config.
    """
    import torch

    from srpo.policy.lora import load_adapter
    from srpo.policy.recompute import recompute_layers

    adapts = config.lora is not None
    policy = load_policy(
        config.model if adapts or checkpoint is None else checkpoint,
        device=config.device,
        dtype=config.dtype,
        autocast=config.autocast,
        attention=config.attention,
        freeze_vision=config.freeze_vision,
        lora=config.lora,
        quantize=config.quantize,
    )
    if config.recompute or (config.recompute is None and policy.device.type != "cpu"):
        recompute_layers(policy.model)
    note(f"srpo: {policy.describe()}")
    if checkpoint is None:
        return policy
    if adapts:
        load_adapter(policy.model, checkpoint / ADAPTER)
    elif (written := checkpoint / _SAVED_DTYPE).is_file():
        policy.saved_dtype = getattr(torch, written.read_text(encoding="utf-8").strip())
    return policy


def save_trained(policy: Policy, directory: Path) -> None:
    """Write what `load_trained` goes on from."""
    from srpo.policy.lora import has_adapters, save_adapter

    if has_adapters(policy.model):
        save_adapter(policy.model, directory / ADAPTER, policy.name)
        return
    save_parts(policy.model, policy.tokenizer, policy.processor.image_processor, directory)
    (directory / _SAVED_DTYPE).write_text(str(policy.saved_dtype).removeprefix("torch."), encoding="utf-8")
