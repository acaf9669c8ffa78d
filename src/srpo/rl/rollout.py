"""Sample, grade, reward: from problems to groups of judged responses.

A group is one prompt, one processed picture and G responses. Everything that later steps need of a response (tokens,
sampler log-probabilities, grades, reward terms, where its first attempt ends) is in its `Sample`.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from srpo.core.records import Origin, Problem, Sampling, TokenCounts, Trace
from srpo.core.rewards import reward
from srpo.data.images import ImageError
from srpo.policy.decode import SampledCompletion, sample
from srpo.policy.policy import first_attempt_tokens
from srpo.policy.prompts import PromptEncoder
from srpo.rl.config import RlConfig
from srpo.rl.credit import Credited
from srpo.runs.progress import note

if TYPE_CHECKING:
    from srpo.grading import Grader
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One judged response."""

    token_ids: tuple[int, ...]
    """The response with its end token, unless it was cut."""
    logprobs: tuple[float, ...]
    """The sampler's log-probability of each token."""
    first_tokens: int | None
    """Tokens of the first attempt; None when no first answer ends."""
    trace: Trace
    """Text, grades and reward; the reward is None when the gold is ungradable."""

    @property
    def credited(self) -> Credited:
        """What credit needs to know."""
        assert self.trace.reward is not None, "ungradable groups never get as far as credit"
        return Credited(self.trace.reward, len(self.token_ids), self.first_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The G responses to one problem."""

    problem: Problem
    prompt: "EncodedPrompt"
    samples_G: tuple[Sample, ...]

    @property
    def is_graded(self) -> bool:
        """False when the gold turned out to be ungradable for any response."""
        return all(sample.trace.reward is not None for sample in self.samples_G)


class Judge(NamedTuple):
    """What turns sampled tokens into judged responses."""

    policy: "Policy"
    config: RlConfig
    origin: Origin
    grader: "Grader"


def sampling_seed(seed: int, *place: object) -> int:
    """Seed of one sampling call, a function of where in the run it happens.

    With a seed per call there is no generator state to save: a resumed run draws what an uninterrupted one draws.
    """
    return random.Random("/".join(map(str, ("rl", seed, *place)))).getrandbits(63)


def readable(encoder: PromptEncoder, problems: Sequence[Problem]) -> list[Problem]:
    """The problems whose pictures can be read; the others are named on stderr. One bad file must not end a long run."""
    try:
        encoder.encode_all(problems)
    except ImageError:
        kept: list[Problem] = []
        for problem in problems:
            try:
                encoder.encode_all([problem])
                kept.append(problem)
            except ImageError as error:
                note(f"rl: problem {problem.id!r} is left out: {error}")
        return kept
    return list(problems)


def roll_out(
    judge: Judge,
    encoder: PromptEncoder,
    problems_P: Sequence[Problem],
    *,
    num_samples: int,
    seed: int,
    clock: Callable[[str], AbstractContextManager[None]],
) -> list[Group]:
    """Sample `num_samples` responses to each problem and judge them; `clock` times the parts."""
    if not problems_P:
        return []
    config = judge.config
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens, seed=seed)
    prompts_P = encoder.encode_all(problems_P)
    generator = torch.Generator(device=judge.policy.device).manual_seed(seed)
    with clock("sample"):
        completions_P_G = sample(
            judge.policy, prompts_P, num_samples=num_samples, sampling=sampling, generator=generator
        )
    origin = judge.origin.model_copy(update={"sampling": sampling})
    with clock("grade"):
        return [
            Group(
                problem=problem,
                prompt=prompt,
                samples_G=tuple(
                    judge_completion(judge, origin, problem, prompt, one) for one in enumerate(completions_G)
                ),
            )
            for problem, prompt, completions_G in zip(problems_P, prompts_P, completions_P_G, strict=True)
        ]


def judge_completion(
    judge: Judge, origin: Origin, problem: Problem, prompt: "EncodedPrompt", item: tuple[int, SampledCompletion]
) -> Sample:
    """Parse, grade and reward one response; `item` is its index in the group and the sampled tokens."""
    index, completion = item
    config = judge.config
    text = judge.policy.decode(completion.token_ids)
    graded = judge.grader.grade_response(problem, text, config.style)
    first_tokens = first_attempt_tokens(judge.policy, completion.token_ids, text)
    tokens = TokenCounts(
        prompt=prompt.num_tokens,
        total=len(completion.token_ids),
        first=len(completion.token_ids) if config.style == "single" else first_tokens or 0,
        truncated=completion.truncated,
    )
    trace = Trace.of(
        graded,
        origin=origin,
        problem=problem,
        sample=index,
        style=config.style,
        text=text,
        reward=reward(
            config.preset,
            parsed=graded.parsed,
            first=graded.first_grade,
            final=graded.final_grade,
            tokens=tokens,
            style=config.style,
            text=text,
        ),
        tokens=tokens,
    )
    return Sample(
        token_ids=tuple(completion.token_ids),
        logprobs=tuple(completion.logprobs),
        first_tokens=first_tokens,
        trace=trace,
    )
