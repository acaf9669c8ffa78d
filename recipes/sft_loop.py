"""The cold start in one file, for people who want to change it: python recipes/sft_loop.py

Cross-entropy on five-block responses from reflection data, from top to bottom on srpo's own parts. On the same seed it
has the losses of `srpo sft` with the same settings (a test holds that); the settings below are those of
recipes/tiny/sft.yaml. What `srpo sft` has beside it: checkpoints and resume, micro-batches, metrics by segment, a
choice of first attempts to learn from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from srpo.core.prompts import user_text
from srpo.core.records import Problem, Response
from srpo.core.response import render
from srpo.data.images import load_image
from srpo.policy.config import OptimConfig
from srpo.policy.load import load_policy, save_policy
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from srpo.policy.threads import configure_threads
from srpo.runs.reader import read_traces
from srpo.sft.batches import plan_batches


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Change what you like."""

    model: str = "tiny-base"
    traces: str = "runs/tiny/reflect/traces.jsonl"
    """After `srpo reflect recipes/tiny/reflect.yaml`."""
    prompt: str = "bare"
    batch_size: int = 8
    sort_window: int = 16
    """Batches are cut from windows of this many that are sorted by length, so that little is padded; 1 is a shuffle."""
    epochs: int = 2
    lr: float = 1.5e-3
    freeze_vision: bool = False
    max_tokens: int = 2048
    seed: int = 0
    out: str = "runs/sft-loop"
    """Where the model goes; nothing is written when this is empty."""


class Target(NamedTuple):
    """One response that is learned."""

    problem: Problem
    tokens: list[int]


def main(settings: Settings) -> list[float]:
    """Train; returns the loss of every step."""
    configure_threads()
    policy = load_policy(settings.model, freeze_vision=settings.freeze_vision)
    targets = read_targets(policy, settings)
    batches = plan_batches(
        [len(target.tokens) for target in targets],
        batch_size=settings.batch_size,
        sort_window=settings.sort_window,
        epochs=settings.epochs,
        seed=settings.seed,
    )
    optimizer = Optimizer(policy.model, OptimConfig(lr=settings.lr), len(batches))
    losses: list[float] = []
    for step, indices in enumerate(batches, start=1):
        loss = loss_of(policy, [targets[index] for index in indices], settings.prompt)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        print(f"step {step} of {len(batches)}: loss {losses[-1]:.4f}")
    if settings.out:
        save_policy(policy, settings.out)
    return losses


def read_targets(policy: Policy, settings: Settings) -> list[Target]:
    """The reflective responses, rendered by the template that RL and evaluation parse."""
    targets = []
    for trace in read_traces(Path(settings.traces)):
        if isinstance(trace.parsed, Response):
            tokens = policy.encode_text(render(trace.parsed))
            if len(tokens) <= settings.max_tokens:
                targets.append(Target(trace.problem, tokens))
    if not targets:
        raise ValueError(f"{settings.traces}: holds no reflective response of at most {settings.max_tokens} tokens")
    return targets


def loss_of(policy: Policy, batch: list[Target], prompt: str) -> Tensor:
    """Mean negative log-probability of the tokens; prompt and picture run once for all targets of a problem."""
    by_prompt: dict[tuple[str, tuple[str, ...]], list[Target]] = {}
    for target in batch:
        by_prompt.setdefault((user_text(target.problem, prompt), target.problem.images), []).append(target)
    prompts_P = policy.encode_many([(text, [load_image(ref) for ref in images]) for text, images in by_prompt])
    tokens_P_G = [[target.tokens for target in group] for group in by_prompt.values()]
    found = completion_logprobs(policy, prompts_P, tokens_P_G)
    return torch.where(found.mask_B_T, -found.logprobs_B_T, 0.0).sum() / sum(len(one.tokens) for one in batch)


if __name__ == "__main__":
    main(Settings())
