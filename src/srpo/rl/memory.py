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
from srpo.policy.limits import GPU_SHARE
from srpo.policy.measure import Learn
from srpo.policy.model_file import ModelFile, read_model_file
from srpo.policy.plan import Job, MemoryPlan, Target, device_target, plan_memory
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.prompts import read_prompt
from srpo.policy.vision import MOST_SEEN_BYTES, features_bytes, see
from srpo.rl.config import RlConfig
from srpo.rl.pieces import is_free
from srpo.rl.rollout import Trajectory, TrajectoryGroup
from srpo.rl.train import accumulate_gradients
from srpo.runs.progress import note

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
    if is_free(config):
        # What a run takes then is found out by plans; this one is of all at once.
        config = config.model_copy(update={"micro_prompts": most})

    num_groups, at_once = min(config.micro_prompts or most, most), config.micro_responses or config.group_size
    if config.micro_tokens is not None:
        # Prompts come on top of it, so that no fewer pieces are made of these than in a run.
        at_once = min(at_once, max(1, config.micro_tokens // config.max_tokens))
        num_groups = min(num_groups, max(1, config.micro_tokens // (config.group_size * config.max_tokens)))
    num_rows = min(config.group_size, _PIECES * at_once)

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


def planned_tokens(config: RlConfig, model: ModelFile, target: Target) -> int:
    """Tokens to learn from at one time that the plan finds room for: of whole groups, or of responses to one prompt."""

    def planned(tokens: int | None = None, **fields: int) -> MemoryPlan:
        changed = config.model_copy(update={"micro_tokens": tokens, **fields})
        return plan_memory(rl_job(changed), model, target)

    one = planned(micro_prompts=1)
    prompt, response, group = one.prompt_tokens, config.max_tokens, config.group_size * config.max_tokens
    if one.fits:
        found, least = one.largest["micro_prompts"] * (prompt + group), prompt + group
    else:
        part = planned(micro_prompts=1, micro_responses=1)
        found, least = prompt + part.largest.get("micro_responses", 1) * response, prompt + response
    # What is largest was drawn as a line through two values.
    while found > least and not planned(found).fits:
        found = max(least, found - max(response, (found - least) // 4))
    return found


def with_planned_tokens(config: RlConfig, device: torch.device) -> RlConfig:
    """The config with as many tokens at one time as a GPU has memory for, where it leaves that to us."""
    if not is_free(config) or device.type != "cuda":
        return config
    target = device_target(str(device))
    found = planned_tokens(
        config, read_model_file(config.model), target._replace(num_bytes=int(GPU_SHARE * target.num_bytes))
    )
    note(f"rl: learns from {found:,} tokens of prompts and responses at a time (micro_tokens), by the memory plan")
    return config.model_copy(update={"micro_tokens": found})


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
