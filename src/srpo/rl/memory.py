"""`srpo rl` as far as its memory goes: its sampler, and one pass of loss and backward over the longest responses."""

from srpo.core.prompts import problem_text
from srpo.core.records import FormatError, Grade, GradedText, Origin, Problem, Sampling, TokenCounts, Trace
from srpo.data.sources import load_problems
from srpo.policy.data_prompts import RunPrompts
from srpo.policy.fake import TEXT_TOKEN
from srpo.policy.measure import Learn
from srpo.policy.plan import Job
from srpo.policy.policy import Policy
from srpo.policy.prompts import read_prompt
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

    def run(policy: Policy, reference: Policy | None) -> int:
        groups = [_group(policy, number, num_rows, config) for number in range(num_groups)]
        accumulate_gradients(policy, reference, groups, config, on_policy=True)
        return num_groups

    return run


def _group(policy: Policy, number: int, num_rows: int, config: RlConfig) -> TrajectoryGroup:
    size = config.max_tokens
    problem = Problem(id=str(number), question="", answer="")
    grade = Grade(verdict="incorrect", extracted=None, reason="")
    prompt = policy.encode("")
    trace = Trace.of(
        GradedText(FormatError(where=0, what=""), grade, grade),
        origin=Origin(stage="rl", model=""),
        problem=problem,
        text="",
        style=config.style,
        tokens=TokenCounts(prompt=prompt.num_tokens, total=size, first=size // 2),
    )
    one = Trajectory(
        token_ids=(*[TEXT_TOKEN] * (size - 1), policy.end_id),
        logprobs=(0.0,) * size,
        advantages=(1.0,) * size,
        trace=trace,
    )
    return TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=(one,) * num_rows)
