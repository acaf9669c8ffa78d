"""`srpo sft` as far as its memory goes: one pass of loss and backward over the longest targets that are allowed."""

from srpo.core.prompts import problem_text
from srpo.core.records import Problem
from srpo.policy.data_prompts import RunPrompts
from srpo.policy.fake import TEXT_TOKEN
from srpo.policy.measure import Learn
from srpo.policy.plan import Job
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.prompts import PromptEncoder
from srpo.runs.reader import load_traces
from srpo.sft.config import SftConfig
from srpo.sft.examples import Example, prompt_of
from srpo.sft.train import accumulate_sft_gradients


def sft_job(config: SftConfig) -> Job:
    """The stage for `policy.plan.plan_memory`."""
    return Job(stage="sft", config=config, learn=_learn, asked=_asked)


def _asked(config: SftConfig) -> RunPrompts:
    prompt = prompt_of(config)
    traces = load_traces(*config.traces)
    problems = {(one.problem.question, one.problem.choices, one.problem.images): one.problem for one in traces}
    return RunPrompts(list(problems.values()), lambda problem: prompt.turns(problem_text(problem)))


def _learn(config: SftConfig) -> Learn:
    size = min(config.micro_batch_size or config.batch_size, config.batch_size)

    def run(policy: Policy, _: Policy | None, __: list[EncodedPrompt]) -> None:
        tokens = (*[TEXT_TOKEN] * (config.max_tokens - 1), policy.end_id)
        batch = [
            Example(
                problem=Problem(id=str(number), question=str(number), answer=""),
                tokens=tokens,
                first_tokens=len(tokens),
                skipped_tokens=0,
            )
            for number in range(size)
        ]
        encoder = PromptEncoder(policy, prompt_of(config), size=0, max_pixels=None)
        accumulate_sft_gradients(policy, encoder, batch, size)

    # Prompts and pictures are part of every pass.
    return Learn(lambda _: [], run, size, is_repeated=size < config.batch_size)
