"""`srpo rl` as far as its memory goes: its sampler, and one pass of loss and backward over the longest responses."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.utils._pytree import tree_map

from srpo.core.prompts import problem_text
from srpo.core.records import FormatError, Grade, GradedText, Origin, Problem, Sampling, Style, TokenCounts, Trace
from srpo.data.sources import load_problems
from srpo.policy.data_prompts import RunPrompts
from srpo.policy.fake import TEXT_TOKEN
from srpo.policy.measure import Learn
from srpo.policy.plan import Job
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.prompts import read_prompt
from srpo.policy.vision import MOST_SEEN_BYTES, features_bytes, see
from srpo.rl.config import RlConfig
from srpo.rl.rollout import Trajectory, TrajectoryGroup
from srpo.rl.train import accumulate_gradients

_PIECES = 2
"""Pieces of a group that are run: the second one finds the gradients of the first, and the others are like it."""


def rl_job(config: RlConfig) -> Job:
    """The stage for `policy.plan.plan_memory`."""
    return Job(stage="rl", config=config, learn=_learn, sampled=_sampled, asked=_asked)


def _asked(config: RlConfig) -> RunPrompts:
    prompt = read_prompt(config.prompt, config.system, config.model)
    return RunPrompts(load_problems(config.data).problems, lambda problem: prompt.turns(problem_text(problem)))


def _sampled(config: RlConfig) -> tuple[int, int, Sampling]:
    return config.num_prompts, config.group_size, Sampling(temperature=config.temperature, max_tokens=config.max_tokens)


def _learn(config: RlConfig) -> Learn:
    most = -(-config.num_prompts // config.loss.minibatches)
    num_groups = min(config.micro_prompts or most, most)
    num_rows = min(config.group_size, _PIECES * (config.micro_responses or config.group_size))

    def prompts(policy: Policy) -> list[EncodedPrompt]:
        one = _seen(policy, config.num_prompts)
        if one.features is None:
            return [policy.encode("") for _ in range(num_groups)]
        return [replace(one, features=tree_map(torch.clone, one.features)) for _ in range(num_groups)]

    def run(policy: Policy, reference: Policy | None, prompts: list[EncodedPrompt]) -> None:
        tokens_G = [(*[TEXT_TOKEN] * (config.max_tokens - 1), policy.end_id)] * num_rows
        groups = [
            learned_group(prompt, tokens_G, [1.0] * num_rows, str(number), config.style)
            for number, prompt in enumerate(prompts)
        ]
        accumulate_gradients(policy, reference, groups, config, on_policy=True)

    return Learn(prompts, run, num_groups, is_repeated=num_groups < most)


def _seen(policy: Policy, num_prompts: int) -> EncodedPrompt:
    """A prompt as learning finds it: with what a frozen tower made of its pictures, before the rollout."""
    prompt = policy.encode("")
    (seen,) = see(policy, [prompt])
    if seen.features is None or num_prompts * features_bytes(seen.features) > MOST_SEEN_BYTES:
        return prompt
    assert seen.pixel_values is not None
    # Patches stay in the machine's memory, as bytes; nobody asks for their values again.
    return replace(seen, pixel_values=seen.pixel_values.new_empty(0))


def learned_group(
    prompt: EncodedPrompt,
    tokens_G: Sequence[Sequence[int]],
    advantages_G: Sequence[float],
    name: str = "",
    style: Style = "reflective",
) -> TrajectoryGroup:
    """A group of which nothing counts but its tokens and what each of them is worth."""
    problem = Problem(id=name, question="", answer="")
    grade = Grade(verdict="incorrect", extracted=None, reason="")
    trajectories_G = []
    for token_ids, advantage in zip(tokens_G, advantages_G, strict=True):
        size = len(token_ids)
        trace = Trace.of(
            GradedText(FormatError(where=0, what=""), grade, grade),
            origin=Origin(stage="rl", model=""),
            problem=problem,
            text="",
            style=style,
            tokens=TokenCounts(prompt=prompt.num_tokens, total=size, first=size // 2),
        )
        one = Trajectory(
            token_ids=tuple(token_ids), logprobs=(0.0,) * size, advantages=(advantage,) * size, trace=trace
        )
        trajectories_G.append(one)
    return TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=tuple(trajectories_G))
