"""`srpo rl` in verl's words: a pure function from configuration and facts to every setting that it needs.

Everything that decides something is written, never left to verl's own defaults, which are other ones than ours (weight
decay 0.01, second moments of 0.999, dual clip, 30 epochs, a tensor-parallel size of 2).

    words = overrides(*rl_settings(config, facts))
    python -m verl.trainer.main_ppo WORDS
"""

from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.hydra import Settings, Value
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
from srpo.rl.config import LossVariant, OnlineFilter, RlConfig

RL_ENTRY = "verl.trainer.main_ppo"
ESTIMATORS = {"total": "srpo_total", "segment": "srpo_segment"}
"""Ours, which `plugin` registers: verl's own GRPO divides by the sample's deviation, the paper by the population's."""
FILTER_METRICS: dict[OnlineFilter, str] = {"off": "reward", "final": "final_accuracy", "outcome": "outcome"}
"""Number of a response by which verl finds the groups that are all alike."""
_AGGREGATION: dict[LossVariant, str] = {
    "grpo": "seq-mean-token-mean",
    "gspo": "seq-mean-token-mean",
    "dapo": "token-mean",
    "cispo": "token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
}
_NO_DUAL_CLIP = 1e6
_BATCHED_TOKENS = 8192

_ACTOR, _REF, _ROLLOUT = (f"actor_rollout_ref.{part}" for part in ("actor", "ref", "rollout"))


def rl_settings(config: RlConfig, facts: RunFacts) -> list[Settings]:
    """All settings, by verl's sections. What verl cannot do is refused before (`gaps.rl_gaps`)."""
    assert config.engine is not None, "asked of runs on an engine alone"
    most = tokens_at_once(config.engine, facts.prompt_tokens + config.max_tokens)
    return [
        _algorithm(config),
        _data(config, config.engine, facts),
        _model(config, facts),
        _actor(config, config.engine, most),
        _loss(config),
        _prefixed(f"{_ACTOR}.optim", optimizer_settings(config.optim)),
        _reference(config, config.engine, most),
        _rollout(config, config.engine, facts),
        _reward(config, config.engine, facts),
        _trainer(config, config.engine, facts),
    ]


def _prefixed(section: str, settings: Settings) -> Settings:
    return {f"+{section}.{name[1:]}" if name.startswith("+") else f"{section}.{name}": value
            for name, value in settings.items()}  # fmt: skip


def _algorithm(config: RlConfig) -> Settings:
    cap = config.loss.importance_cap
    return {
        "algorithm.adv_estimator": ESTIMATORS[config.credit],
        # Dr. GRPO's point is that no deviation divides.
        "algorithm.norm_adv_by_std_in_grpo": config.loss.variant != "dr_grpo",
        "algorithm.use_kl_in_reward": False,
        "algorithm.use_pf_ppo": False,
        "algorithm.filter_groups.enable": True,
        "algorithm.filter_groups.metric": FILTER_METRICS[config.online_filter],
        "algorithm.filter_groups.max_num_gen_batches": 0,
        "algorithm.filter_groups.max_inflight_gen_batches": 1,
        "algorithm.rollout_correction.rollout_is": None if cap is None else "token",
        "algorithm.rollout_correction.rollout_is_threshold": 2.0 if cap is None else cap,
        "algorithm.rollout_correction.rollout_is_batch_normalize": False,
        "algorithm.rollout_correction.rollout_rs": None,
        "algorithm.rollout_correction.bypass_mode": False,
        "critic.enable": False,
    }


def _data(config: RlConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    return {
        "data.train_files": str(facts.train_file),
        # verl wants a file even where nothing is evaluated.
        "data.val_files": str(facts.eval_file or facts.train_file),
        "data.val_max_samples": -1 if facts.eval_file else 1,
        "data.train_max_samples": -1,
        "data.prompt_key": "prompt",
        "data.image_key": "images",
        "data.reward_fn_key": "data_source",
        "data.max_prompt_length": facts.prompt_tokens,
        "data.max_response_length": config.max_tokens,
        "data.train_batch_size": config.num_prompts,
        "data.gen_batch_size": 1,
        "data.val_batch_size": None,
        "data.shuffle": True,
        "data.validation_shuffle": False,
        "data.seed": config.seed,
        # The prompts were counted when the file was written; verl would leave out in silence what it cannot read.
        "data.filter_overlong_prompts": False,
        "data.truncation": "error",
        "data.image_patch_size": facts.patch_size,
        "data.return_raw_chat": True,
        "data.dataloader_num_workers": engine.workers,
        "data.trust_remote_code": False,
    }


def _model(config: RlConfig, facts: RunFacts) -> Settings:
    return {
        "actor_rollout_ref.model.path": str(facts.model),
        "actor_rollout_ref.model.trust_remote_code": False,
        "actor_rollout_ref.model.enable_gradient_checkpointing": config.recompute is not False,
        "actor_rollout_ref.model.use_remove_padding": True,
        "actor_rollout_ref.model.use_fused_kernels": False,
        "actor_rollout_ref.model.use_shm": False,
        **_prefixed("actor_rollout_ref.model", adapter_settings(config.lora, facts)),
    }


def _actor(config: RlConfig, engine: EngineConfig, most: int) -> Settings:
    return {
        f"{_ACTOR}.strategy": "fsdp2",
        f"{_ACTOR}.ppo_mini_batch_size": config.num_prompts // config.loss.minibatches,
        f"{_ACTOR}.use_dynamic_bsz": True,
        f"{_ACTOR}.ppo_max_token_len_per_gpu": most,
        f"{_ACTOR}.ppo_epochs": config.loss.inner_epochs,
        f"{_ACTOR}.shuffle": config.loss.minibatches > 1,
        f"{_ACTOR}.data_loader_seed": config.seed,
        f"{_ACTOR}.grad_clip": config.optim.grad_clip,
        f"{_ACTOR}.use_torch_compile": not is_float32(config),
        # Nothing in verl reads it: the plugin freezes the tower. It stands here for those who read the settings.
        f"{_ACTOR}.freeze_vision_tower": config.freeze_vision,
        f"{_ACTOR}.ulysses_sequence_parallel_size": engine.sequence_parallel,
        f"{_ACTOR}.checkpoint.save_contents": save_contents(),
        f"{_ACTOR}.checkpoint.load_contents": ["model", "optimizer", "extra"],
        f"{_ACTOR}.checkpoint.async_save": False,
        **_prefixed(f"{_ACTOR}.fsdp_config", _sharding(config, engine, offload=engine.offload)),
        f"{_ACTOR}.fsdp_config.optimizer_offload": engine.offload,
    }


def _sharding(config: RlConfig, engine: EngineConfig, *, offload: bool) -> Settings:
    return {
        "param_offload": offload,
        "fsdp_size": -1,
        "reshard_after_forward": True,
        "ulysses_sequence_parallel_size": engine.sequence_parallel,
        "model_dtype": "fp32",
        "dtype": computes_in(config),
        "seed": config.seed,
        **mixed_precision(config),
    }


def _loss(config: RlConfig) -> Settings:
    loss = config.loss
    return {
        f"{_ACTOR}.policy_loss.loss_mode": loss.variant if loss.variant in ("gspo", "cispo") else "vanilla",
        f"{_ACTOR}.loss_agg_mode": _AGGREGATION[loss.variant],
        f"{_ACTOR}.loss_scale_factor": config.max_tokens if loss.variant == "dr_grpo" else None,
        f"{_ACTOR}.clip_ratio": loss.clip_high,
        f"{_ACTOR}.clip_ratio_low": loss.clip_low,
        f"{_ACTOR}.clip_ratio_high": loss.clip_high,
        f"{_ACTOR}.clip_ratio_c": _NO_DUAL_CLIP,
        f"{_ACTOR}.entropy_coeff": 0,
        f"{_ACTOR}.calculate_entropy": True,
        f"{_ACTOR}.use_kl_loss": loss.kl_coef > 0,
        f"{_ACTOR}.kl_loss_coef": loss.kl_coef,
        f"{_ACTOR}.kl_loss_type": "low_var_kl",
    }


def _reference(config: RlConfig, engine: EngineConfig, most: int) -> Settings:
    return {
        f"{_REF}.strategy": "fsdp2",
        f"{_REF}.log_prob_use_dynamic_bsz": True,
        f"{_REF}.log_prob_max_token_len_per_gpu": most,
        f"{_REF}.ulysses_sequence_parallel_size": engine.sequence_parallel,
        **_prefixed(f"{_REF}.fsdp_config", _sharding(config, engine, offload=True)),
    }


def _rollout(config: RlConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    longest = facts.prompt_tokens + config.max_tokens
    return {
        f"{_ROLLOUT}.name": engine.sampler,
        f"{_ROLLOUT}.mode": "async",
        f"{_ROLLOUT}.n": config.group_size,
        **_prefixed(_ROLLOUT, {"temperature": config.temperature, "top_p": 1.0, "top_k": -1, "do_sample": True}),
        f"{_ROLLOUT}.ignore_eos": False,
        f"{_ROLLOUT}.seed": config.seed,
        f"{_ROLLOUT}.dtype": "float32" if is_float32(config) else "bfloat16",
        f"{_ROLLOUT}.gpu_memory_utilization": engine.gpu_memory,
        f"{_ROLLOUT}.tensor_model_parallel_size": engine.tensor_parallel,
        f"{_ROLLOUT}.data_parallel_size": 1,
        f"{_ROLLOUT}.expert_parallel_size": 1,
        f"{_ROLLOUT}.pipeline_model_parallel_size": 1,
        f"{_ROLLOUT}.max_model_len": longest,
        f"{_ROLLOUT}.max_num_batched_tokens": max(_BATCHED_TOKENS, longest),
        f"{_ROLLOUT}.max_num_seqs": 256,
        f"{_ROLLOUT}.enforce_eager": False,
        f"{_ROLLOUT}.free_cache_engine": True,
        # Under adapters the weights never change, and the sampler reads them itself.
        f"{_ROLLOUT}.load_format": "dummy" if config.lora is None or config.lora.vision else "auto",
        f"{_ROLLOUT}.enable_chunked_prefill": True,
        f"{_ROLLOUT}.enable_prefix_caching": True,
        f"{_ROLLOUT}.calculate_log_probs": True,
        f"{_ROLLOUT}.logprobs_mode": "processed_logprobs",
        f"{_ROLLOUT}.log_prob_use_dynamic_bsz": True,
        f"{_ROLLOUT}.log_prob_max_token_len_per_gpu": tokens_at_once(engine, longest),
        f"{_ROLLOUT}.multi_turn.enable": False,
        f"{_ROLLOUT}.agent.num_workers": engine.workers,
        f"{_ROLLOUT}.agent.default_agent_loop": "single_turn_agent",
        **_prefixed(
            f"{_ROLLOUT}.val_kwargs",
            {
                "n": config.eval.num_samples if config.eval else 1,
                "temperature": config.temperature,
                "top_p": 1.0,
                "top_k": -1,
                "do_sample": True,
            },
        ),
    }


def _reward(config: RlConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    paid: dict[str, Value] = {
        "preset": config.preset,
        "style": config.style,
        "weights": config.weights,
        "length_floor": config.length_floor,
        "symbolic": config.symbolic,
        "rounded": config.rounded,
        "reward": config.reward,
        "journal": str(facts.launch),
    }
    return {
        "reward.num_workers": engine.workers,
        "reward.reward_model.enable": False,
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.module.path": "pkg://srpo.engines.verl",
        "reward.reward_manager.name": "RewardManager",
        "reward.custom_reward_function.path": None,
        "+reward.custom_reward_function.reward_kwargs": paid,
    }


def _trainer(config: RlConfig, engine: EngineConfig, facts: RunFacts) -> Settings:
    assert config.steps is not None, "gaps say so"
    return {
        **_prefixed("trainer", places(engine, facts)),
        # What ends a run is its steps: there is never more than one epoch to a step.
        "trainer.total_epochs": config.steps + 1,
        "trainer.total_training_steps": config.steps,
        "trainer.save_freq": config.checkpoint_every,
        "trainer.max_actor_ckpt_to_keep": 2,
        "trainer.test_freq": config.eval.every if config.eval else -1,
        "trainer.val_before_train": config.eval is not None,
        "trainer.val_only": False,
        "trainer.balance_batch": True,
        "trainer.critic_warmup": 0,
        "trainer.log_val_generations": 0,
        "trainer.rollout_data_dir": None,
        "trainer.validation_data_dir": None,
        "trainer.use_v1": True,
        "trainer.v1.trainer_mode": "sync",
        "hydra.run.dir": str(facts.launch / "hydra"),
    }
