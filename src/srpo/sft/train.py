"""The loop of supervised fine-tuning and its step: completion-only cross-entropy, averaged over the tokens with loss.

Differs from the paper's release in the target, which has a real second think (`sft/examples.py`), and in that the mean
is over the tokens of the whole batch, so that micro-batches of any size give the same gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from srpo.policy.optim import Optimizer
from srpo.policy.prefix import completion_logprobs
from srpo.policy.prompts import PromptEncoder, split
from srpo.policy.team import ALONE, Team
from srpo.policy.trained import save_trained
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal
from srpo.runs.progress import progress
from srpo.runs.watch import Watch
from srpo.sft.batches import SftPlan
from srpo.sft.config import SftConfig
from srpo.sft.examples import Example

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class SftTrainer:
    """Everything that a step works with."""

    config: SftConfig
    policy: "Policy"
    optimizer: Optimizer
    encoder: PromptEncoder
    plan: SftPlan
    state: Mapping[str, Any]
    """What every checkpoint keeps beside weights and optimizer, for the run that goes on from it."""

    def save(self, path: Path) -> None:
        """Write what a resumed run loads."""
        save_trained(self.policy, path)
        self.optimizer.save(path)


class Reached(NamedTuple):
    """How far a run got."""

    step: int
    tokens: int
    """Target tokens that carried loss."""


class SegmentLoss(NamedTuple):
    """What one forward and backward pass found out: sums over tokens, of first attempt and rest, loss or not."""

    loss: float
    """The piece's share of the batch's loss."""
    first: float
    """Negative log-probability in nats."""
    num_first: int
    rest: float
    num_rest: int


def train(trainer: SftTrainer, run_dir: RunDir, start: int, watch: Watch) -> Reached:
    """Run the batches after step `start`, unless patience ends the run before."""
    config, optimizer = trainer.config, trainer.optimizer
    kept, batches = trainer.plan.examples.kept, trainer.plan.batches
    total = len(batches)
    seen = sum(map(len, batches[:start]))
    tokens = sum(kept[index].num_loss_tokens for batch in batches[:start] for index in batch)
    team = optimizer.team
    with stop_signal() as stop, progress(total, "sft", done=start) as bar:
        step, ended = start, team.told(watch.ended)
        while step < total and not ended:
            step += 1
            batch = [kept[index] for index in batches[step - 1]]
            lr = optimizer.lr
            ahead = [kept[index] for index in batches[step]] if step < total else []
            coming = (*own_share(team, batch), *own_share(team, ahead))
            trainer.encoder.prepare([example.problem for example in coming])
            # Loss and backward, in pieces that fit into memory.
            pieces = accumulate_sft_gradients(
                trainer.policy, trainer.encoder, batch, config.micro_batch_size, team=team
            )
            grad_norm = optimizer.step()

            seen += len(batch)
            tokens += sum(example.num_loss_tokens for example in batch)
            learned = loss_metrics(pieces) | {"sft/grad_norm": grad_norm, "sft/lr": lr}
            watch.log(step, learned | {"sft/tokens": tokens, "sft/epoch": seen / len(kept)})
            bar.advance(1, loss=learned["sft/loss"])

            said = team.gather((stop.requested, watch.ended))
            stops, ended = any(asked for asked, _ in said), said[0][1]
            if stops or step % config.checkpoint_every == 0 or step == total or ended:
                optimizer.check_same()
                run_dir.checkpoint(step, trainer.save, trainer.state)
            if stops:
                raise Stopped(f"after step {step} of {total}")
    return Reached(step, tokens)


def accumulate_sft_gradients(
    policy: "Policy",
    encoder: PromptEncoder,
    batch: Sequence[Example],
    micro_batch_size: int | None,
    *,
    team: Team = ALONE,
) -> list[SegmentLoss]:
    """Loss, backward: add the gradient of the batch's mean loss to the weights, in pieces that add up to it.

    Of a team each process adds that of its share, and all get what was found out about all pieces.
    """
    num_loss_tokens = sum(example.num_loss_tokens for example in batch)
    pieces: list[SegmentLoss] = []
    for piece in split(own_share(team, batch), micro_batch_size):
        # Several traces of one problem share its prompt and picture.
        groups = _by_prompt(piece)
        examples_B = [example for group in groups for example in group]
        prompts_P = encoder.encode_all([group[0].problem for group in groups])
        targets_P_G = [[example.tokens for example in group] for group in groups]
        logprobs = completion_logprobs(policy, prompts_P, targets_P_G)
        losses_B_T = torch.where(logprobs.mask_B_T, -logprobs.logprobs_B_T, 0.0)
        loss = torch.where(loss_mask(examples_B, losses_B_T), losses_B_T, 0.0).sum() / num_loss_tokens
        loss.backward()
        pieces.append(_by_segment(float(loss.detach()), examples_B, losses_B_T.detach()))
    return [piece for found in team.gather(pieces) for piece in found]


def own_share(team: Team, batch: Sequence[Example]) -> Sequence[Example]:
    """What of a batch this process learns from; traces of one problem stay together."""
    if team.size == 1:
        return batch
    groups = team.share(_by_prompt(batch), cost=lambda group: sum(len(one.tokens) for one in group))
    return [example for group in groups for example in group]


def _by_prompt(batch: Sequence[Example]) -> list[list[Example]]:
    found: dict[tuple[object, ...], list[Example]] = {}
    for example in batch:
        problem = example.problem
        found.setdefault((problem.question, problem.choices, problem.images), []).append(example)
    return list(found.values())


def loss_metrics(pieces: Sequence[SegmentLoss]) -> dict[str, float]:
    """The loss of a step, and the mean negative log-probability of first attempts and of what follows them."""
    return {
        "sft/loss": sum(piece.loss for piece in pieces),
        "sft/loss/first": sum(piece.first for piece in pieces) / max(1, sum(piece.num_first for piece in pieces)),
        "sft/loss/rest": sum(piece.rest for piece in pieces) / max(1, sum(piece.num_rest for piece in pieces)),
    }


def loss_mask(examples_B: Sequence[Example], like_B_T: Tensor) -> Tensor:
    """True where a target's token carries loss, shape (B, T)."""
    return _between(like_B_T, [e.skipped_tokens for e in examples_B], [len(e.tokens) for e in examples_B])


def _between(like_B_T: Tensor, start_B: Sequence[int], end_B: Sequence[int]) -> Tensor:
    """True where start <= t < end."""
    positions_T = torch.arange(like_B_T.shape[1], device=like_B_T.device)
    bounds_2_B_1 = torch.tensor([start_B, end_B], device=like_B_T.device).unsqueeze(-1)
    return (positions_T >= bounds_2_B_1[0]) & (positions_T < bounds_2_B_1[1])


def _by_segment(loss: float, examples_B: Sequence[Example], losses_B_T: Tensor) -> SegmentLoss:
    first_B = [example.first_tokens for example in examples_B]
    total_B = [len(example.tokens) for example in examples_B]
    in_first_B_T = _between(losses_B_T, [0] * len(first_B), first_B)
    first = float(losses_B_T[in_first_B_T].sum())
    return SegmentLoss(loss, first, sum(first_B), float(losses_B_T.sum()) - first, sum(total_B) - sum(first_B))
