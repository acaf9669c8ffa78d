"""Where responses come from: the model that is trained, in this process, or a server that follows it (`rl/vllm`)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from srpo.core.records import Problem, Sampling
from srpo.policy.decode import SampledCompletion, sample

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt


class Start(NamedTuple):
    """What completions go on from."""

    problem: Problem
    prompt: "EncodedPrompt"
    given: tuple[int, ...] = ()
    """Tokens that they begin with (`rl/roll_ins.py`)."""


class PolicySampler(Protocol):
    """Samples from the policy as it is now."""

    def sample(
        self, starts_P: Sequence[Start], num_samples: int, sampling: Sampling, among: tuple[int, int] | None = None
    ) -> list[list[SampledCompletion]]:
        """`num_samples` completions for each start; given tokens count in `max_tokens` and are part of them.

        With `among` other processes sample beside this one (`policy.decode.sample`). What is drawn is a function of the
        arguments and the policy alone, as far as the sampler's arithmetic is.
        """

    def weights_moved(self) -> None:
        """The policy is no longer what it was when this sampler last looked."""

    def close(self) -> None:
        """Nothing will be sampled any more."""


class LocalSampler:
    """The policy itself."""

    def __init__(self, policy: "Policy") -> None:
        self._policy = policy

    def sample(
        self, starts_P: Sequence[Start], num_samples: int, sampling: Sampling, among: tuple[int, int] | None = None
    ) -> list[list[SampledCompletion]]:
        """See `PolicySampler`."""
        return sample(
            self._policy,
            [start.prompt for start in starts_P],
            num_samples=num_samples,
            sampling=sampling,
            generator=torch.Generator(device=self._policy.device).manual_seed(sampling.seed),
            forced=[[start.given] * num_samples for start in starts_P] if any(one.given for one in starts_P) else None,
            among=among,
        )

    def weights_moved(self) -> None:
        """Nothing to do: there is one copy of the weights."""

    def close(self) -> None:
        """Nothing to do."""
