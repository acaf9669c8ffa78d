"""One step of reflection-aware GRPO: sample, grade, reward, advantage, loss, step, log (paper section 3.3).

Differs from the released code in these points: groups are filtered by the correctness of the final answer, not by the
shaped reward; the old policy's log-probabilities are the sampler's, checked against the trainer's at every step; the
G responses of a group share one pass over prompt and picture; metrics are about everything that was sampled.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from srpo.core.records import Problem, Trace
from srpo.policy.optim import Optimizer
from srpo.policy.prefix import Logprobs, completion_logprobs
from srpo.policy.prompts import PromptEncoder, split
from srpo.rl.batches import Collected, ProblemStream, collect
from srpo.rl.config import RlConfig
from srpo.rl.credit import TokenCredit, assign_credit
from srpo.rl.losses import LossStats, Normalizer, policy_loss
from srpo.rl.metrics import accuracy_metrics, rollout_metrics
from srpo.rl.rollout import Group, Judge, readable, roll_out, sampling_seed

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt


class Clock:
    """Seconds per part of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        started_s = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - started_s


class Session(NamedTuple):
    """Everything that a step works with."""

    config: RlConfig
    policy: "Policy"
    reference: "Policy | None"
    """The frozen start model, where KL is paid for."""
    optimizer: Optimizer
    encoder: PromptEncoder
    judge: Judge
    stream: ProblemStream
    clock: Clock


class Learnable(NamedTuple):
    """One group as the loss sees it."""

    prompt: "EncodedPrompt"
    tokens_G: list[tuple[int, ...]]
    old_logprobs_G: list[tuple[float, ...]]
    advantages_G: list[list[float]]
    """One per token."""


class Piece(NamedTuple):
    """What one forward and backward pass found out."""

    loss: float
    stats: LossStats
    entropy: float
    """Mean over tokens, nats."""
    mismatch: float
    """Mean absolute difference of sampler and trainer log-probabilities, nats."""
    mismatch_max: float


class StepResult(NamedTuple):
    """What a step leaves behind."""

    metrics: dict[str, float]
    traces: list[Trace]
    """The ones to write down, with their advantages."""
    num_tokens: int
    """Tokens that were generated."""


def sample_groups(session: Session, step: int) -> Collected:
    """Sample, grade and reward the groups of one step, with refills."""
    config = session.config
    judge = session.judge._replace(origin=session.judge.origin.model_copy(update={"step": step}))

    def draw(count: int, round_: int) -> list[Group]:
        with session.clock("encode"):
            problems_P = readable(session.encoder, session.stream.take(count))
        seed = sampling_seed(config.seed, "train", step, round_)
        return roll_out(
            judge, session.encoder, problems_P, num_samples=config.group_size, seed=seed, clock=session.clock
        )

    return collect(draw, config)


def learn_from(session: Session, collected: Collected, step: int) -> StepResult:
    """Advantage, loss, step: update the policy from one rollout."""
    config = session.config
    credits_P = [
        assign_credit([sample.credited for sample in group.samples_G], config.credit, scale=_scales(config))
        for group in collected.kept
    ]
    learnables_P = [_learnable(group, credit_G) for group, credit_G in zip(collected.kept, credits_P, strict=True)]
    metrics = rollout_metrics(collected) | {"rl/lr": session.optimizer.lr}
    with session.clock("learn"):
        metrics |= update_policy(session, learnables_P, step) if learnables_P else {}
    traces = [sample.trace for group in collected.sampled for sample in group.samples_G]
    chosen = choose_traces(collected, credits_P, step, config.traces_per_step)
    return StepResult(metrics, chosen, sum(trace.tokens.total for trace in traces if trace.tokens))


def update_policy(session: Session, groups_P: Sequence[Learnable], step: int) -> dict[str, float]:
    """All optimizer steps on one rollout; returns their metrics."""
    config = session.config.loss
    num_updates = config.inner_epochs * min(config.minibatches, len(groups_P))
    if num_updates > 1:
        groups_P = _checked_old_logprobs(session, groups_P)
    pieces: list[Piece] = []
    norms: list[float] = []
    for epoch in range(config.inner_epochs):
        order = list(range(len(groups_P)))
        if config.minibatches > 1:
            random.Random(f"rl/minibatches/{session.config.seed}/{step}/{epoch}").shuffle(order)
        size = -(-len(order) // config.minibatches)
        for indices in split(order, size):
            minibatch_P = [groups_P[index] for index in indices]
            pieces += accumulate_gradients(session, minibatch_P, on_policy=num_updates == 1)
            norms.append(session.optimizer.step())
    return _update_metrics(pieces, norms, num_first=_num_pieces(session.config, len(groups_P)))


def accumulate_gradients(session: Session, minibatch_P: Sequence[Learnable], *, on_policy: bool) -> list[Piece]:
    """Add the gradient of a minibatch's loss to the weights, in pieces that add up to it."""
    lengths_P_G = [[len(tokens) for tokens in group.tokens_G] for group in minibatch_P]
    whole = Normalizer(num_responses=sum(map(len, lengths_P_G)), num_tokens=sum(map(sum, lengths_P_G)))
    return [
        _learn_piece(session, [minibatch_P[index] for index in indices], whole, on_policy=on_policy)
        for indices in split(range(len(minibatch_P)), session.config.micro_prompts)
    ]


def evaluate(session: Session, encoder: PromptEncoder, problems_P: Sequence[Problem]) -> dict[str, float]:
    """Accuracy on held-out problems, sampled with the same random numbers every time."""
    assert session.config.eval is not None
    traces: list[Trace] = []
    for indices in split(range(len(problems_P)), session.config.num_prompts):
        groups = roll_out(
            session.judge,
            encoder,
            readable(encoder, [problems_P[index] for index in indices]),
            num_samples=session.config.eval.num_samples,
            seed=sampling_seed(session.config.seed, "eval", indices[0]),
            clock=session.clock,
        )
        traces += [sample.trace for group in groups if group.is_graded for sample in group.samples_G]
    return accuracy_metrics(traces, "rl/eval")


def choose_traces(
    collected: Collected, credits_P: Sequence[Sequence[TokenCredit]], step: int, count: int
) -> list[Trace]:
    """One trace from each of the first `count` groups, samples in turn; with advantage where it was learned from."""
    advantages = {
        id(group): [credit.advantage for credit in credit_G]
        for group, credit_G in zip(collected.kept, credits_P, strict=True)
    }
    chosen: list[Trace] = []
    for place, group in enumerate(collected.sampled[:count]):
        index = (step + place) % len(group.samples_G)
        advantage_G = advantages.get(id(group))
        trace = group.samples_G[index].trace
        chosen.append(trace if advantage_G is None else trace.model_copy(update={"advantage": advantage_G[index]}))
    return chosen


def _learn_piece(session: Session, groups_P: Sequence[Learnable], whole: Normalizer, *, on_policy: bool) -> Piece:
    config = session.config
    now = _logprobs(session.policy, groups_P, config, entropy=True)
    mask_B_T = now.mask_B_T
    current_B_T = now.logprobs_B_T.detach()
    old_B_T = _pad([row for group in groups_P for row in group.old_logprobs_G], current_B_T)
    gap_B_T = (current_B_T - old_B_T).abs() * mask_B_T
    mismatch_max = float(gap_B_T.max())
    if on_policy and not mismatch_max <= config.mismatch_tolerance:
        # Before the first update the trainer's own log-probabilities are the old policy's by definition.
        old_B_T = current_B_T
    reference_B_T = None
    if session.reference is not None:
        with torch.no_grad():
            reference_B_T = _logprobs(session.reference, groups_P, config).logprobs_B_T
    loss, stats = policy_loss(
        config.loss.variant,
        logprobs_B_T=now.logprobs_B_T,
        old_logprobs_B_T=old_B_T,
        advantages=_pad([row for group in groups_P for row in group.advantages_G], current_B_T),
        mask_B_T=mask_B_T,
        clip_low=config.loss.clip_low,
        clip_high=config.loss.clip_high,
        max_tokens=config.max_tokens,
        normalizer_of_batch=whole,
        reference_logprobs_B_T=reference_B_T,
        kl_coef=config.loss.kl_coef,
    )
    loss.backward()
    assert now.entropy_B_T is not None
    num_tokens = int(mask_B_T.sum())
    entropy = float((now.entropy_B_T * mask_B_T).sum()) / num_tokens
    return Piece(float(loss.detach()), stats, entropy, float(gap_B_T.sum()) / num_tokens, mismatch_max)


def _checked_old_logprobs(session: Session, groups_P: Sequence[Learnable]) -> Sequence[Learnable]:
    """The groups as they are if sampler and trainer agree on the first one, else with the trainer's numbers."""

    def computed(group: Learnable) -> list[tuple[float, ...]]:
        with torch.no_grad():
            logprobs_G_T = _logprobs(session.policy, [group], session.config).logprobs_B_T
        return [tuple(row[: len(tokens)]) for row, tokens in zip(logprobs_G_T.tolist(), group.tokens_G, strict=True)]

    first = computed(groups_P[0])
    gap = max(
        abs(a - b)
        for ours, sampled in zip(first, groups_P[0].old_logprobs_G, strict=True)
        for a, b in zip(ours, sampled, strict=True)
    )
    if gap <= session.config.mismatch_tolerance:
        return groups_P
    return [group._replace(old_logprobs_G=computed(group)) for group in groups_P]


def _logprobs(policy: "Policy", groups_P: Sequence[Learnable], config: RlConfig, *, entropy: bool = False) -> Logprobs:
    prompts_P = [group.prompt for group in groups_P]
    tokens_P_G = [group.tokens_G for group in groups_P]
    return completion_logprobs(policy, prompts_P, tokens_P_G, temperature=config.temperature, entropy=entropy)


def _learnable(group: Group, credit_G: Sequence[TokenCredit]) -> Learnable:
    return Learnable(
        prompt=group.prompt,
        tokens_G=[sample.token_ids for sample in group.samples_G],
        old_logprobs_G=[sample.logprobs for sample in group.samples_G],
        advantages_G=[credit.tokens for credit in credit_G],
    )


def _scales(config: RlConfig) -> bool:
    # Dr. GRPO's point is that neither length nor deviation divides.
    return config.loss.variant != "dr_grpo"


def _pad(rows_B: Sequence[Sequence[float]], like_B_T: Tensor) -> Tensor:
    size = like_B_T.shape[1]
    return torch.tensor([[*row, *[0.0] * (size - len(row))] for row in rows_B], device=like_B_T.device)


def _num_pieces(config: RlConfig, num_groups: int) -> int:
    """Pieces of the first minibatch: those before any update, in which sampler and trainer have the same weights."""
    minibatch = -(-num_groups // config.loss.minibatches)
    return -(-minibatch // (config.micro_prompts or minibatch))


def _update_metrics(pieces: Sequence[Piece], norms: Sequence[float], *, num_first: int) -> dict[str, float]:
    weights = [piece.stats.num_tokens for piece in pieces]

    def mean(values: Sequence[float]) -> float:
        return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)

    first = pieces[:num_first]
    first_tokens = sum(piece.stats.num_tokens for piece in first)
    return {
        "rl/loss": sum(piece.loss for piece in pieces) / len(norms),
        "rl/grad_norm": sum(norms) / len(norms),
        "rl/entropy": mean([piece.entropy for piece in pieces]),
        "rl/kl": mean([piece.stats.reference_kl for piece in pieces]),
        "rl/old_kl": mean([piece.stats.old_kl for piece in pieces]),
        "rl/ratio": mean([piece.stats.ratio for piece in pieces]),
        "rl/clip_fraction": mean([piece.stats.clip_fraction for piece in pieces]),
        "rl/sampler_mismatch": sum(piece.mismatch * piece.stats.num_tokens for piece in first) / first_tokens,
        "rl/sampler_mismatch/max": max(piece.mismatch_max for piece in first),
    }
