"""What the loop of RL works with, and how far it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.records import Origin, Sampling
from srpo.policy.optim import Optimizer
from srpo.policy.prompts import PromptEncoder
from srpo.policy.team import ALONE, Team
from srpo.policy.trained import save_trained
from srpo.rl.config import RlConfig
from srpo.rl.metrics import PhaseTimer
from srpo.rl.problems import ProblemStream, RlProblems
from srpo.rl.reward import RewardFunction
from srpo.rl.roll_ins import AttemptBuffer
from srpo.rl.rollout import sampling_seed
from srpo.rl.sampler import PolicySampler

if TYPE_CHECKING:
    from srpo.grading import Grader
    from srpo.policy.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RlTrainer:
    """Everything that a step works with."""

    config: RlConfig
    policy: "Policy"
    reference: "Policy | None"
    """The frozen start model, where KL is paid for."""
    sampler: PolicySampler
    """Where responses come from: the policy itself, or a server that follows it."""
    optimizer: Optimizer
    encoder: PromptEncoder
    grader: "Grader"
    reward: RewardFunction
    """`core.rewards.reward` with the preset and weights of the config, or a function of the user's own."""
    problems: RlProblems
    stream: ProblemStream
    """Deals out the problems to train on. Beside policy and optimizer a step moves this on, and `earlier`."""
    earlier: AttemptBuffer
    """Wrong first attempts of earlier steps, for roll-ins."""
    origin: Origin
    """Where the traces come from, apart from the step."""
    timer: PhaseTimer
    team: Team = ALONE
    """The processes that train together."""

    def sampling(self, *place: object) -> Sampling:
        """Settings of the sampling call that happens at `place` in the run."""
        seed = sampling_seed(self.config.seed, *place)
        return Sampling(temperature=self.config.temperature, max_tokens=self.config.max_tokens, seed=seed)

    def save(self, path: Path) -> None:
        """Write what a resumed run loads."""
        save_trained(self.policy, path)
        self.optimizer.save(path)
        self.earlier.save(path)


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    tokens: int
    """Generated tokens, dropped groups included, evaluation left out."""

    def is_over(self, config: RlConfig) -> bool:
        """Whether steps or tokens are used up."""
        steps_left = config.steps is None or self.step < config.steps
        tokens_left = config.token_budget is None or self.tokens < config.token_budget
        return not (steps_left and tokens_left)

    def share(self, config: RlConfig) -> float:
        """How much of the run is over, between 0 and 1: of its steps or its tokens, whichever end sooner."""
        by_steps = self.step / config.steps if config.steps else 0.0
        by_tokens = self.tokens / config.token_budget if config.token_budget else 0.0
        return max(by_steps, by_tokens)
