"""Optimizer and learning-rate schedule of both training stages.

The schedule is a pure function of step and progress, so that a resumed run needs nothing but these numbers.

    >>> [round(lr_scale(step, 10, OptimConfig(warmup_steps=2)), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from srpo.policy.adamw8 import AdamW8, round_at_random
from srpo.policy.config import OptimConfig
from srpo.policy.team import ALONE, Team

_MOMENTS_FILE = "optimizer.pt"
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, EOFError, OSError, UnpicklingError)
"""What torch and pickle raise on files that are torn or foreign; there is no common base class."""


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


def describe_longer(config: OptimConfig, before: int, now: int, unit: str, next_lr: float) -> str:
    """What becomes of the learning rate when a run that was made for `before` steps (or tokens) goes on to `now`.

    >>> describe_longer(OptimConfig(schedule="constant", warmup_steps=5), 20, 40, "steps", 1e-5)
    'the learning rate stays as it is, and the result is that of one run of 40 steps'
    >>> describe_longer(OptimConfig(warmup_steps=5), 20, 40, "steps", 5e-6)[:79]
    'the cosine was made for 20 steps and is that of 40 from here on: the rate is 5e'
    """
    same_warmup = config.warmup_steps is not None or config.warmup_share == 0
    if config.schedule == "constant" and same_warmup:
        return f"the learning rate stays as it is, and the result is that of one run of {now:,} {unit}"
    name, fall = ("cosine", " and falls to 0 at the new end") if config.schedule == "cosine" else ("warm-up", "")
    return (
        f"the {name} was made for {before:,} {unit} and is that of {now:,} from here on: the rate is {next_lr:.3g} next"
        f"{fall}. One run of {now:,} {unit} would have had other rates until now, so the result is not the same"
    )


class Optimizer:
    """One or two torch optimizers over the trainable weights of a model, stepped as one.

    Weights of lower precision have float32 masters, which are what is stepped: at a learning rate of 1e-6 a bfloat16
    weight of 1 moves by less than half of its last digit, and rounding would take every step back. `adamw8bit` steps
    such weights themselves, and rounds at random. Gradients of lower precision are added up in the type of what is
    stepped, for the same reason: late pieces of a large batch are small beside the sum.
    """

    def __init__(self, model: nn.Module, config: OptimConfig, total_steps: int | None, team: Team = ALONE) -> None:
        self.config = config
        self.team = team
        """Whose gradients are added up before each step."""
        self.total_steps = total_steps
        self.num_steps = 0
        self.progress: float | None = None
        """Share of the run that is done, for runs that end by something else than a number of steps; see `lr_scale`."""
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        if not self._weights:
            raise ValueError("every weight of the model is frozen; there is nothing to train")
        low = [weight for weight in self._weights if weight.dtype != torch.float32]
        has_masters = config.name != "adamw8bit"
        self._masters = [(weight, weight.detach().float().clone().requires_grad_()) for weight in low if has_masters]
        master_of = {id(weight): master for weight, master in self._masters}
        self._stepped = [master_of.get(id(weight), weight) for weight in self._weights]
        self._sums = [
            _GradientSum(weight, master_of.get(id(weight), weight), seed=partial(self._seed, index))
            for index, weight in enumerate(low)
        ]
        self._parts = _build(model, config, master_of)

    def _seed(self, index: int, piece: int) -> int:
        """Seed of what is random about a weight in the step that comes next."""
        return random.Random(f"optim/{self.num_steps}/{index}/{piece}").getrandbits(63)

    @property
    def lr(self) -> float:
        """Learning rate that the next `step` uses (AdamW's)."""
        return self.config.lr * lr_scale(self.num_steps, self.total_steps, self.config, self.progress)

    def step(self) -> float:
        """Clip, update, clear the gradients; returns the norm of the gradient before clipping.

        A gradient that is not finite changes nothing but still counts as a step: one poisoned batch must not turn
        all weights into NaN.
        """
        for gradient in self._sums:
            gradient.hand_over()
        self.team.add_up(self._stepped)
        norm = float(nn.utils.clip_grad_norm_(self._stepped, self.config.grad_clip))
        scale = lr_scale(self.num_steps, self.total_steps, self.config, self.progress)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * scale
            if math.isfinite(norm):
                part.step()
            part.zero_grad(set_to_none=True)
        with torch.no_grad():
            for weight, master in self._masters:
                weight.copy_(master)
        self.num_steps += 1
        return norm

    def check_same(self) -> None:
        """Raise ValueError where the team's processes no longer have the same weights."""
        self.team.check_same(self._stepped)

    def save(self, directory: Path) -> None:
        """Write moments, masters and step count beside a checkpoint's weights."""
        state = {"parts": [part.state_dict() for part in self._parts], "num_steps": self.num_steps}
        if self._masters:
            state["masters"] = [master.detach() for _, master in self._masters]
        torch.save(state, directory / _MOMENTS_FILE)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged, or holds the moments of other weights.
        """
        path = directory / _MOMENTS_FILE
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            parts, masters, num_steps = state["parts"], state.get("masters", []), state["num_steps"]
            _check_moments(self._parts, parts)
            if len(masters) != len(self._masters):
                raise ValueError(f"it has masters of {len(masters)} weights, the model needs {len(self._masters)}")
            for part, saved in zip(self._parts, parts, strict=True):
                part.load_state_dict(saved)
            with torch.no_grad():
                for (_, master), kept in zip(self._masters, masters, strict=True):
                    master.copy_(kept)
        except _DAMAGE as error:
            raise ValueError(
                f"{str(path)!r} does not hold this model's moments ({error}); remove that checkpoint, and the run goes "
                "on from the one before"
            ) from error
        self.num_steps = num_steps


class _GradientSum:
    """Adds up the gradients of a weight of lower precision over the pieces of a batch, each as soon as it is there."""

    def __init__(self, weight: Tensor, stepped: Tensor, *, seed: Callable[[int], int]) -> None:
        self._weight, self._stepped, self._seed = weight, stepped, seed
        self._sum: Tensor | None = None
        self._random = torch.Generator(weight.device)
        self._num_pieces = 0
        weight.register_post_accumulate_grad_hook(self._add)

    def hand_over(self) -> None:
        """Give the sum to what is stepped, and begin a new one."""
        if self._weight.grad is not None:  # it was set by hand, and no backward pass called
            self._add(self._weight)
        self._stepped.grad, self._sum, self._num_pieces = self._sum, None, 0

    def _add(self, weight: Tensor) -> None:
        gradient, weight.grad = weight.grad, None
        assert gradient is not None
        if self._sum is None:
            self._sum = gradient.to(self._stepped.dtype)
        elif self._sum.dtype == torch.float32:
            self._sum.add_(gradient)
        else:
            self._num_pieces += 1
            self._random.manual_seed(self._seed(self._num_pieces))
            self._sum = round_at_random(self._sum.float().add_(gradient), self._random)


def _check_moments(parts: Sequence[torch.optim.Optimizer], saved: Sequence[dict[str, Any]]) -> None:
    """Raise ValueError where moments have another shape than their weight: torch loads them without a word."""
    if len(parts) != len(saved):
        raise ValueError(f"it is of {len(saved)} optimizers, the config asks for {len(parts)}")
    for part, state in zip(parts, saved, strict=True):
        weights = [weight for group in part.param_groups for weight in group["params"]]
        for index, moments in state["state"].items():
            for name, value in moments.items():
                is_moment = isinstance(value, Tensor) and value.dim() and not name.endswith("_scale")
                if is_moment and value.shape != weights[index].shape:
                    raise ValueError(
                        f"{name} of weight {index} has shape {tuple(value.shape)}, not {tuple(weights[index].shape)}"
                    )


def _build(model: nn.Module, config: OptimConfig, master_of: Mapping[int, Tensor]) -> list[torch.optim.Optimizer]:
    """AdamW with weight decay on matrices only, in one of its two forms; or Muon on the hidden matrices beside it."""
    hidden, matrices, vectors = (
        [master_of.get(id(weight), weight) for weight in weights] for weights in _split_weights(model)
    )
    if config.name != "muon":
        hidden, matrices = [], hidden + matrices
    groups = [
        {"params": weights, "lr": config.lr, "peak_lr": config.lr, "weight_decay": decay}
        for weights, decay in ((matrices, config.weight_decay), (vectors, 0.0))
        if weights
    ]
    parts: list[torch.optim.Optimizer] = []
    if groups and config.name == "adamw8bit":
        parts.append(AdamW8(groups, lr=config.lr, betas=config.betas))
    elif groups:
        # One kernel for all weights where the device has it; on the CPU the plain form is the reproducible one.
        fused = True if all(weight.is_cuda for weight in matrices + vectors) else None
        parts.append(torch.optim.AdamW(groups, betas=config.betas, fused=fused))
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
