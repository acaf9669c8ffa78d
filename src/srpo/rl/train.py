"""The loop of reflection-aware GRPO and its step (paper section 3.3): `train`, `collect` and `update`.

To read a step whole takes five files: this one, `rl/rollout.py` (sample, grade, reward, advantage), `core/rewards.py`,
`core/advantages.py` and `rl/losses.py`. The model itself is asked twice: `rl/sampler.py` writes the responses,
`policy.recompute.logprobs_in_pieces` scores them with gradients. What is off unless a config asks for it stands apart:
`rl/roll_ins.py`, `rl/recombine.py`, `rl/reward.py` for a reward of one's own, and `rl/shares.py` for several processes.

Differs from the released code in these points: groups are filtered by the correctness of the final answer, not by the
shaped reward; the old policy's log-probabilities are the sampler's, checked against the trainer's at every step; the
G responses of a group share one pass over prompt and picture; metrics are about everything that was sampled.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srpo.core.records import Origin, Sampling, Trace
from srpo.policy.lora import adapters_off
from srpo.policy.prefix import Logprobs
from srpo.policy.prompts import split
from srpo.policy.recompute import logprobs_in_pieces
from srpo.policy.team import ALONE, Team
from srpo.rl.cards import cards_of
from srpo.rl.checks import check_mismatch, check_start
from srpo.rl.config import RlConfig
from srpo.rl.held_out import evaluate_if_due
from srpo.rl.losses import Normalizer, policy_loss
from srpo.rl.metrics import MinibatchStats, PieceStats, rollout_metrics, update_metrics
from srpo.rl.pieces import learned_together, response_tokens
from srpo.rl.probe import probe_if_due
from srpo.rl.recombine import as_recombined, recombined_groups
from srpo.rl.roll_ins import wrong_first_attempts
from srpo.rl.rollout import (
    Rollout,
    SampledGroup,
    Trajectory,
    TrajectoryGroup,
    add_advantages,
    grade_groups,
    is_worth_learning,
    reward_group,
    sample_groups,
)
from srpo.rl.shares import StartShare, joined, learned_share, readable_share, rows_among, seen, share_of
from srpo.rl.trainer import Progress, RlTrainer
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal
from srpo.runs.progress import Bar, progress
from srpo.runs.watch import Watch

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


def train(trainer: RlTrainer, run_dir: RunDir, reached: Progress, watch: Watch) -> Progress:
    """Go on from `reached` until steps, tokens or patience are used up."""
    config, optimizer = trainer.config, trainer.optimizer
    total, done = (config.steps, reached.step) if config.steps is not None else (config.token_budget, reached.tokens)
    with stop_signal() as stop, progress(total, "rl", done=done) as bar:
        team, ended = trainer.team, trainer.team.told(watch.ended)
        if reached.step == 0 and (held_out := evaluate_if_due(trainer, 0)):
            watch.log(0, held_out, complete=False)
        while not (reached.is_over(config) or ended):
            step = reached.step + 1
            optimizer.progress = reached.share(config)
            lr = optimizer.lr

            rollout = collect(trainer, step)  # sample, grade, reward, refill
            if step == 1:
                check_start(config, trainer.policy, rollout)
            rollout = add_advantages(rollout, config)
            probed = probe_if_due(trainer, rollout, step)
            minibatches = update(trainer, rollout.kept, step)  # loss, backward, step
            traces = choose_traces(rollout, step, config.traces_per_step)
            run_dir.append_traces(traces)
            held_out = evaluate_if_due(trainer, step)

            reached = Progress(step, reached.tokens + rollout.num_tokens)
            weighs = config.loss.importance_cap is not None
            learned = rollout_metrics(rollout) | {"rl/lr": lr} | update_metrics(minibatches, weighs=weighs)
            row = learned | {"rl/tokens": reached.tokens} | probed | held_out
            watch.log(step, row, phases=trainer.timer.lap())
            if step % config.cards_every == 0:
                watch.show(step, partial(cards_of, traces))
            _show(bar, config, learned, rollout.num_tokens)

            said = team.gather((stop.requested, watch.ended, watch.stops))
            asked, ended, stops = any(one[0] for one in said), said[0][1], said[0][2]
            if reached.is_over(config) or ended or asked or stops or step % config.checkpoint_every == 0:
                optimizer.check_same()
                extra = {"position": trainer.stream.position, "tokens": reached.tokens, "data": trainer.problems.digest}
                run_dir.checkpoint(step, trainer.save, extra)
            if stops:
                raise ValueError(f"stopped after step {step}, the state is saved; {stops}. --alarms.stop decides")
            if asked:
                raise Stopped(f"after step {step}")
    return reached


def collect(trainer: RlTrainer, step: int) -> Rollout:
    """Sample, grade and reward groups until `num_prompts` are worth learning from or the refills are used up."""
    config, team = trainer.config, trainer.team
    origin = trainer.origin.model_copy(update={"step": step})
    groups: list[TrajectoryGroup] = []
    is_kept: list[bool] = []
    num_refilled = 0
    for refill in range(1 + config.max_refills):
        sampling = trainer.sampling("train", step, refill)
        with trainer.timer("encode"):
            wanted = config.num_prompts - sum(is_kept)
            coming = trainer.stream.peek(wanted + config.num_prompts)
            trainer.encoder.prepare([*team.share(coming[:wanted]), *team.share(coming[wanted:])])
            share = readable_share(trainer, trainer.encoder, trainer.stream.take(wanted))
        rewarded_P = rewarded_groups(trainer, share, groups, sampling, origin)  # of all processes
        groups += rewarded_P
        is_kept += [is_worth_learning(group, config) for group in rewarded_P]
        num_refilled += len(rewarded_P) if refill else 0
        if sum(is_kept) >= config.num_prompts:
            break
    more = [*go_on_from_wrong_attempts(trainer, groups, origin), *recombine_attempts(trainer, groups, origin)]
    return Rollout([*groups, *more], [*is_kept, *(is_worth_learning(one, config) for one in more)], num_refilled)


def rewarded_groups(
    trainer: RlTrainer, share: StartShare, groups: Sequence[TrajectoryGroup], sampling: Sampling, origin: Origin
) -> list[TrajectoryGroup]:
    """Sample, grade, reward what this process's share of the starts becomes; the groups of all, in their order."""
    size = trainer.config.group_size
    with trainer.timer("sample"):
        starts_P = seen(trainer, share.starts_P, groups)
        sampled_P = sample_groups(trainer.sampler, starts_P, size, sampling, rows_among(trainer, share, size))
    return graded_and_rewarded(trainer, sampled_P, origin)


def graded_and_rewarded(trainer: RlTrainer, sampled_P: Sequence[SampledGroup], origin: Origin) -> list[TrajectoryGroup]:
    """Grade, reward what this process sampled; the groups of all, in their order."""
    with trainer.timer("grade"):
        graded_P = grade_groups(trainer.policy, trainer.grader, sampled_P, trainer.config.style, origin)
        return joined(trainer, [reward_group(group, trainer.reward) for group in graded_P])


def go_on_from_wrong_attempts(
    trainer: RlTrainer, groups: Sequence[TrajectoryGroup], origin: Origin
) -> list[TrajectoryGroup]:
    """Groups of reflections on wrong first attempts, earlier ones or those in `groups`: sampled, graded, rewarded."""
    config, timer = trainer.config, trainer.timer
    if not config.roll_ins:
        return []
    sampling = trainer.sampling("roll-ins", origin.step)
    count = round(config.roll_ins * config.num_prompts)
    with timer("encode"):
        starts = trainer.earlier.draw(trainer.encoder, count, sampling.seed)
    starts += wrong_first_attempts(groups, count - len(starts), sampling.seed)
    trainer.earlier.add(groups)
    return rewarded_groups(trainer, share_of(trainer, starts), groups, sampling, origin)


def recombine_attempts(trainer: RlTrainer, groups: Sequence[TrajectoryGroup], origin: Origin) -> list[TrajectoryGroup]:
    """Groups put together from the responses in `groups`: graded, rewarded, and scored by the policy as it is now."""
    config = trainer.config
    sampling = trainer.sampling("recombine", origin.step)
    count = round(config.recombine * config.num_prompts)
    made_P = recombined_groups(groups, count, config.group_size, sampling, any_claim=config.recombine_any)
    rewarded_P = graded_and_rewarded(trainer, trainer.team.share(made_P), origin)
    with trainer.timer("learn"):
        own_P = trainer.team.share(rewarded_P)
        return joined(trainer, [as_recombined(_with_own_logprobs(trainer.policy, one, config)) for one in own_P])


def update(trainer: RlTrainer, groups_P: Sequence[TrajectoryGroup], step: int) -> list[MinibatchStats]:
    """Loss, backward, step: every optimizer step on the groups of one rollout."""
    config, optimizer = trainer.config, trainer.optimizer
    num_updates = config.loss.inner_epochs * min(config.loss.minibatches, len(groups_P))
    done: list[MinibatchStats] = []
    with trainer.timer("learn"):
        if num_updates > 1:
            groups_P = with_checked_logprobs(trainer.policy, groups_P, config, trainer.team)
        for minibatch_P in plan_minibatches(groups_P, config, step):
            pieces = accumulate_gradients(  # loss, backward
                trainer.policy, trainer.reference, minibatch_P, config, on_policy=num_updates == 1, team=trainer.team
            )
            if not done:
                check_mismatch(config, pieces)
            done.append(MinibatchStats(pieces, grad_norm=optimizer.step()))
            trainer.sampler.weights_moved()
    return done


def accumulate_gradients(
    policy: "Policy",
    reference: "Policy | None",
    minibatch_P: Sequence[TrajectoryGroup],
    config: RlConfig,
    *,
    on_policy: bool,
    team: Team = ALONE,
) -> list[PieceStats]:
    """Add the gradient of a minibatch's loss to the weights, in pieces that add up to it.

    Of a team each process adds that of its share, and all get what was found out about all pieces.
    """
    trajectories_B = [one for group in minibatch_P for one in group.trajectories_G]
    num_tokens = sum(len(one.token_ids) - one.num_masked for one in trajectories_B)
    whole = Normalizer(len(trajectories_B), num_tokens)
    pieces: list[PieceStats] = []
    for piece_P in learned_together(learned_share(team, minibatch_P), config, policy.device):
        piece_B = [one for group in piece_P for one in group.trajectories_G]
        references = _reference_logprobs(reference, piece_P, config) if reference is not None else []
        for index, (rows, now) in enumerate(_logprobs(policy, piece_P, config, entropy=True)):
            reference_B_T = references[index] if references else None
            loss, stats = piece_loss(now, reference_B_T, piece_B[rows], config, whole, on_policy=on_policy)
            loss.backward()
            pieces.append(stats)
    return [piece for found in team.gather(pieces) for piece in found]


def piece_loss(
    now: Logprobs,
    reference_B_T: Tensor | None,
    trajectories_B: Sequence[Trajectory],
    config: RlConfig,
    whole: Normalizer,
    *,
    on_policy: bool,
) -> tuple[Tensor, PieceStats]:
    """The share of a minibatch's loss that these responses have in it; `whole` divides, whatever the pieces."""
    current_B_T = now.logprobs_B_T.detach()
    mask_B_T = now.mask_B_T & ~_leading([one.num_masked for one in trajectories_B], current_B_T)
    sampler_B_T = _padded([one.logprobs for one in trajectories_B], current_B_T)
    old_B_T = _padded([one.trainer_logprobs or one.logprobs for one in trajectories_B], current_B_T)
    gap_B_T = (current_B_T - sampler_B_T).abs() * mask_B_T
    mismatch_max = float(gap_B_T.max())
    if on_policy and (config.loss.importance_cap is not None or not mismatch_max <= config.mismatch_tolerance):
        # Before the first update the trainer's own log-probabilities are the old policy's by definition.
        old_B_T = current_B_T
    loss, stats = policy_loss(
        config.loss.variant,
        logprobs_B_T=now.logprobs_B_T,
        old_logprobs_B_T=old_B_T,
        advantages=_padded([one.advantages for one in trajectories_B], current_B_T),
        mask_B_T=mask_B_T,
        clip_low=config.loss.clip_low,
        clip_high=config.loss.clip_high,
        max_tokens=config.max_tokens,
        normalizer_of_batch=whole,
        reference_logprobs_B_T=reference_B_T,
        kl_coef=config.loss.kl_coef,
        kl_mask_B_T=_kl_mask(config, trajectories_B, current_B_T),
        sampler_logprobs_B_T=sampler_B_T,
        importance_cap=config.loss.importance_cap,
    )
    assert now.entropy_B_T is not None
    num_tokens = max(1, int(mask_B_T.sum()))
    entropy = float((now.entropy_B_T * mask_B_T).sum()) / num_tokens
    return loss, PieceStats(float(loss.detach()), stats, entropy, float(gap_B_T.sum()) / num_tokens, mismatch_max)


def plan_minibatches(
    groups_P: Sequence[TrajectoryGroup], config: RlConfig, step: int
) -> Iterator[list[TrajectoryGroup]]:
    """The groups of every optimizer step on one rollout, in order."""
    for epoch in range(config.loss.inner_epochs):
        order_P = list(groups_P)
        if config.loss.minibatches > 1:
            random.Random(f"rl/minibatches/{config.seed}/{step}/{epoch}").shuffle(order_P)
        yield from split(order_P, -(-len(order_P) // config.loss.minibatches))


def with_checked_logprobs(
    policy: "Policy", groups_P: Sequence[TrajectoryGroup], config: RlConfig, team: Team = ALONE
) -> Sequence[TrajectoryGroup]:
    """The groups as they are if sampler and trainer agree on the first one, else with the trainer's numbers beside.

    Weights of truncated importance sampling are about every token, so with them no sample of groups will do.
    """
    own_P = team.share(groups_P)
    scored_P = [_with_own_logprobs(policy, group, config) for group in own_P[:1]]
    gaps = (
        abs(a - b)
        for group in scored_P
        for one in group.trajectories_G
        for a, b in zip(one.trainer_logprobs, one.logprobs, strict=True)
    )
    # Of several processes' first groups the one that is first of all decides.
    gap = next(gap for gap in team.gather(max(gaps, default=None)) if gap is not None)
    if gap <= config.mismatch_tolerance and config.loss.importance_cap is None:
        return groups_P
    scored_P += [_with_own_logprobs(policy, group, config) for group in own_P[1:]]
    return [group for found in team.gather(scored_P) for group in found]


def choose_traces(rollout: Rollout, step: int, count: int) -> list[Trace]:
    """One trace from each group, samples in turn; where `count` is more, another one from each, up to all."""
    own = [group.traces for group in rollout.groups if not group.is_roll_in]
    turns = range(max(map(len, own), default=0))
    chosen = (
        traces[(step + place + turn) % len(traces)]
        for turn in turns
        for place, traces in enumerate(own)
        if turn < len(traces)
    )
    return list(islice(chosen, count))


def _logprobs(
    policy: "Policy", groups_P: Sequence[TrajectoryGroup], config: RlConfig, *, entropy: bool = False
) -> Iterator[tuple[slice, Logprobs]]:
    prompts_P = [group.prompt for group in groups_P]
    tokens_P_G = [[one.token_ids for one in group.trajectories_G] for group in groups_P]
    return logprobs_in_pieces(
        policy,
        prompts_P,
        tokens_P_G,
        micro_responses=config.micro_responses,
        micro_tokens=response_tokens(groups_P, config, policy.device),
        temperature=config.temperature,
        entropy=entropy,
    )


def _reference_logprobs(reference: "Policy", groups_P: Sequence[TrajectoryGroup], config: RlConfig) -> list[Tensor]:
    # A policy that trains adapters is its own reference, without them.
    with torch.no_grad(), adapters_off(reference.model):
        return [one.logprobs_B_T for _, one in _logprobs(reference, groups_P, config)]


def _with_own_logprobs(policy: "Policy", group: TrajectoryGroup, config: RlConfig) -> TrajectoryGroup:
    with torch.no_grad():
        rows_G = [row for _, piece in _logprobs(policy, [group], config) for row in piece.logprobs_B_T.tolist()]
    own_G = [
        replace(one, trainer_logprobs=tuple(row[: len(one.token_ids)]))
        for one, row in zip(group.trajectories_G, rows_G, strict=True)
    ]
    return replace(group, trajectories_G=tuple(own_G))


def _kl_mask(config: RlConfig, trajectories_B: Sequence[Trajectory], like_B_T: Tensor) -> Tensor | None:
    if config.loss.kl_on == "all":
        return None
    return _leading([one.lengths.first for one in trajectories_B], like_B_T)


def _leading(lengths_B: Sequence[int], like_B_T: Tensor) -> Tensor:
    """True at the first so many tokens of each row."""
    places_T = torch.arange(like_B_T.shape[1], device=like_B_T.device)
    return places_T[None, :] < torch.tensor(lengths_B, device=like_B_T.device)[:, None]


def _padded(rows_B: Sequence[Sequence[float]], like_B_T: Tensor) -> Tensor:
    size = like_B_T.shape[1]
    return torch.tensor([[*row, *[0.0] * (size - len(row))] for row in rows_B], device=like_B_T.device)


def _show(bar: Bar, config: RlConfig, metrics: dict[str, float], num_tokens: int) -> None:
    shown = {"reward": "rl/reward/mean", "first": "rl/first_accuracy", "final": "rl/final_accuracy"}
    fields = {name: metrics[key] for name, key in shown.items() if key in metrics}
    bar.advance(1 if config.steps is not None else num_tokens, **fields)
