"""What verl lacks, put into each of its processes: it is named by VERL_USE_EXTERNAL_MODULES, which `import verl` obeys.

An entry point for plugins would do, too, but verl swallows what goes wrong in one, and the run would train its vision
tower in silence. Settings come from the file that SRPO_VERL_SETTINGS names (`settings.PluginSettings`).

* estimators `srpo_total` and `srpo_segment`: `core.advantages`, the population's deviation, zeros where nothing
  differs;
* credit by segment, which an estimator cannot give, because it sees one number for a response: the trainer looks up
  what the reward manager said of it;
* the vision tower frozen before it is sharded; our schedule of the learning rate; our banned tokens beside verl's own;
* adapters that begin as ours do, added to the weights in the models that verl writes (`adapters`): it would write them
  under names that no reader of checkpoints knows;
* SFT that goes on from the end of an epoch: verl's data loader is at its end there, and the next epoch would be empty.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from srpo.core.advantages import TokenCredit, assign_credit, group_advantages
from srpo.core.records import Reward, TokenCounts
from srpo.engines.verl.adapters import merged
from srpo.engines.verl.settings import PluginSettings, read_settings
from srpo.policy.config import LoraConfig


def total_advantages(token_level_rewards: Any, response_mask: Any, config: Any, index: Sequence[str], **_: Any) -> Any:
    """One advantage for every token of a response, from the sum of its rewards: verl's signature of an estimator."""
    import torch

    rewards_B = token_level_rewards.sum(-1).tolist()
    rows: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(index):
        if bool(response_mask[row].any()):  # what fills up a batch has no token that counts
            rows[uid].append(row)
    scale = bool(config.get("norm_adv_by_std_in_grpo", True))
    values_B = torch.zeros(len(rewards_B), dtype=torch.float32)
    for members in rows.values():
        found = group_advantages([_as_paid(rewards_B[row]) for row in members], scale=scale)
        values_B[members] = torch.tensor(found)
    advantages_B_T = values_B[:, None] * response_mask
    return advantages_B_T, advantages_B_T


def segment_advantages(
    infos_B: Sequence[Mapping[str, Any]], uids_B: Sequence[str], lengths_B: Sequence[int], *, scale: bool
) -> list[list[float]]:
    """Advantage of every token of B responses, of which the reward manager said `infos_B`.

    Rows without tokens fill up a batch, and belong to no group.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(uids_B):
        if lengths_B[row]:
            rows[uid].append(row)
    found: list[list[float]] = [[] for _ in uids_B]
    for members in rows.values():
        credits_G: list[TokenCredit] = assign_credit(
            [Reward.model_validate_json(infos_B[row]["srpo_reward"]) for row in members],
            [TokenCounts(prompt=0, total=lengths_B[row], first=int(infos_B[row]["first_tokens"])) for row in members],
            "segment",
            scale=scale,
        )
        for row, credit in zip(members, credits_G, strict=True):
            found[row] = credit.tokens
    return found


def _as_paid(reward: float) -> float:
    # verl holds rewards in single precision, in which equal sums of terms may differ by a digit.
    return round(reward, 6)


def install(settings: PluginSettings) -> None:
    """Put everything in; called once in each process, at the end of `import verl`."""
    from verl.trainer.ppo.core_algos import register_adv_est

    _ban(settings.banned_ids)
    _begin_epochs_anew()
    if settings.lora is not None:
        _adapt(settings.lora)
    _train_as_we_do(settings)
    _credit_segments()
    for name in ("srpo_total", "srpo_segment"):
        register_adv_est(name)(total_advantages)


def _ban(banned_ids: Sequence[int]) -> None:
    import verl.workers.rollout.utils as theirs

    own = theirs.get_vision_placeholder_token_ids
    theirs.get_vision_placeholder_token_ids = lambda processor: sorted({*own(processor), *banned_ids})


def _begin_epochs_anew() -> None:
    from verl.utils.checkpoint.checkpoint_handler import CheckpointHandler

    load = CheckpointHandler._load_dataloader_state  # noqa: SLF001 - there is no other place

    def load_state(handler: Any, path: str) -> None:
        if handler.resume_global_step % len(handler.train_dataloader):
            load(handler, path)

    CheckpointHandler._load_dataloader_state = load_state  # noqa: SLF001


def _adapt(lora: LoraConfig) -> None:
    import torch
    from verl.utils.checkpoint import fsdp_checkpoint_manager as theirs
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    build, whole_state = FSDPEngine._build_lora_module, theirs.get_fsdp_full_state_dict  # noqa: SLF001

    def build_adapters(engine: Any, module: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lora.seed)
            return build(engine, module)

    def merged_state(*arguments: Any, **more: Any) -> Any:
        return merged(whole_state(*arguments, **more), lora.scaled_by / lora.rank)

    FSDPEngine._build_lora_module = build_adapters  # noqa: SLF001
    theirs.get_fsdp_full_state_dict = merged_state


def _train_as_we_do(settings: PluginSettings) -> None:
    """Freeze the tower after the model is built, and schedule the rate."""
    from torch.optim.lr_scheduler import LambdaLR
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

    from srpo.policy.optim import lr_scale

    build = FSDPEngine._build_module  # noqa: SLF001 - there is no other place

    def build_module(engine: Any) -> Any:
        module = build(engine)
        freeze(module, settings.frozen)
        return module

    def build_schedule(engine: Any, optimizer: Any) -> Any:
        del engine
        total, every = settings.total_steps * settings.updates, settings.updates
        return LambdaLR(optimizer, lambda step: lr_scale(step * every, total, settings.optim))

    FSDPEngine._build_module = build_module  # noqa: SLF001
    FSDPEngine._build_lr_scheduler = build_schedule  # noqa: SLF001


def freeze(module: Any, parts: Sequence[str]) -> int:
    """Switch the gradients of these submodules off, wherever the model keeps them, and count their weights.

    Raises:
        RuntimeError: one of them is not there, so that nothing would be frozen.
    """
    count = 0
    for part in parts:
        found = [inner for name, inner in module.named_modules() if name == part or name.endswith(f".{part}")]
        if not found:
            raise RuntimeError(f"srpo: the model has no {part!r} to freeze; it is a {type(module).__name__}")
        for weight in found[0].parameters():
            weight.requires_grad_(requires_grad=False)
            count += weight.numel()
    return count


def _credit_segments() -> None:
    """Replace the trainer that verl knows as `sync`: the name is compared as a text all over verl."""
    import torch
    import transfer_queue as tq
    from tensordict import TensorDict
    from verl.trainer.ppo.v1 import trainer_base
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
    from verl.workers.utils.padding import response_to_nested

    class SrpoTrainer(PPOTrainerSync):  # type: ignore[misc]
        """verl's synchronous trainer, with credit by segment."""

        def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
            batch = super()._compute_advantage(batch, metrics)
            if self.config.algorithm.adv_estimator != "srpo_segment":
                return batch
            fields = ["uid", "response_mask", "extra_fields"]
            data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
            mask = data["response_mask"]
            lengths_B = [int(one.sum()) for one in mask.unbind()]
            found = segment_advantages(
                [_plain(one).get("reward_extra_info", {}) for one in data["extra_fields"]],
                [str(_plain(one)) for one in data["uid"]],
                lengths_B,
                scale=bool(self.config.algorithm.norm_adv_by_std_in_grpo),
            )
            padded = mask.to_padded_tensor(0).float() * 0.0
            for row, tokens in enumerate(found):
                padded[row, : len(tokens)] = torch.tensor(tokens)
            nested = response_to_nested(padded, mask)
            output = TensorDict({"advantages": nested, "returns": nested}, batch_size=len(batch))
            return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=output)

    trainer_base.TRAINER_REGISTRY["sync"] = SrpoTrainer


def _plain(value: Any) -> Any:
    """A value that tensordict may have wrapped."""
    return getattr(value, "data", value)


if (_settings := read_settings()) is not None:
    install(_settings)
