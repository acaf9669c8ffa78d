"""A policy of real shapes that holds no numbers, and what a computation with it would keep in memory.

Inside `Shapes` the update step and the sampler run unchanged. What depends on weights or pictures has a shape and no
values (torch's fake tensors); what does not, such as token ids, positions and masks, is computed, because the code
reads it. Every storage is counted from the operation that makes it to its end.

    shapes = Shapes()
    with shapes:
        policy = fake_policy(shapes, config, num_layers=28, dtype="bfloat16")
        shapes.restart()
        completion_logprobs(policy, prompts, completions).logprobs_B_T.sum().backward()
    shapes.peak
"""

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from srpo.policy.config import LoraConfig
from srpo.policy.families import MODEL_FAMILIES
from srpo.policy.load import Quantize, choose_trained, quiet_transformers
from srpo.policy.policy import Policy
from srpo.policy.precision import Dtype
from srpo.policy.processor import CHANNELS, CutPicture, EncodedPrompt, Processor
from srpo.policy.tiles import tokens_per_tile

_LARGEST = 2**22
"""Values up to which operations on real tensors are carried out; what is larger, nobody reads."""
_ATEN = torch.ops.aten
_INDEXING = frozenset(
    {
        _ATEN.index.Tensor,
        _ATEN.index_put.default,
        _ATEN.index_put_.default,
        _ATEN._index_put_impl_.default,
    }
)
_FACTORIES = frozenset({_ATEN.empty, _ATEN.zeros, _ATEN.ones, _ATEN.full, _ATEN.rand, _ATEN.randint})
_META = torch.device("meta")
_FOUR_BIT_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""A weight in NF4 with double quantization: four bits, a byte for 64 of them, a float for 256 of those."""
TEXT_TOKEN = 7
"""Id that stands for all words."""


class Shapes(TorchDispatchMode):
    """Context in which tensors have bytes, and values only where these follow from no weight and no picture."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        """Bytes of all storages that are alive."""
        self.peak = 0
        """Most bytes since the last `restart`."""
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._alive: dict[int, weakref.ref[Any]] = {}

    def restart(self) -> int:
        """Measure the peak from here on; the one until now is returned."""
        peak, self.peak = self.peak, self.now
        return peak

    def empty(self, size: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor without values."""
        how = {"dtype": dtype, "device": torch.device("cpu")}
        made = self._fake.__torch_dispatch__(_ATEN.empty.memory_format, (), (list(size),), how)
        assert isinstance(made, Tensor)
        self._count(made)
        return made

    def fill(self, model: nn.Module) -> None:
        """Give a model on the meta device tensors that count."""
        made: dict[int, Tensor] = {}
        for module in model.modules():
            kinds: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)  # noqa: SLF001 - to keep ties
            for kind in kinds:
                for name, one in kind.items():
                    if one is None:
                        continue
                    if id(one) not in made:
                        new = self.empty(one.shape, one.dtype)
                        made[id(one)] = nn.Parameter(new, one.requires_grad) if isinstance(one, nn.Parameter) else new
                    kind[name] = made[id(one)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and count what it makes."""
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return torch.device("cpu")
        tensors = list(_tensors((*args, *kwargs.values())))
        is_fake = any(isinstance(one, FakeTensor) for one in tensors)
        if is_fake and func is _ATEN._local_scalar_dense.default:  # noqa: SLF001 - what `float(tensor)` calls
            return 1.0 if args[0].is_floating_point() else 1
        if is_fake and func in _INDEXING:
            args = (args[0], _numbered(args[1]), *args[2:])
        is_large = sum(one.numel() for one in tensors) > _LARGEST
        if getattr(func, "overloadpacket", None) in _FACTORIES and kwargs.get("device") != _META:
            is_large = func(*args, **(kwargs | {"device": _META})).numel() > _LARGEST
        if is_fake or is_large:
            made = self._fake.__torch_dispatch__(func, types, args, kwargs)
        else:
            made = func(*args, **kwargs)
        for one in _tensors((made,)):
            self._count(one)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()  # noqa: SLF001 - its identity
        if key in self._alive:
            return

        def gone(_: object) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _numbered(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Masks as the numbers of their places: how many there are decides the shape of what they pick."""
    found: list[Tensor | None] = []
    for one in indices:
        if one is not None and one.dtype == torch.bool and not isinstance(one, FakeTensor):
            found += one.nonzero(as_tuple=True)
        else:
            found.append(one)
    return found


class PromptShape(NamedTuple):
    """A prompt as far as memory goes."""

    text_tokens: int
    """Tokens of template, instruction and question."""
    num_pictures: int
    max_pixels: int
    """Area of each picture."""
    squares: int = 0
    """Squares that each picture is cut into, in families that do so, whatever its area."""


def fake_policy(
    shapes: Shapes,
    config: Any,
    *,
    num_layers: int,
    dtype: Dtype,
    autocast: Dtype | None = None,
    trainable: bool = True,
    freeze_vision: bool = True,
    lora: LoraConfig | None = None,
    quantize: Quantize | None = None,
    kernels: str = "cpu",
) -> Policy:
    """What `load_policy` would load for a model of this Hugging Face `config`, with that many layers of its language.

    Its processor makes of every text a prompt of the shape that its `shape` says; the forms that a device of type
    `kernels` runs are run. Call it inside `shapes`.
    """
    import transformers

    quiet_transformers()
    family = MODEL_FAMILIES[config.model_type]
    config = copy.deepcopy(config)
    text = config.get_text_config()
    whole, text.num_hidden_layers = text.num_hidden_layers, num_layers
    kinds = getattr(text, "layer_types", None)
    if kinds:
        text.layer_types = [kinds[number % len(kinds)] for number in range(num_layers)]
    if hasattr(config.vision_config, "fullatt_block_indexes"):
        # Attention by windows takes the same bytes in hundreds of calls.
        config.vision_config.fullatt_block_indexes = list(range(config.vision_config.depth))
    with _META:
        model_class = getattr(transformers, family.model_class)
        model = model_class._from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")  # noqa: SLF001
        if quantize is not None:
            _to_four_bits(model.model.language_model.layers)
        choose_trained(model, trainable=trainable, freeze_vision=freeze_vision, lora=lora)
    # What bounds the cache goes by the whole model.
    text = model.config.get_text_config()
    text.num_hidden_layers = whole
    if kinds and whole >= num_layers:
        text.layer_types = kinds
    shapes.fill(model)
    processor = cast("Processor", FakeProcessor(shapes.empty, config))
    return Policy(model, processor, name=config.model_type, autocast=autocast, kernels=kernels)


def shorten_tower(policy: Policy) -> None:
    """Leave a few blocks of a vision tower that does not train: one after the other, they take the same memory."""
    model, family = policy.model.model, policy.family
    if family.vision_trains(policy.model):
        return
    tower = model.get_submodule(family.vision[0])
    # Qwen3-VL hands on what some of its blocks have made.
    num_handed = len(getattr(tower, "deepstack_visual_indexes", ()))
    if num_handed:
        tower.deepstack_visual_indexes = list(range(num_handed))
    parent, _, name = family.vision_blocks.rpartition(".")
    setattr(model.get_submodule(parent), name, model.get_submodule(family.vision_blocks)[: num_handed + 1])


class _FakeTokenizer:
    """A vocabulary without words."""

    def __init__(self, size: int, image_token_id: int) -> None:
        self._size = size
        self._image_token_id = image_token_id
        self.eos_token_id = self.pad_token_id = 0

    def get_vocab(self) -> dict[str, int]:
        """Every id of the matrix."""
        names = {str(number): number for number in range(self._size)}
        del names[str(self._image_token_id)]
        return names | {"<|image_pad|>": self._image_token_id}


class FakeProcessor:
    """Stands for `Processor`: whatever the text, the prompt has one shape."""

    def __init__(self, empty: Callable[[Sequence[int], torch.dtype], Tensor], config: Any) -> None:
        """`empty` makes the patches of pictures."""
        self.image_token_id: int = config.image_token_id
        self.tokenizer = _FakeTokenizer(config.get_text_config().vocab_size, self.image_token_id)
        self.shape = PromptShape(1, 0, 0)
        self._empty = empty
        self._config = config

    def encode(self, messages: object, images: object = ()) -> EncodedPrompt:  # noqa: ARG002 - as in Processor
        """The prompt."""
        return self._encode()

    def encode_many(self, conversations: Sequence[object]) -> list[EncodedPrompt]:
        """One prompt for each."""
        return [self._encode() for _ in conversations]

    def cut(self, images: object) -> list[CutPicture]:  # noqa: ARG002 - as in Processor
        """No picture: the prompt has those of its shape."""
        return []

    def assemble(self, messages: object, pictures: object) -> EncodedPrompt:  # noqa: ARG002 - as in Processor
        """The prompt."""
        return self._encode()

    def _encode(self) -> EncodedPrompt:
        shape = self.shape
        grid, size = self._squares() if shape.squares else self._patches()
        tokens = tokens_per_tile(self._config) * shape.squares if grid is None else grid[0] * grid[1]
        picture = [TEXT_TOKEN, *[self.image_token_id] * tokens]
        ids = torch.tensor([TEXT_TOKEN] * shape.text_tokens + picture * shape.num_pictures + [TEXT_TOKEN])
        if not shape.num_pictures:
            return EncodedPrompt(input_ids=ids)
        merge = 1 if grid is None else self._config.vision_config.spatial_merge_size
        grids = None if grid is None else [[1, grid[0] * merge, grid[1] * merge]] * shape.num_pictures
        return EncodedPrompt(
            input_ids=ids,
            pixel_values=self._empty((size[0] * shape.num_pictures, *size[1:]), torch.float32),
            image_grid_thw=None if grids is None else torch.tensor(grids),
            num_image_tokens=tokens * shape.num_pictures,
        )

    def _patches(self) -> tuple[tuple[int, int], tuple[int, ...]]:
        """Tokens of a picture along height and width, and the shape of its patches."""
        vision = self._config.vision_config
        merge, patch = vision.spatial_merge_size, vision.patch_size
        cells = max(1, self.shape.max_pixels // (patch * merge) ** 2)
        height = int(cells**0.5)
        width = cells // height
        return (height, width), (height * width * merge**2, CHANNELS * vision.temporal_patch_size * patch**2)

    def _squares(self) -> tuple[None, tuple[int, ...]]:
        """The shape of the squares of a picture, which have no grid."""
        side = self._config.vision_config.image_size
        return None, (self.shape.squares, CHANNELS, *((side, side) if isinstance(side, int) else side))


class _Unpacked(torch.autograd.Function):
    """A linear layer over packed weights, which are unpacked for a moment in either pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, packed: Tensor, size: tuple[int, int], bias: Tensor | None) -> Tensor:
        """As `bitsandbytes.nn.Linear4bit`."""
        ctx.save_for_backward(packed)
        ctx.size = size
        return nn.functional.linear(values, values.new_empty(size), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """No gradient for what is packed."""
        (gradient,) = gradients
        return gradient @ gradient.new_empty(ctx.size), None, None, None


class _FourBitLinear(nn.Linear):
    """The shape of a linear layer whose weights are held in four bits."""

    def __init__(self, plain: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = plain.in_features, plain.out_features, plain.bias
        packed = plain.weight.new_empty(int(plain.weight.numel() * _FOUR_BIT_BYTES), dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        """Unpack and multiply."""
        size = (self.out_features, self.in_features)
        made: Tensor = _Unpacked.apply(values, self.weight, size, self.bias)  # type: ignore[no-untyped-call]
        return made


def _to_four_bits(blocks: nn.Module) -> None:
    for parent in list(blocks.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _FourBitLinear(child))
