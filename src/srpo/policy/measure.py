"""What a stage keeps in memory at its worst moments, measured on shapes (`policy/fake.py`).

The layers of a language model are alike, so bytes are a line in their number: a few layers are run, twice, and the line
is drawn to the real number. Where a pass has several worst moments (the vision tower, the language model), each has its
own line.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from srpo.core.records import Sampling
from srpo.policy.config import LoraConfig, OptimConfig
from srpo.policy.decode import _compute_prompts, _Decoder, _PlainDecoder
from srpo.policy.fake import FakeProcessor, PromptShape, Shapes, fake_policy, shorten_tower
from srpo.policy.lean import lean_step
from srpo.policy.limits import CACHE_SHARE, cache_bytes_per_token, num_rows, parts_that_fit, prompt_bytes, row_bytes
from srpo.policy.load import Quantize
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.precision import Dtype
from srpo.policy.prefix import Prefix
from srpo.policy.processor import EncodedPrompt
from srpo.policy.recompute import recompute_layers

DEPTHS = (3, 4)
"""Layers that are run: Qwen3-VL's first three take what the tower hands on. Where layers of several kinds take turns,
whole rounds of them."""


class Held(NamedTuple):
    """How a policy is held, whatever is done with it."""

    model: Any
    """Hugging Face config of the model."""
    dtype: Dtype
    autocast: Dtype | None = None
    freeze_vision: bool = True
    lora: LoraConfig | None = None
    quantize: Quantize | None = None
    recompute: bool = False
    optim: OptimConfig | None = None
    """None for a policy that does not learn."""
    has_reference: bool = False
    """A second copy of the model, which does not learn."""
    kernels: str = "cpu"
    """Type of the device whose forms run."""


class Static(NamedTuple):
    """Bytes that are there all the time, or from the first step on."""

    weights: int
    gradients: int
    moments: int
    """Moments of the optimizer, and masters of weights of lower precision."""


class Moment(NamedTuple):
    """The worst moment of a phase."""

    total: int
    """Bytes beside those of `Static`."""
    cache: int
    """Keys and values of prompts and rows, of which `total` holds these."""
    pictures: int
    """Patches of pictures, of which `total` holds these; none once they are part of what the model remembers."""
    prompt_tokens: int


class Learn(NamedTuple):
    """One pass of loss and backward."""

    prompts: Callable[[Policy], list[EncodedPrompt]]
    """Makes what is there before the pass; what making it takes does not count."""
    run: Callable[[Policy, Policy | None, list[EncodedPrompt]], None]
    """The pass through policy and reference."""
    num_prompts: int
    is_repeated: bool
    """Whether a step has several passes: the later ones find the gradients of the first."""


class SamplingRoom(NamedTuple):
    """What is to be sampled, and how much memory there is for it."""

    num_prompts: int
    num_samples: int
    sampling: Sampling
    free: float
    """Bytes that `policy.limits.free_bytes` would give."""


class Measured:
    """Bytes of a policy that is held in one way, of a few depths; made once, measured in many ways."""

    def __init__(self, held: Held) -> None:
        self._whole: int = held.model.get_text_config().num_hidden_layers
        self._depths = _depths(held.model.get_text_config())
        self._stands = [_Stand(held, depth) for depth in self._depths]
        self.static = Static(*(self._extended([stand.static[part] for stand in self._stands]) for part in range(3)))
        self.scratch = max(0, self._extended([stand.scratch for stand in self._stands]))
        """Most that the optimizer's step takes beside what is there all the time."""

    def learning(self, learn: Learn, prompt: PromptShape) -> Moment:
        """The worst moment of a pass of loss and backward: the last one of a step."""
        found: list[list[int]] = []
        for stand in self._stands:
            policy, shapes = stand.policy, stand.shapes
            with shapes:
                cast("FakeProcessor", policy.processor).shape = prompt
                policy.model.zero_grad()
                if learn.is_repeated:
                    _make_gradients(shapes, policy)
                base = shapes.now
                prompts = learn.prompts(policy)
                with _segments(shapes, policy) as peaks:
                    learn.run(policy, stand.reference, prompts)
                found.append([peak - base for peak in peaks])
                has_features = any(prompt.features for prompt in prompts)
                del prompts
                one = policy.encode("")
        cache = 0 if policy.unshared else learn.num_prompts * one.num_tokens * cache_bytes_per_token(policy)
        total, at = self._worst(found)
        sees = policy.family.vision_trains(policy.model) or (at == 0 and not has_features)
        return Moment(total, cache, learn.num_prompts * _pixel_bytes(one) if sees else 0, one.num_tokens)

    def sampling(self, room: SamplingRoom, prompt: PromptShape) -> tuple[Moment, int]:
        """The worst moment of sampling as many rows at once as the run would, and that number of rows."""
        found: list[list[int]] = []
        for stand in self._stands:
            policy, shapes = stand.policy, stand.shapes
            with shapes:
                cast("FakeProcessor", policy.processor).shape = prompt
                prompts = policy.encode_many([("", [])] * room.num_prompts)
                num_tokens = prompts[0].num_tokens
                capacity = num_tokens + room.sampling.max_tokens
                most = num_rows(policy, capacity, CACHE_SHARE * room.free)
                rows = min(most, room.num_prompts * room.num_samples)
                base = shapes.now
                own = prompts[: -(-rows // room.num_samples)]
                for_prompts = (1 - CACHE_SHARE) * room.free
                parts = parts_that_fit([prompt_bytes(policy, one) for one in own], for_prompts)
                if policy.unshared:
                    own, parts = own[parts[0]], parts[:1]
                    rows = min(rows, len(own) * room.num_samples)
                pixels = max(sum(map(_pixel_bytes, own[part])) for part in parts)
                with _segments(shapes, policy) as peaks, torch.inference_mode(), policy.autocast():
                    decode_last = _begun(policy, own, rows, room)
                    _mark(shapes, peaks)
                    num_seeing = len(peaks)
                    decode_last()
                found.append([peak - base for peak in peaks])
                del prompts, own, decode_last
        cache = rows * row_bytes(policy, capacity)
        total, at = self._worst(found)
        return Moment(total, cache, pixels if at < num_seeing else 0, num_tokens), rows

    def _worst(self, found: list[list[int]]) -> tuple[int, int]:
        """The highest of the peaks, and which it is."""
        peaks = [self._extended(pair) for pair in zip(*found, strict=True)]
        return max(peaks), peaks.index(max(peaks))

    def _extended(self, values: Sequence[int]) -> int:
        """The line through two depths, at the depth of the model."""
        first, second = self._depths
        slope = (values[1] - values[0]) / (second - first)
        return round(values[0] + slope * (self._whole - first))


class _Stand:
    """A policy with a few layers, and what is there of it all the time."""

    def __init__(self, held: Held, depth: int) -> None:
        self.shapes = shapes = Shapes()
        with shapes:
            self.policy, self.reference = _policies(shapes, held, depth)
            weights = shapes.now
            self.optimizer = Optimizer(self.policy.model, held.optim, None) if held.optim else None
            masters = shapes.now - weights
            _make_gradients(shapes, self.policy)
            gradients = shapes.now - weights - masters
            shapes.restart()
            if self.optimizer is not None:
                self.optimizer.step()
            moments = shapes.now - weights
            self.static = Static(weights, gradients, moments)
            self.scratch = shapes.peak - sum(self.static)
            shorten_tower(self.policy)


def _depths(config: Any) -> tuple[int, int]:
    """Two numbers of layers, each a whole number of the rounds in which a language model's layers take turns."""
    kinds = getattr(config, "layer_types", None) or [""]
    size = next(size for size in range(1, len(kinds) + 1) if kinds == (kinds[:size] * len(kinds))[: len(kinds)])
    first = -(-DEPTHS[0] // size) * size
    return first, first + (DEPTHS[1] - DEPTHS[0]) * size


def _begun(policy: Policy, prompts: Sequence[EncodedPrompt], rows: int, room: SamplingRoom) -> Callable[[], None]:
    """Compute the prompts; what is returned chooses and runs the last token of every row, for the others take less."""
    sampling = room.sampling
    own: Any = {
        "prompt_B": torch.tensor([row // room.num_samples for row in range(rows)]),
        "starts": [[]] * rows,
        "uniform_B_T": torch.zeros((rows, sampling.max_tokens), dtype=torch.float64),
        "sampling": sampling,
    }
    if policy.unshared:
        return partial(_decode_last_plainly, _PlainDecoder(policy, prompts, **own), sampling.max_tokens - 1)
    prefix = _compute_prompts(policy, prompts, (1 - CACHE_SHARE) * room.free)
    return partial(_decode_last, policy, prefix, own)


def _decode_last(policy: Policy, prefix: Prefix, own: Any) -> None:
    decoder = _Decoder(policy, prefix, lean_step(policy), **own)
    for layer in decoder.layers:
        layer.length += own["sampling"].max_tokens - 1
    decoder._advance(decoder._choose())  # noqa: SLF001 - one step of many


def _decode_last_plainly(decoder: _PlainDecoder, num_tokens: int) -> None:
    memory = decoder.memory
    for layer in memory.cache.layers:
        # Recurrent layers do not grow, and windows no further than their size.
        if isinstance(layer, DynamicLayer) and layer.is_initialized:
            more = num_tokens
            if isinstance(layer, DynamicSlidingWindowLayer):
                layer.cumulative_length += num_tokens
                more = min(more, layer.sliding_window - 1 - layer.keys.shape[2])
            grown = layer.keys.new_empty((*layer.keys.shape[:2], more, layer.keys.shape[3]))
            layer.keys, layer.values = (torch.cat([states, grown], dim=-2) for states in (layer.keys, layer.values))
    memory.shown_R_S = torch.nn.functional.pad(memory.shown_R_S, (0, num_tokens), value=1)
    decoder._advance(decoder._choose())  # noqa: SLF001 - one step of many


def _pixel_bytes(prompt: EncodedPrompt) -> int:
    return 0 if prompt.pixel_values is None else prompt.pixel_values.nbytes


def _policies(shapes: Shapes, held: Held, depth: int) -> tuple[Policy, Policy | None]:
    """The policy, and the reference beside it."""
    how: dict[str, Any] = {"num_layers": depth, "dtype": held.dtype, "autocast": held.autocast, "kernels": held.kernels}
    make: Callable[..., Policy] = partial(fake_policy, shapes, held.model, **how)
    policy = make(
        trainable=held.optim is not None,
        freeze_vision=held.freeze_vision,
        lora=held.lora,
        quantize=held.quantize,
    )
    if held.recompute:
        recompute_layers(policy.model)
    if not held.has_reference:
        return policy, None
    if held.lora is not None:
        return policy, policy
    return policy, make(trainable=False)


def _make_gradients(shapes: Shapes, policy: Policy) -> None:
    """A gradient for every weight that learns."""
    for weight in policy.model.parameters():
        if weight.requires_grad:
            weight.grad = shapes.empty(weight.shape, weight.dtype)


def _mark(shapes: Shapes, peaks: list[int]) -> None:
    peaks.append(shapes.restart())


@contextmanager
def _segments(shapes: Shapes, policy: Policy) -> Iterator[list[int]]:
    """The peaks before, between and after the entries into the language model."""
    peaks: list[int] = []
    shapes.restart()
    hook = policy.model.model.language_model.register_forward_pre_hook(lambda *_: _mark(shapes, peaks))
    try:
        yield peaks
        peaks.append(shapes.peak)
    finally:
        hook.remove()
