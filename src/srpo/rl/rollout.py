"""Sample, grade, reward, advantage: what happens to the responses of a step before the loss sees them.

A group is one prompt, one processed picture and G responses. It goes through these functions in the order in which they
stand here; each gives back a new one that knows more. What the loss needs of a response (its tokens, the sampler's
log-probabilities, an advantage for every token) is in its `Trajectory`, what people and metrics need in its trace.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.advantages import assign_credit, carries_signal, keep_group
from srpo.core.records import Origin, Problem, Reward, Sampling, Style, TokenCounts, Trace
from srpo.core.rewards import RewardCase
from srpo.policy.decode import SampledCompletion
from srpo.policy.policy import first_attempt_tokens
from srpo.rl.config import RlConfig
from srpo.rl.reward import RewardFunction
from srpo.rl.sampler import PolicySampler, Start

if TYPE_CHECKING:
    from srpo.grading import Grader
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt


class SampledGroup(NamedTuple):
    """The G completions of one prompt, as they were sampled."""

    problem: Problem
    prompt: "EncodedPrompt"
    completions_G: list[SampledCompletion]
    sampling: Sampling
    num_given: int = 0
    """Leading tokens that were given, not sampled (`rl/roll_ins.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One response that was sampled and graded."""

    token_ids: tuple[int, ...]
    """The response with its end token, unless it was cut."""
    logprobs: tuple[float, ...]
    """The sampler's log-probability of each token."""
    trainer_logprobs: tuple[float, ...] = ()
    """The trainer's before the first update, where they were computed and differ; else the sampler's count as them."""
    trace: Trace
    """Text, grades and reward; the reward is None before it is paid, and when the gold is ungradable."""
    advantages: tuple[float, ...] = ()
    """One for every token, where the loss learns from the response."""
    num_given: int = 0
    """Leading tokens that were given, not sampled."""
    num_masked: int = 0
    """Leading tokens that carry no loss: the given ones, or a first attempt that is masked."""

    @property
    def lengths(self) -> TokenCounts:
        """Lengths in tokens."""
        assert self.trace.tokens is not None, "every sampled response is counted"
        return self.trace.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryGroup:
    """The G responses to one problem."""

    problem: Problem
    prompt: "EncodedPrompt"
    trajectories_G: tuple[Trajectory, ...]
    shift: float | None = None
    """Of a recombined group: how much less likely its continuations are here than where they were sampled, in nats a
    token (`rl/recombine.py`)."""

    @property
    def traces(self) -> list[Trace]:
        """The responses as they are written down."""
        return [trajectory.trace for trajectory in self.trajectories_G]

    @property
    def is_roll_in(self) -> bool:
        """Whether the responses go on from a first attempt that was given to them, sampled or recombined."""
        return any(one.num_given for one in self.trajectories_G)

    @property
    def is_recombined(self) -> bool:
        """Whether the responses were put together from others."""
        return self.shift is not None

    @property
    def is_graded(self) -> bool:
        """False when any response has no grade: the gold is ungradable, or computer algebra ran out of time."""
        return all(trace.outcome is not None for trace in self.traces)

    @property
    def rewards(self) -> list[Reward]:
        """What the responses earned; a group that is not graded has no rewards."""
        rewards_G = [trace.reward for trace in self.traces if trace.reward is not None]
        assert len(rewards_G) == len(self.trajectories_G), "ungradable groups never get as far as credit"
        return rewards_G


class Rollout(NamedTuple):
    """All responses of one step."""

    groups: list[TrajectoryGroup]
    """Every group that was sampled, in order: metrics are about these."""
    is_kept: list[bool]
    """Which of them the loss learns from."""
    num_refilled: int
    """Groups that were sampled in place of others."""

    @property
    def kept(self) -> list[TrajectoryGroup]:
        """What the loss learns from: at most `num_prompts` groups, the roll-ins, and what was recombined."""
        return [group for group, kept in zip(self.groups, self.is_kept, strict=True) if kept]

    @property
    def num_tokens(self) -> int:
        """Tokens that were generated, dropped groups included."""
        return sum(one.lengths.total - one.num_given for group in self.groups for one in group.trajectories_G)


def sampling_seed(seed: int, *place: object) -> int:
    """Seed of one sampling call, a function of where in the run it happens.

    With a seed per call there is no generator state to save: a resumed run draws what an uninterrupted one draws.
    """
    return random.Random("/".join(map(str, ("rl", seed, *place)))).getrandbits(63)


def sample_groups(
    sampler: PolicySampler,
    starts_P: Sequence[Start],
    num_samples: int,
    sampling: Sampling,
    among: tuple[int, int] | None = None,
) -> list[SampledGroup]:
    """Sample `num_samples` completions that go on from each start; nothing is asked where there is none.

    `among`: where these rows stand among those of all processes (`policy.decode.sample`).
    """
    if not starts_P:
        return []
    completions_P_G = sampler.sample(starts_P, num_samples, sampling, among)
    return [
        SampledGroup(start.problem, start.prompt, completions_G, sampling, len(start.given))
        for start, completions_G in zip(starts_P, completions_P_G, strict=True)
    ]


def grade_groups(
    policy: "Policy", grader: "Grader", groups_P: Sequence[SampledGroup], style: Style, origin: Origin
) -> list[TrajectoryGroup]:
    """Grade each group; those with formulas wait for a worker each, as many at a time as there are workers."""

    def grade(group: SampledGroup) -> TrajectoryGroup:
        return grade_group(policy, grader, group, style, origin)

    if grader.num_workers < 2 or len(groups_P) < 2:
        return [grade(group) for group in groups_P]
    with ThreadPoolExecutor(grader.num_workers, thread_name_prefix="grade") as threads:
        return list(threads.map(grade, groups_P))


def grade_group(
    policy: "Policy", grader: "Grader", group: SampledGroup, style: Style, origin: Origin
) -> TrajectoryGroup:
    """Parse each completion, and grade its first and its final answer."""
    origin = origin.model_copy(update={"sampling": group.sampling})
    trajectories_G: list[Trajectory] = []
    for index, completion in enumerate(group.completions_G):
        text = policy.decode(completion.token_ids)
        total = len(completion.token_ids)
        trace = Trace.of(
            grader.grade_response(group.problem, text, style),
            origin=origin,
            problem=group.problem,
            sample=index,
            style=style,
            text=text,
            tokens=TokenCounts(
                prompt=group.prompt.num_tokens,
                total=total,
                first=total if style == "single" else first_attempt_tokens(policy, completion.token_ids, text) or 0,
                truncated=completion.truncated,
            ),
        )
        trajectories_G.append(
            Trajectory(
                token_ids=completion.token_ids,
                logprobs=completion.logprobs,
                trace=trace,
                num_given=group.num_given,
                num_masked=group.num_given,
            )
        )
    return TrajectoryGroup(problem=group.problem, prompt=group.prompt, trajectories_G=tuple(trajectories_G))


def reward_group(group: TrajectoryGroup, reward: RewardFunction) -> TrajectoryGroup:
    """Pay each response; those to an ungradable gold get no reward."""
    rewarded_G: list[Trajectory] = []
    for one in group.trajectories_G:
        trace = one.trace
        paid = reward(
            RewardCase(
                problem=trace.problem,
                text=trace.text,
                parsed=trace.parsed,
                first=trace.first_grade,
                final=trace.final_grade,
                tokens=one.lengths,
                style=trace.style,
            )
        )
        rewarded_G.append(replace(one, trace=trace.model_copy(update={"reward": paid})))
    return replace(group, trajectories_G=tuple(rewarded_G))


def is_worth_learning(group: TrajectoryGroup, config: RlConfig) -> bool:
    """Whether the group is graded, its rewards differ and the online filter lets it through."""
    if not group.is_graded or not carries_signal(group.rewards, config.credit):
        return False
    match config.online_filter:
        case "off":
            return True
        case "final":
            right_G = [trace.final_grade.is_correct for trace in group.traces]
            return keep_group(right_G, config.filter_low, config.filter_high)
        case "outcome":
            return len({(trace.has_format, trace.outcome) for trace in group.traces}) > 1


def add_advantages(rollout: Rollout, config: RlConfig) -> Rollout:
    """Give every token of the kept groups its advantage."""
    groups = [
        _with_advantages(group, config) if kept else group
        for group, kept in zip(rollout.groups, rollout.is_kept, strict=True)
    ]
    return Rollout(groups, rollout.is_kept, rollout.num_refilled)


def _with_advantages(group: TrajectoryGroup, config: RlConfig) -> TrajectoryGroup:
    # Dr. GRPO's point is that neither length nor deviation divides.
    scale = config.loss.variant != "dr_grpo"
    lengths_G = [one.lengths for one in group.trajectories_G]
    credits_G = assign_credit(group.rewards, lengths_G, config.credit, scale=scale)
    credited_G = [
        replace(
            one,
            trace=one.trace.model_copy(update={"advantage": credit.advantage}),
            advantages=tuple(credit.tokens),
            num_masked=max(one.num_masked, _num_masked(one, config)),
        )
        for one, credit in zip(group.trajectories_G, credits_G, strict=True)
    ]
    return replace(group, trajectories_G=tuple(credited_G))


def _num_masked(one: Trajectory, config: RlConfig) -> int:
    """Tokens of the first attempt, for the share of responses whose first attempt carries no loss."""
    if not config.mask_first:
        return 0
    origin = one.trace.origin
    place = f"rl/mask/{config.seed}/{origin.step}/{one.trace.problem.id}/{one.trace.sample}"
    return one.lengths.first if random.Random(place).random() < config.mask_first else 0
