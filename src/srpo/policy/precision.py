"""Which device and which number types a policy is held in, where a config says `auto`.

    device = pick_device("auto")          # "cuda" where there is a GPU, else "cpu"
    dtype = pick_dtype("auto", device)    # "bfloat16" on a GPU that has it, else "float32"

bfloat16 weights train all the same: the optimizer steps float32 masters of them, adapters are float32.
"""

from typing import Literal

Dtype = Literal["float32", "bfloat16", "float16"]
AutoDtype = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device(device: str) -> str:
    """The device itself, or the best one for `auto`.

    Raises:
        ValueError: a GPU is asked for and torch sees none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: this torch ({torch.__version__}) sees no GPU; use cpu, or a CUDA build")
    return device


def pick_dtype(dtype: AutoDtype, device: str) -> Dtype:
    """The type itself, or the best one of `device` for `auto`."""
    import torch

    if dtype != "auto":
        return dtype
    has_bfloat16 = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float32"
