"""AdamW with moments of eight bits, for weights that are updated in place in the type they have.

Two bytes of moments a weight in place of eight (Dettmers et al. 2022: a value is one of 256 steps, spaced dynamically
between 1e-7 and 1, times the largest of its block of 256). Of the second moment it is the root that is kept, whose
range is half as wide, and never as 0: a step divides by it. bfloat16 weights need no float32 copy beside them: what
rounding to nearest would take back, rounding at random keeps on average. Its random numbers are a function of step and
weight, so a resumed run takes the steps of an uninterrupted one.

    optimizer = AdamW8(model.parameters(), lr=1e-6)
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 256
"""Values that share a scale."""
CHUNK = 2**24
"""Values that are unpacked at once; a bound on scratch memory, a multiple of BLOCK."""
SMALL = 4096
"""Weights with fewer values keep float32 moments: norms and biases matter more than what they would save."""


class AdamW8(torch.optim.Optimizer):
    """AdamW (decoupled weight decay) over float32 or bfloat16 weights."""

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        assert closure is None
        index = 0
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group, index)
                index += 1

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read what `state_dict` gave, in the types that it had: torch would make floats of the steps."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for index, saved in state_dict["state"].items():
            weight = weights[index]
            self.state[weight] = {
                name: value.to(weight.device, copy=True) if isinstance(value, Tensor) else value
                for name, value in saved.items()
            }

    def _update(self, weight: Tensor, group: dict[str, Any], index: int) -> None:
        state = self.state[weight]
        if not state:
            state.update(_empty_moments(weight))
        state["step"] += 1
        generator = torch.Generator(weight.device).manual_seed(state["step"] * 1_000_003 + index)
        assert weight.grad is not None
        flat, gradient = weight.view(-1), weight.grad.reshape(-1)
        for begin in range(0, flat.numel(), CHUNK):
            part = slice(begin, begin + CHUNK)
            blocks = slice(begin // BLOCK, (begin + CHUNK) // BLOCK)
            now, slope = flat[part].float(), gradient[part].float()
            mean = _unpack(state, "mean", part, blocks).lerp_(slope, 1 - group["betas"][0])
            square = _unpack(state, "root", part, blocks).square_()
            root = square.lerp_(slope.square_(), 1 - group["betas"][1]).sqrt_()
            first, second = (1 - beta ** state["step"] for beta in group["betas"])
            size = (root / math.sqrt(second)).add_(group["eps"])
            now.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(mean, size, value=-group["lr"] / first)
            flat[part] = now if weight.dtype == torch.float32 else round_at_random(now, generator)
            _pack(state, "mean", mean, part, blocks)
            _pack(state, "root", root, part, blocks)


def round_at_random(values: Tensor, generator: torch.Generator) -> Tensor:
    """float32 to bfloat16, up with the probability of the part that is cut off, so that the mean stays."""
    bits = values.view(torch.int32)
    noise = torch.randint(0, 2**16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    rounded = ((bits + noise) & -(2**16)).view(torch.float32)
    return torch.where(values.isfinite(), rounded, values).to(torch.bfloat16)


def _empty_moments(weight: Tensor) -> dict[str, Any]:
    state: dict[str, Any] = {"step": 0}
    for name in ("mean", "root"):
        if weight.numel() < SMALL:
            state[name] = torch.zeros_like(weight, dtype=torch.float32)
            continue
        zero = int((_steps(name) == 0).nonzero()[0])
        state[name] = torch.full_like(weight, zero, dtype=torch.uint8)
        state[f"{name}_scale"] = torch.zeros(-(-weight.numel() // BLOCK), device=weight.device)
    return state


def _unpack(state: dict[str, Any], name: str, part: slice, blocks: slice) -> Tensor:
    packed: Tensor = state[name].view(-1)[part]
    if packed.dtype == torch.float32:
        return packed.clone()
    values = _steps(name).to(packed.device)[packed.long()]
    scale = state[f"{name}_scale"][blocks].repeat_interleave(BLOCK)[: len(values)]
    return values.mul_(scale)


def _pack(state: dict[str, Any], name: str, values: Tensor, part: slice, blocks: slice) -> None:
    if state[name].dtype == torch.float32:
        state[name].view(-1)[part] = values
        return
    padded = torch.nn.functional.pad(values, (0, -len(values) % BLOCK)).view(-1, BLOCK)
    scale = padded.abs().amax(1)
    relative = (padded / scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).view(-1)[: len(values)]
    steps = _steps(name).to(values.device)
    nearest = torch.bucketize(relative, (steps[1:] + steps[:-1]) / 2)
    if name == "root":
        nearest = torch.maximum(nearest, (values > 0).to(nearest.dtype))
    state[name].view(-1)[part] = nearest.to(torch.uint8)
    state[f"{name}_scale"][blocks] = scale


@cache
def _steps(name: str) -> Tensor:
    """The 256 values of a byte in rising order: seven powers of ten, finer ones the nearer to 1, and both signs."""
    signed = name == "mean"
    positive: list[float] = []
    for exponent in range(7):
        count = 2**exponent if signed else 2 ** (exponent + 1)
        edges = torch.linspace(0.1, 1, count + 1, dtype=torch.float64)
        positive += (((edges[:-1] + edges[1:]) / 2) * 10.0 ** (exponent - 6)).tolist()
    values = positive + ([-value for value in positive] if signed else []) + [0.0, 1.0]
    return torch.tensor(sorted(values), dtype=torch.float32)
