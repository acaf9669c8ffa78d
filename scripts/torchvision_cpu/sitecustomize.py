"""Lets a program that imports torchvision run beside a CPU build of torch; put this folder on its PYTHONPATH.

PyPI's torchvision is linked against CUDA: beside torch's CPU build its compiled part does not load, and the import ends
with `operator torchvision::nms does not exist`. What such programs use of it, the transforms, is plain torch. So the
two operators that the import looks for are declared before it. Where torchvision loads by itself, nothing is done.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library


class _BeforeTorchvision:
    """Finds no module; declares the operators when torchvision is looked for."""

    def __init__(self) -> None:
        self._library: Library | None = None

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol of sys.meta_path
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> None:
        """Called by every import that is not done yet."""
        if name == "torchvision" and self._library is None and "+" not in version("torchvision"):
            import torch

            if torch.version.cuda is None and torch.version.hip is None:
                self._library = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    self._library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _BeforeTorchvision())
