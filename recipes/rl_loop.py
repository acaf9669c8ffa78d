"""Reflection-aware GRPO in one file, for people who want to change it: python recipes/rl_loop.py

The whole algorithm from top to bottom on srpo's own parts: sample, grade, reward, advantage, loss, step. On the same
seed it has the losses of `srpo rl` with the same settings (a test holds that). What `srpo rl` has beside it is what a
long run needs: checkpoints and resume, refills in place of groups without signal, metrics, traces, held-out
evaluation, micro-batches, several updates a rollout, segment credit.

Differs from the released code in the filter: groups are kept when their final answers differ in correctness.
"""

from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor

from srpo.core.advantages import group_advantages, has_signal, keep_group
from srpo.core.prompts import user_text
from srpo.core.records import Problem, Sampling, TokenCounts
from srpo.core.rewards import reward
from srpo.data.drawn import drawn_problems
from srpo.data.images import load_image
from srpo.grading import Grader
from srpo.policy.config import OptimConfig
from srpo.policy.decode import SampledCompletion, sample
from srpo.policy.load import load_policy, save_policy
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy, first_attempt_tokens
from srpo.policy.prefix import completion_logprobs
from srpo.policy.processor import EncodedPrompt
from srpo.policy.threads import configure_threads
from srpo.rl.losses import policy_loss
from srpo.rl.problems import ProblemStream
from srpo.rl.rollout import sampling_seed


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Change what you like."""

    model: str = "runs/tiny/sft/model"
    """A model that writes the five blocks: after `srpo reflect recipes/tiny/reflect.yaml` and `srpo sft`."""
    prompt: str = "bare"
    families: tuple[str, ...] = ("area", "bars", "count", "maze", "oddone")
    num_problems: int = 1000
    num_prompts: int = 16
    """Problems P of a step."""
    group_size: int = 8
    """Responses G to each."""
    steps: int = 20
    lr: float = 1e-4
    max_tokens: int = 208
    seed: int = 0
    out: str = "runs/rl-loop"
    """Where the model goes; nothing is written when this is empty."""


class Group(NamedTuple):
    """The responses to one problem, graded and paid."""

    prompt: EncodedPrompt
    completions_G: list[SampledCompletion]
    rewards_G: list[float]
    right_G: list[bool]
    """Whether the final answers are right."""


def main(settings: Settings) -> list[float]:
    """Train; returns the loss of every step that had something to learn from."""
    configure_threads()
    policy = load_policy(settings.model, freeze_vision=True)
    optim = OptimConfig(lr=settings.lr, schedule="constant", warmup_steps=5)
    optimizer = Optimizer(policy.model, optim, settings.steps)
    problems = drawn_problems("train", families=settings.families, count=settings.num_problems, seed=settings.seed)
    stream = ProblemStream(problems, settings.seed)
    losses: list[float] = []
    with Grader(symbolic=False) as grader:
        for step in range(1, settings.steps + 1):
            problems_P = stream.take(settings.num_prompts)
            prompts_P = encode(policy, problems_P, settings.prompt)
            completions_P_G = roll_out(policy, prompts_P, settings, step)
            groups = [
                grade_and_reward(policy, grader, *one)
                for one in zip(problems_P, prompts_P, completions_P_G, strict=True)
            ]
            kept = [group for group in groups if has_signal(group.rewards_G) and keep_group(group.right_G)]
            if kept:
                # On-policy its value is 0 but for rounding; what teaches is its gradient.
                loss = loss_of(policy, kept)
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            reward_mean = mean(paid for group in groups for paid in group.rewards_G)
            accuracy = mean(right for group in groups for right in group.right_G)
            print(f"step {step}: reward {reward_mean:.3f}, final answers right {accuracy:.1%}, {len(kept)} groups kept")
    if settings.out:
        save_policy(policy, settings.out)
    return losses


def encode(policy: Policy, problems_P: list[Problem], prompt: str) -> list[EncodedPrompt]:
    """Each problem's text and pictures, processed once for all samples."""
    return policy.encode_many([(user_text(one, prompt), [load_image(ref) for ref in one.images]) for one in problems_P])


def roll_out(
    policy: Policy, prompts_P: list[EncodedPrompt], settings: Settings, step: int
) -> list[list[SampledCompletion]]:
    """G completions of each prompt; what is drawn is a function of the seed and the step."""
    seed = sampling_seed(settings.seed, "train", step, 0)
    sampling = Sampling(temperature=1.0, max_tokens=settings.max_tokens, seed=seed)
    generator = torch.Generator(device=policy.device).manual_seed(seed)
    return sample(policy, prompts_P, num_samples=settings.group_size, sampling=sampling, generator=generator)


def grade_and_reward(
    policy: Policy,
    grader: Grader,
    problem: Problem,
    prompt: EncodedPrompt,
    completions_G: list[SampledCompletion],
) -> Group:
    """Grade both answers of each response, and pay it."""
    rewards_G: list[float] = []
    right_G: list[bool] = []
    for completion in completions_G:
        text = policy.decode(completion.token_ids)
        graded = grader.grade_response(problem, text, "reflective")
        first = first_attempt_tokens(policy, completion.token_ids, text) or 0
        tokens = TokenCounts(prompt=prompt.num_tokens, first=first, total=len(completion.token_ids))
        paid = reward(
            "paper",
            text=text,
            parsed=graded.parsed,
            first=graded.first_grade,
            final=graded.final_grade,
            tokens=tokens,
        )
        if paid is None:
            raise ValueError(
                f"problem {problem.id!r}: the gold answer {problem.answer!r} cannot be graded; leave it out"
            )
        rewards_G.append(paid.total)
        right_G.append(graded.final_grade.is_correct)
    return Group(prompt, completions_G, rewards_G, right_G)


def loss_of(policy: Policy, groups: list[Group]) -> Tensor:
    """The clipped surrogate of all responses; prompt and picture run once for a whole group."""
    completions_B = [completion for group in groups for completion in group.completions_G]
    tokens_P_G = [[completion.token_ids for completion in group.completions_G] for group in groups]
    now = completion_logprobs(policy, [group.prompt for group in groups], tokens_P_G)
    old_B_T = torch.zeros_like(now.logprobs_B_T)
    for row, completion in enumerate(completions_B):
        old_B_T[row, : len(completion.logprobs)] = torch.tensor(completion.logprobs)
    advantages_B = torch.tensor([advantage for group in groups for advantage in group_advantages(group.rewards_G)])
    loss, _ = policy_loss(
        "grpo",
        logprobs_B_T=now.logprobs_B_T,
        old_logprobs_B_T=old_B_T,
        advantages=advantages_B.to(old_B_T.device),
        mask_B_T=now.mask_B_T,
    )
    return loss


if __name__ == "__main__":
    main(Settings())
