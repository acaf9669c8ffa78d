"""One step of GRPO in TRL's own trainer, with the model, adapters and numbers of the benchmark; a row beside `step`.

TRL gets the very model with its adapters and layers that are computed again, no reference model, and samples with
`generate`, as it does when vLLM is off. The second of two steps counts.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import Image

if TYPE_CHECKING:
    from benchmarks.gpu.run import Load
    from srpo.policy.policy import Policy


def trl_step(policy: "Policy", pictures: list[Image], text: str, load: "Load") -> dict[str, Any]:
    """Tokens, seconds and peak of a step; or why there is none."""
    try:
        import trl  # noqa: F401
    except ImportError as error:
        how = "python -m pip install trl==1.16.0 datasets, beside srpo in an environment that may change"
        return {"error": f"not installed: {error}; {how}"}
    try:
        with TemporaryDirectory() as folder:
            return _step(policy, pictures, text, load, Path(folder))
    # A peer may fail in any way; the other rows are not to suffer from it.
    except Exception as error:
        return {"error": f"trl: {type(error).__name__}: {str(error)[:300]}"}


def _step(policy: "Policy", pictures: list[Image], text: str, load: "Load", folder: Path) -> dict[str, Any]:
    from datasets import Dataset
    from transformers import AutoProcessor
    from trl import GRPOConfig, GRPOTrainer

    policy.tokenizer.save_pretrained(folder)
    policy.processor.image_processor.save_pretrained(folder)
    # A processor is found by the family that a config names.
    policy.model.config.save_pretrained(folder)
    is_gpu = policy.device.type == "cuda"
    rows = [{"prompt": [{"role": "user", "content": text}], "image": picture} for picture in pictures]
    clock = _clock(is_gpu=is_gpu)
    trainer = GRPOTrainer(
        policy.model,
        reward_funcs=lambda completion_ids, **_: [float(sum(ids) % 7) for ids in completion_ids],
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            max_steps=2,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=load.num_prompts * load.group // 2,
            num_generations=load.group,
            max_completion_length=load.tokens,
            generation_kwargs={"suppress_tokens": list(policy.banned_ids)},
            learning_rate=1e-5,
            beta=0.0,
            # Layers are computed again already, by the model itself.
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=not is_gpu,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoProcessor.from_pretrained(folder),
        callbacks=[clock],
    )
    trainer.train()
    tokens = load.num_prompts * load.group * load.tokens
    seconds = clock.seconds
    return {
        "tokens": tokens, "seconds": round(seconds, 4), "tokens_per_s": round(tokens / seconds, 1),
        "peak_bytes": torch.cuda.max_memory_allocated() if is_gpu else None,
    }  # fmt: skip


def _clock(*, is_gpu: bool) -> Any:
    """Times the last step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        seconds = 0.0
        begun = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if is_gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            self.begun = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if is_gpu:
                torch.cuda.synchronize()
            self.seconds = time.perf_counter() - self.begun

    return Clock()
