"""Problems as the model reads them: prompt text and pictures, processed once and kept."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from srpo.core.prompts import user_text
from srpo.core.records import Problem
from srpo.data.images import load_image

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt

T = TypeVar("T")


class PromptEncoder:
    """Encodes problems for one policy and keeps the most recently used ones.

    Only the number of kept prompts is bounded: pictures of one data set have similar sizes.
    """

    def __init__(self, policy: "Policy", prompt: str, *, size: int, max_pixels: int | None) -> None:
        self._policy = policy
        self._prompt = prompt
        self._size = size
        self._max_pixels = max_pixels
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], EncodedPrompt] = OrderedDict()

    def encode_all(self, problems: Sequence[Problem]) -> "list[EncodedPrompt]":
        """The prompts of `problems`, in order; raises ImageError (a ValueError) when a picture cannot be read."""
        # Not the id: two data sets may use the same one.
        keys = [(user_text(problem, self._prompt), problem.images) for problem in problems]
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        items = [(text, [load_image(ref, max_pixels=self._max_pixels) for ref in images]) for text, images in missing]
        self._kept.update(zip(missing, self._policy.encode_many(items), strict=True))
        for key in keys:
            self._kept.move_to_end(key)
        encoded = [self._kept[key] for key in keys]
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return encoded


def split(batch: Sequence[T], size: int | None) -> list[list[T]]:
    """Cut a batch into micro-batches of at most `size`; None leaves it whole."""
    step = size or max(1, len(batch))
    return [list(batch[at : at + step]) for at in range(0, len(batch), step)]
