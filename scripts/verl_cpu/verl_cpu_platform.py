"""Lets verl 0.9.1 train on the CPU, with vLLM's CPU build: for `make verl-smoke`, and of no other use.

verl has platforms for three makers of accelerators and none for the CPU. This module is named by
VERL_USE_EXTERNAL_MODULES beside VERL_PLATFORM=cpu, and puts one into every process of verl: one device, called `cpu`,
whose memory is not counted, whose processes talk by gloo. Ray is told of one GPU that is none.
"""

import importlib
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed
import verl.utils.device  # noqa: F401 - the platforms register there
from verl.plugin.platform import platform_manager
from verl.plugin.platform.platform_cuda import PlatformCUDA

_MEMORY = (8 << 30, 16 << 30)
_LINEAR = ("utils", "linear", "vocab_parallel_embedding")
"""Modules of vLLM that choose how a layer multiplies."""


class _Device(types.ModuleType):
    """What verl asks of `torch.cuda`, answered for a CPU."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if hasattr(torch.cpu, name):
            return getattr(torch.cpu, name)
        if name.endswith(("_allocated", "_reserved")):
            return lambda *_, **__: 0
        answers: dict[str, Any] = {
            "get_device_name": lambda *_, **__: "CPU",
            "mem_get_info": lambda *_, **__: _MEMORY,
            "get_rng_state": lambda *_, **__: torch.get_rng_state(),
            "set_rng_state": lambda state, *_, **__: torch.set_rng_state(state),
        }
        return answers.get(name, lambda *_, **__: None)


@platform_manager.PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformCUDA):  # type: ignore[misc]
    """One device, which is none."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _Device("verl_cpu_device")

    def is_available(self) -> bool:
        """Always."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:  # noqa: ARG002 - verl's signature
        """Always."""
        return True

    def current_device(self) -> str:
        """Its name: an index would be a GPU's."""
        return "cpu"

    def device_count(self) -> int:
        """One."""
        return 1

    def set_device(self, index: int) -> None:
        """Nothing to choose."""

    def synchronize(self, index: int | None = None) -> None:
        """Nothing to wait for."""

    def manual_seed(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None:
        """There is no such allocator."""

    def empty_cache(self) -> None:
        """Nothing is kept."""

    def get_device_capability(self, index: int = 0) -> tuple[None, None]:  # noqa: ARG002 - verl's signature
        """None."""
        return None, None

    def communication_backend_name(self) -> str:
        """Of torch.distributed."""
        return "gloo"

    def is_ipc_supported(self) -> bool:
        """Memory of a device is not shared by handles."""
        return False

    def get_device_uuid(self, device_id: int) -> str:  # noqa: ARG002 - verl's signature
        """A name."""
        return "cpu-0"

    def profiler_start(self) -> None:
        """Nothing to profile."""

    def profiler_stop(self) -> None:
        """Nothing to profile."""

    @contextmanager
    def nvtx_range(self, message: str) -> Iterator[None]:  # noqa: ARG002 - verl's signature
        """Nothing to mark."""
        yield


def _talk_by_gloo() -> None:
    """The device is called `cpu`, so verl asks for `cpu:gloo,cpu:gloo`."""
    begin = torch.distributed.init_process_group

    def init_process_group(backend: Any = None, *arguments: Any, **more: Any) -> None:
        is_ours = isinstance(backend, str) and "cpu:gloo" in backend
        begin("gloo" if is_ours else backend, *arguments, **more)

    torch.distributed.init_process_group = init_process_group


def _train_as_on_a_gpu() -> None:
    """Verl registers its engines by the device's name."""
    from verl.workers.engine import base

    name_of = base.get_device_name
    base.get_device_name = lambda: "cuda" if name_of() == "cpu" else name_of()


def _keep_plain_weights() -> None:
    """VLLM's CPU build packs the weights of linear layers and forgets them, so that no others can be loaded."""

    def plain(layer: Any, remove_weight: bool) -> None:  # noqa: ARG001 - vLLM's signature
        layer.cpu_linear = torch.nn.functional.linear

    for name in _LINEAR:
        with suppress(ImportError):
            module = importlib.import_module(f"vllm.model_executor.layers.{name}")
            if hasattr(module, "dispatch_cpu_unquantized_gemm"):
                vars(module)["dispatch_cpu_unquantized_gemm"] = plain


platform_manager._current_platform = None  # noqa: SLF001 - chosen before this module was there
_talk_by_gloo()
_train_as_on_a_gpu()
_keep_plain_weights()
