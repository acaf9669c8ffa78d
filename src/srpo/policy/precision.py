"""Which device, which number types and which attention a policy is held with, where a config says `auto`.

    device = pick_device("auto")          # "cuda" where there is a GPU, else "cpu"
    dtype = pick_dtype("auto", device)    # "bfloat16" on a GPU that has it, else "float32"
    pick_attention("auto", device, dtype) # "flash_attention_2" where it is installed and can run, else "sdpa"

bfloat16 weights train all the same: the optimizer steps float32 masters of them, adapters are float32.
"""

from typing import Literal

Dtype = Literal["float32", "bfloat16", "float16"]
AutoDtype = Literal["auto", "float32", "bfloat16", "float16"]
Attention = Literal["auto", "sdpa", "flash_attention_2"]


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


def pick_attention(attention: Attention, device: str, computed: str) -> str:
    """The kernel of the vision tower's attention, for passes that compute in the type `computed`.

    Raises:
        ValueError: flash attention is asked for and cannot run; the text says why.
    """
    if attention == "sdpa":
        return attention
    why = _without_flash(device, computed)
    if why is not None and attention != "auto":
        raise ValueError(f"attention {attention!r}: {why}; take sdpa, or auto")
    return "sdpa" if why is not None else "flash_attention_2"


def _without_flash(device: str, computed: str) -> str | None:
    """Why flash attention cannot run, if so."""
    if not device.startswith("cuda"):
        return f"it runs on a CUDA GPU, and device is {device!r}"
    if computed == "float32":
        return "it computes in bfloat16 or float16, not in float32; set dtype or autocast"
    from transformers.utils import is_flash_attn_2_available

    return None if is_flash_attn_2_available() else "it is not installed: pip install flash-attn"
