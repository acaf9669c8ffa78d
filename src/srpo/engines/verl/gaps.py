"""What verl 0.9.1 cannot do of a configuration, said before anything starts; and what it does otherwise."""

from collections.abc import Iterator, Sequence

from srpo.policy.config import OptimConfig
from srpo.policy.engine import EngineConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

VERSION = "0.9.1"
"""The verl that all of this was written against; its settings change with every minor release."""


_MOST_RANK = 512


def stays_frozen(config: RlConfig | SftConfig) -> bool:
    """Whether the vision tower is to stay as it is."""
    return config.freeze_vision if config.lora is None else not config.lora.vision


def refuse(reasons: Sequence[str], where: str) -> None:
    """Raise ValueError with every reason."""
    if reasons:
        listed = "".join(f"\n  {reason}" for reason in reasons)
        raise ValueError(f"{where} cannot be had from verl {VERSION}:{listed}")


def rl_gaps(config: RlConfig) -> list[str]:
    """Why verl cannot run this `srpo rl`, a line for each field; none when it can."""
    return [*_shared_gaps(config), *_rl_method(config), *_rl_arithmetic(config)]


def sft_gaps(config: SftConfig) -> list[str]:
    """The same of `srpo sft`."""
    engine = _engine(config)
    found = list(_shared_gaps(config))
    if config.check_first_answer is not None:
        found.append("check_first_answer: nothing is sampled there; `srpo eval` asks before and after")
    if config.batch_size % (ranks := engine.num_gpus // engine.sequence_parallel):
        found.append(f"batch_size {config.batch_size}: it must divide by the {ranks} GPUs that learn apart")
    return found


def rl_differences(config: RlConfig) -> list[str]:
    """What a run on verl does otherwise than `srpo rl` here."""
    updates = config.loss.minibatches * config.loss.inner_epochs
    draws = f"verl draws until a step has {config.num_prompts} groups to learn from"
    return [
        "the order of the problems is verl's, from the same seed",
        f"max_refills {config.max_refills}: {draws}, and the run ends where that takes ten times as many",
        *_shared_differences(config.optim),
        *(["the learning rate changes from rollout to rollout, not within one"] if updates > 1 else []),
        *(["micro_prompts, micro_responses, micro_tokens: engine.tokens_per_gpu bounds what is learned from at once"]
          if config.micro_prompts or config.micro_responses or config.micro_tokens else []),
    ]  # fmt: skip


def sft_differences(config: SftConfig) -> list[str]:
    """The same of `srpo sft`."""
    return [
        "the order of the traces is verl's, and what fills no batch at the end of an epoch is left out of it",
        *_shared_differences(config.optim),
        *(["sort_window: batches are not sorted by length"] if config.sort_window > 1 else []),
    ]


def _shared_differences(optim: OptimConfig) -> list[str]:
    if not optim.weight_decay:
        return []
    return [f"optim.weight_decay {optim.weight_decay}: on all weights there, on matrices alone here"]


def _engine(config: RlConfig | SftConfig) -> EngineConfig:
    assert config.engine is not None, "asked of runs on an engine alone"
    return config.engine


def _shared_gaps(config: RlConfig | SftConfig) -> Iterator[str]:
    if config.lora is not None and config.lora.rank > _MOST_RANK:
        yield f"lora.rank {config.lora.rank}: its samplers take adapters up to {_MOST_RANK}"
    if config.quantize is not None:
        yield f"quantize {config.quantize!r}: verl has no four-bit weights; leave it out"
    if config.optim.name != "adamw":
        yield f"optim.name {config.optim.name!r}: its optimizers are others; use adamw"
    if config.keep_best is not None:
        yield "keep_best: verl writes models at its checkpoints alone; leave it out"


def _rl_method(config: RlConfig) -> Iterator[str]:
    if config.sampler.kind != "local":
        yield f"sampler.kind {config.sampler.kind!r}: the engine brings its own (engine.sampler); leave sampler out"
    if config.steps is None or config.token_budget is not None:
        yield "token_budget: verl counts steps; set steps, and token_budget null"
    if config.loss.kl_on != "all":
        yield f"loss.kl_on {config.loss.kl_on!r}: there every token pays for the KL; use all"
    for name in ("roll_ins", "recombine", "mask_first"):
        if getattr(config, name):
            yield f"{name} {getattr(config, name)}: verl learns whole responses, sampled from their prompts; set 0"
    if config.online_filter == "final" and (config.filter_low, config.filter_high) != (0.0, 1.0):
        yield (
            f"filter_low {config.filter_low}, filter_high {config.filter_high}: groups are left out when their final "
            "answers are all right or all wrong; use 0 and 1"
        )
    if config.online_filter == "off" and config.credit == "segment":
        yield "online_filter 'off' with credit 'segment': one number tells groups apart; use filter final or outcome"


def _rl_arithmetic(config: RlConfig) -> Iterator[str]:
    engine = _engine(config)
    ranks = engine.num_gpus // engine.sequence_parallel
    if config.num_prompts % config.loss.minibatches:
        yield f"loss.minibatches {config.loss.minibatches}: it must divide num_prompts {config.num_prompts}"
        return
    rows = config.num_prompts // config.loss.minibatches * config.group_size
    if rows % ranks:
        yield (
            f"num_prompts {config.num_prompts}: {rows} responses for each optimizer step do not divide by the {ranks} "
            "GPUs that learn apart"
        )
