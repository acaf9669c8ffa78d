"""Lets a program that imports torchvision run beside a CPU build of torch; put this folder on its PYTHONPATH.

PyPI's torchvision is linked against CUDA: beside torch's CPU build its compiled part does not load, and the import ends
with `operator torchvision::nms does not exist`. What such programs use of it, the transforms, is plain torch. So the
two operators that the import looks for are declared before it. Where torchvision loads by itself, nothing is done.
"""

import sys
from importlib.metadata import version


class _BeforeTorchvision:
    """Finds no module; declares the operators when torchvision is looked for."""

    library = None

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the protocol of sys.meta_path
        """Called by every import that is not done yet."""
        if name == "torchvision" and _BeforeTorchvision.library is None and "+" not in version("torchvision"):
            import torch

            if torch.version.cuda is None and torch.version.hip is None:
                _BeforeTorchvision.library = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _BeforeTorchvision())
