"""The memory of a stage's run, for `srpo plan`, for `--dry_run`, and for whoever ran out of it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srpo.models.config import ServerConfig

if TYPE_CHECKING:
    from srpo.policy.plan import Job, MemoryPlan

STAGES = ("sft", "rl", "eval")
"""Stages whose memory can be planned."""


def memory_plan(
    stage: str, config: Any, *, gpu: str | None = None, shapes: Path | None = None, **how: Any
) -> "MemoryPlan":
    """Plan a run, on the device of its config or on a GPU of so much memory; `how` goes to `plan_memory`.

    Raises:
        ValueError: nothing of the model is known here, or it is not on this machine at all.
    """
    if isinstance(config.model, ServerConfig):
        raise ValueError("the model is behind a server, so nothing of it is in this machine's memory")
    source = shapes or config.model
    if "/" in str(source) and not Path(source).expanduser().exists():
        # Said before torch is imported.
        raise ValueError(f"there is no {str(source)!r} on this machine; name the model's config.json by --shapes FILE")
    from srpo.policy.model_file import read_model_file
    from srpo.policy.plan import device_target, parse_gpu, plan_memory

    model = read_model_file(source)
    target = parse_gpu(gpu) if gpu is not None else device_target(config.device)
    return plan_memory(_job_maker(stage)(config), model, target, **how)


def _job_maker(stage: str) -> "Callable[[Any], Job]":
    match stage:
        case "sft":
            from srpo.sft.memory import sft_job

            return sft_job
        case "rl":
            from srpo.rl.memory import rl_job

            return rl_job
        case _:
            from srpo.eval.memory import eval_job

            return eval_job


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or this machine had no memory left; known without importing torch."""
    if isinstance(error, MemoryError):
        return True
    by_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, RuntimeError) and by_torch


def explain_out_of_memory(stage: str, config: Any, error: Exception) -> str:
    """What the run would have needed, and what to lower."""
    from srpo.policy.plan import render_plan

    what = (str(error) or type(error).__name__).partition("\n")[0]
    try:
        plan = render_plan(memory_plan(stage, config, ran_out=True))
    except ValueError as no_plan:
        plan = f"no plan of it can be made ({no_plan}); lower micro_*, max_pixels or max_tokens"
    return f"out of memory ({what}). The same command goes on once less is asked for.\n{plan}"
