"""`srpo sft` in verl's words, as `rl_settings` does for `srpo rl`.

words = overrides(*sft_settings(config, facts))
python -m verl.trainer.sft_trainer_ray WORDS
"""

from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.hydra import Settings
from srpo.engines.verl.shared_settings import (
    adapter_settings,
    computes_in,
    is_float32,
    mixed_precision,
    optimizer_settings,
    places,
    save_contents,
    tokens_at_once,
)
from srpo.policy.engine import EngineConfig
from srpo.sft.config import SftConfig

SFT_ENTRY = "verl.trainer.sft_trainer_ray"
_TURN_TOKENS = 16
"""What a chat template may write around an answer."""


def sft_settings(config: SftConfig, facts: RunFacts) -> list[Settings]:
    """All settings, by verl's sections. What verl cannot do is refused before (`gaps.sft_gaps`)."""
    assert config.engine is not None, "asked of runs on an engine alone"
    return [
        _data(config, config.engine, facts),
        _model(config, facts),
        _sharding(config, config.engine),
        {f"optim.{name}": value for name, value in optimizer_settings(config.optim).items()},
        _trainer(config, config.engine, facts),
    ]


def longest(facts: RunFacts) -> int:
    """Tokens of the longest prompt and target together."""
    return facts.prompt_tokens + facts.target_tokens + _TURN_TOKENS


def num_steps(config: SftConfig, num_traces: int) -> int:
    """Optimizer steps of a run: what fills no batch at the end of an epoch is left out of it."""
    steps = num_traces // config.batch_size * config.epochs
    return steps if config.max_steps is None else min(steps, config.max_steps)


def _data(config: SftConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    return {
        "data.train_files": str(facts.train_file),
        "data.val_files": None,
        "data.train_max_samples": -1,
        "data.train_batch_size": config.batch_size,
        "data.micro_batch_size_per_gpu": config.micro_batch_size or 1,
        "data.use_dynamic_bsz": True,
        "data.max_token_len_per_gpu": tokens_at_once(engine, longest(facts)),
        "data.messages_key": "messages",
        "+data.image_key": "images",
        "+data.image_patch_size": facts.patch_size,
        "data.pad_mode": "no_padding",
        # Of prompt and target together; they were counted when the file was written.
        "data.max_length": longest(facts),
        "data.truncation": "error",
        # Which tokens carry loss stands in a column that verl does not know.
        "data.custom_cls.path": "pkg://srpo.engines.verl.dataset",
        "data.custom_cls.name": "TraceDataset",
        "data.num_workers": engine.workers,
        # Templates that write a system turn of their own make verl's check of its pieces fail for nothing.
        "data.ignore_input_ids_mismatch": False,
    }


def _model(config: SftConfig, facts: RunFacts) -> Settings:
    return {
        "model.path": str(facts.model),
        "model.trust_remote_code": False,
        "model.enable_gradient_checkpointing": config.recompute is not False,
        "model.use_remove_padding": True,
        **{f"model.{name}": value for name, value in adapter_settings(config.lora, facts).items()},
    }


def _sharding(config: SftConfig, engine: EngineConfig) -> Settings:
    return {
        "engine.strategy": "fsdp2",
        "engine.param_offload": engine.offload,
        "engine.optimizer_offload": engine.offload,
        "engine.fsdp_size": -1,
        "engine.reshard_after_forward": True,
        "engine.ulysses_sequence_parallel_size": engine.sequence_parallel,
        "engine.model_dtype": "fp32",
        "engine.dtype": computes_in(config),
        "engine.use_torch_compile": not is_float32(config),
        "engine.seed": config.seed,
        **{f"+engine.{name[1:]}": value for name, value in mixed_precision(config).items()},
    }


def _trainer(config: SftConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    steps = num_steps(config, facts.num_train)
    return {
        **{f"trainer.{name}": value for name, value in places(engine, facts).items()},
        "trainer.total_epochs": config.epochs,
        "trainer.total_training_steps": steps,
        "trainer.save_freq": config.checkpoint_every,
        "trainer.test_freq": -1,
        "trainer.max_ckpt_to_keep": 2,
        "trainer.seed": config.seed,
        "trainer.balance_batch": True,
        "checkpoint.save_contents": save_contents(),
        "checkpoint.load_contents": ["model", "optimizer", "extra"],
        "hydra.run.dir": str(facts.launch / "hydra"),
    }
