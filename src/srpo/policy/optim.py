"""Optimizer and learning-rate schedule of both training stages.

The schedule is a pure function of step and progress, so that a resumed run needs nothing but these numbers.

    >>> [round(lr_scale(step, 10, OptimConfig(warmup_steps=2)), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srpo.policy.config import OptimConfig

_MOMENTS_FILE = "optimizer.pt"


def warmup_length(total_steps: int | None, config: OptimConfig) -> int:
    """Number of warm-up steps."""
    if config.warmup_steps is not None:
        return config.warmup_steps
    return math.ceil((total_steps or 0) * config.warmup_share)


def lr_scale(step: int, total_steps: int | None, config: OptimConfig, progress: float | None = None) -> float:
    """Factor on the peak learning rate at `step` (counted from 0): linear warm-up, then cosine to 0 or constant.

    `progress`, the share of the run that is done, places the cosine where steps are not what the run is measured in.
    """
    warmup = warmup_length(total_steps, config)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    if progress is None:
        if total_steps is None:
            return 1.0
        progress = (step - warmup) / max(1, total_steps - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


class Optimizer:
    """One or two torch optimizers over the trainable weights of a model, stepped as one."""

    def __init__(self, model: nn.Module, config: OptimConfig, total_steps: int | None) -> None:
        self.config = config
        self.total_steps = total_steps
        self.num_steps = 0
        self.progress: float | None = None
        """Share of the run that is done, for runs that end by something else than a number of steps; see `lr_scale`."""
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        if not self._weights:
            raise ValueError("every weight of the model is frozen; there is nothing to train")
        self._parts = _build(model, config)

    @property
    def lr(self) -> float:
        """Learning rate that the next `step` uses (AdamW's)."""
        return self.config.lr * lr_scale(self.num_steps, self.total_steps, self.config, self.progress)

    def step(self) -> float:
        """Clip, update, clear the gradients; returns the norm of the gradient before clipping.

        A gradient that is not finite changes nothing but still counts as a step: one poisoned batch must not turn
        all weights into NaN.
        """
        norm = float(nn.utils.clip_grad_norm_(self._weights, self.config.grad_clip))
        scale = lr_scale(self.num_steps, self.total_steps, self.config, self.progress)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * scale
            if math.isfinite(norm):
                part.step()
            part.zero_grad(set_to_none=True)
        self.num_steps += 1
        return norm

    def save(self, directory: Path) -> None:
        """Write moments and step count beside a checkpoint's weights."""
        torch.save(
            {"parts": [part.state_dict() for part in self._parts], "num_steps": self.num_steps},
            directory / _MOMENTS_FILE,
        )

    def load(self, directory: Path) -> None:
        """Read what `save` wrote."""
        state: dict[str, Any] = torch.load(directory / _MOMENTS_FILE, weights_only=True)
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        self.num_steps = state["num_steps"]


def _build(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW with weight decay on matrices only; or Muon on the hidden matrices beside it."""
    hidden, matrices, vectors = _split_weights(model)
    if config.name == "adamw":
        hidden, matrices = [], hidden + matrices
    groups = [
        {"params": weights, "lr": config.lr, "peak_lr": config.lr, "weight_decay": decay}
        for weights, decay in ((matrices, config.weight_decay), (vectors, 0.0))
        if weights
    ]
    parts: list[torch.optim.Optimizer] = []
    if groups:
        parts.append(torch.optim.AdamW(groups, betas=config.betas))
    if hidden:
        group = {"params": hidden, "lr": config.muon_lr, "peak_lr": config.muon_lr}
        parts.append(torch.optim.Muon([group], weight_decay=config.weight_decay))
    return parts


def _split_weights(model: nn.Module) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Trainable weights as (hidden matrices, embeddings and head, everything that is not a matrix)."""
    outer = {id(weight) for weight in _embedding_weights(model.modules())}
    hidden: list[Tensor] = []
    matrices: list[Tensor] = []
    vectors: list[Tensor] = []
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        if weight.ndim == 2 and id(weight) not in outer and not name.startswith("lm_head"):
            hidden.append(weight)
        elif weight.ndim >= 2:
            matrices.append(weight)
        else:
            vectors.append(weight)
    return hidden, matrices, vectors


def _embedding_weights(modules: Iterable[nn.Module]) -> Iterable[Tensor]:
    for module in modules:
        if isinstance(module, nn.Embedding):
            yield module.weight
