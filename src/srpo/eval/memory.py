"""`srpo eval` as far as its memory goes: the sampler alone, where the model is on this machine."""

from srpo.core.records import Sampling
from srpo.eval.config import EvalConfig
from srpo.eval.dataset import load_dataset
from srpo.policy.data_prompts import RunPrompts
from srpo.policy.plan import Job
from srpo.policy.prompts import read_prompt


def eval_job(config: EvalConfig) -> Job:
    """The stage for `policy.plan.plan_memory`."""
    return Job(stage="eval", config=config, sampled=_sampled, asked=_asked)


def _asked(config: EvalConfig) -> RunPrompts:
    prompt = read_prompt(config.prompt, config.system, config.checkpoint)
    dataset = load_dataset(config)
    return RunPrompts(dataset.problems.problems, lambda problem: prompt.turns(dataset.question(problem)))


def _sampled(config: EvalConfig) -> tuple[int, int, Sampling]:
    return config.batch_size, config.num_samples, config.sampling
