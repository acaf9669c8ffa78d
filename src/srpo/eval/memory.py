"""`srpo eval` as far as its memory goes: the sampler alone, where the model is on this machine."""

from srpo.core.records import Sampling
from srpo.eval.config import EvalConfig
from srpo.policy.plan import Job


def eval_job(config: EvalConfig) -> Job:
    """The stage for `policy.plan.plan_memory`."""
    return Job(stage="eval", config=config, sampled=_sampled)


def _sampled(config: EvalConfig) -> tuple[int, int, Sampling]:
    return config.batch_size, config.num_samples, config.sampling
