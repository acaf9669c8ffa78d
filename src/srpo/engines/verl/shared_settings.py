"""Settings that verl's two trainers share."""

from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.hydra import Settings
from srpo.policy.config import LoraConfig, OptimConfig
from srpo.policy.engine import EngineConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

_LONGEST_AT_ONCE = 2


def tokens_at_once(engine: EngineConfig, longest: int) -> int:
    """Tokens that a GPU learns from at once, of prompts and responses that have `longest` at most.

    Raises:
        ValueError: not even one of them would fit.
    """
    if engine.tokens_per_gpu is None:
        return _LONGEST_AT_ONCE * longest
    if engine.tokens_per_gpu * engine.sequence_parallel < longest:
        raise ValueError(
            f"engine.tokens_per_gpu {engine.tokens_per_gpu:,}: the longest prompt and response have {longest:,} "
            "tokens; raise it, or lower max_pixels or max_tokens"
        )
    return engine.tokens_per_gpu


def is_float32(config: RlConfig | SftConfig) -> bool:
    """Whether everything computes in float32; verl's weights and moments are float32 in any case."""
    return config.dtype == "float32" and config.autocast is None


def computes_in(config: RlConfig | SftConfig) -> str:
    """Type of forward passes."""
    return "float32" if is_float32(config) else "bfloat16"


def mixed_precision(config: RlConfig | SftConfig) -> Settings:
    """FSDP casts to bfloat16 unless it is told otherwise, whatever the type of the weights."""
    if not is_float32(config):
        return {}
    return {"+mixed_precision": {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}}


def adapter_settings(lora: LoraConfig | None, facts: RunFacts) -> Settings:
    """Adapters of the layers that ours would have."""
    if lora is None:
        return {"lora_rank": 0, "target_modules": "all-linear", "exclude_modules": None, "lora.merge": False}
    return {
        "lora_rank": lora.rank,
        "lora_alpha": int(alpha) if (alpha := float(lora.scaled_by)).is_integer() else alpha,
        "target_modules": facts.adapted,
        # Samplers have adapters for language models alone; those of a tower are added to its weights for them.
        "exclude_modules": None if lora.vision else f".*({'|'.join(facts.vision)}).*",
        "lora.merge": lora.vision,
        "lora_adapter_path": None,
    }


def save_contents() -> list[str]:
    """What a checkpoint holds: what a run goes on from, and the model as others read it."""
    return ["model", "optimizer", "extra", "hf_model"]


def optimizer_settings(optim: OptimConfig) -> Settings:
    """AdamW. The schedule is ours, put in by the plugin: verl's warm-up begins with a step at a rate of 0."""
    return {
        "optimizer": "AdamW",
        "optimizer_impl": "torch.optim",
        "lr": optim.lr,
        "betas": list(optim.betas),
        "weight_decay": optim.weight_decay,
        "clip_grad": optim.grad_clip,
        "lr_scheduler_type": optim.schedule,
        "lr_warmup_steps": -1 if optim.warmup_steps is None else optim.warmup_steps,
        "lr_warmup_steps_ratio": optim.warmup_share if optim.warmup_steps is None else 0.0,
        "min_lr_ratio": 0.0,
        "num_cycles": 0.5,
    }


def places(engine: EngineConfig, facts: RunFacts) -> Settings:
    """Machines, names and folders."""
    return {
        "nnodes": engine.nodes,
        "n_gpus_per_node": engine.gpus,
        "device": "cuda",
        "project_name": "srpo",
        "experiment_name": facts.run.name,
        "logger": ["console", "file"],
        "default_local_dir": str(facts.checkpoints),
        "default_hdfs_dir": None,
        "resume_mode": "auto",
        "resume_from_path": None,
    }
