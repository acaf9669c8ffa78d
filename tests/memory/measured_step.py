"""Run real steps of a config on the CPU and print what the process took at most, by the kernel's account.

python -m tests.memory.measured_step MODEL.json STAGE CONFIG.json TEXT_TOKENS KERNELS

KERNELS are the forms that run: those of a `cpu`, or of a `cuda` device, on the CPU.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any, cast

import torch

from srpo.policy.fake import FakeProcessor, PromptShape
from srpo.policy.families import MODEL_FAMILIES
from srpo.policy.load import choose_trained
from srpo.policy.model_file import read_model_file
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.recompute import recompute_layers
from srpo.rl.config import RlConfig
from srpo.rl.memory import rl_job
from srpo.sft.config import SftConfig
from srpo.sft.memory import sft_job


def main(model: str, stage: str, settings: str, text_tokens: str, kernels: str) -> None:
    config: Any = (RlConfig if stage == "rl" else SftConfig).model_validate(json.loads(settings))
    prompt = PromptShape(int(text_tokens), 1, config.max_pixels, read_model_file(model).squares)
    # What libraries set up once, they set up here.
    small = prompt._replace(max_pixels=4000, squares=min(1, prompt.squares))
    step(Path(model), config.model_copy(update={"max_tokens": 4}), small, stage, kernels)
    gc.collect()
    # What the allocator kept of that is not what the second step is given for nothing.
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step(Path(model), config, prompt, stage, kernels)
    print(status("VmHWM") - before)


def step(model: Path, config: Any, prompt: PromptShape, stage: str, kernels: str) -> None:
    """Load, learn, step, and learn once more with moments there; a second pass of a step finds gradients."""
    import transformers

    torch.manual_seed(0)
    shapes = read_model_file(model).config
    network = getattr(transformers, MODEL_FAMILIES[shapes.model_type].model_class)._from_config(
        shapes, dtype=torch.float32, attn_implementation="sdpa"
    )
    choose_trained(network, trainable=True, freeze_vision=config.freeze_vision, lora=config.lora)
    processor = FakeProcessor(lambda size, dtype: torch.randn(tuple(size), dtype=dtype), shapes)
    processor.shape = prompt
    policy = Policy(network, cast("Any", processor), name="random", kernels=kernels)
    if config.recompute:
        recompute_layers(network)
    optimizer = Optimizer(network, config.optim, None)
    job = (rl_job if stage == "rl" else sft_job)(config)
    assert job.learn is not None
    learn = job.learn(config)
    for _ in range(2):
        for _ in range(2 if learn.is_repeated else 1):
            learn.run(policy, None, learn.prompts(policy))
        optimizer.step()


def status(name: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(name))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
