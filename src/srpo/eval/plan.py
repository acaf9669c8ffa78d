"""`srpo eval --dry_run`: what an evaluation would ask and cost, with nothing sent and nothing written."""

from collections import Counter
from collections.abc import Iterator

from srpo.core.budget import CostEstimate
from srpo.core.records import Problem, Record
from srpo.data.usable import check_usable, spread
from srpo.eval.config import EvalConfig
from srpo.eval.dataset import Dataset, load_dataset
from srpo.eval.rubrics import RULING_PROMPT
from srpo.models.config import ServerConfig
from srpo.models.estimate import Load, Share, cost_lines, forecast, prompt_tokens, sampling_load
from srpo.models.remote_request import count_tokens
from srpo.policy.prompts import read_prompt

_SAMPLE = 50
"""Problems, from everywhere in the data, whose prompts are measured."""
_SHOWN = 10
"""Reasons of unusable rows that are listed."""


class EvalPlan(Record):
    """What a dry run finds out."""

    num_rows: int
    """Rows of the source, as far as `limit` needs them."""
    num_problems: int
    """Those that would be asked."""
    unusable: dict[str, int]
    """Why the others would not, and how many."""
    prompt: str
    """The first prompt; pictures stand before it."""
    num_pictures: int
    """Pictures of the first problem."""
    shares: tuple[Share, ...]
    """What servers would be asked; empty when all models are on this machine."""
    estimate: CostEstimate | None
    """None when no server would be asked."""


def plan_eval(config: EvalConfig) -> EvalPlan:
    """Read the problems and count.

    Raises:
        ValueError: the source cannot be read, or holds no usable problem.
    """
    dataset = load_dataset(config)
    problems = dataset.problems
    check_usable(problems, dataset.label)
    total = len(problems.problems)
    found = forecast(_loads(config, dataset, spread(problems.problems, _SAMPLE)), total)
    return EvalPlan(
        num_rows=total + len(problems.rejected),
        num_problems=total,
        unusable=dict(Counter(row.reason for row in problems.rejected).most_common()),
        prompt=_prompt(config, dataset, problems.problems[0]),
        num_pictures=len(problems.problems[0].images),
        shares=found.shares,
        estimate=found.estimate,
    )


def render_eval_plan(plan: EvalPlan) -> str:
    """The plan as text."""
    lines = [f"problems: {plan.num_problems} (of {plan.num_rows} rows read)"]
    lines += [f"  not usable: {number} x {reason}" for reason, number in list(plan.unusable.items())[:_SHOWN]]
    lines += ["", f"first prompt, after {plan.num_pictures} picture{'' if plan.num_pictures == 1 else 's'}:"]
    lines += [f"  {line}" for line in plan.prompt.splitlines()]
    return "\n".join([*lines, "", *cost_lines(plan.shares, plan.estimate)])


def _prompt(config: EvalConfig, dataset: Dataset, problem: Problem) -> str:
    prompt = read_prompt(config.prompt, config.system, config.checkpoint)
    return "\n\n".join(text for _, text in prompt.turns(dataset.question(problem)))


def _loads(config: EvalConfig, dataset: Dataset, problems: list[Problem]) -> Iterator[Load]:
    if isinstance(config.model, ServerConfig):
        num_in = prompt_tokens(config.model, (), problems, lambda one: _prompt(config, dataset, one))
        load = sampling_load("model", config.model, config.num_samples, num_in=num_in, max_tokens=config.max_tokens)
        yield load if config.probe is None else load._replace(requests=2 * load.requests)
    judge = config.judge
    if judge is None or not isinstance(judge.model, ServerConfig):
        return
    if judge.answers:
        # At most every answer of every response, first and final.
        blind = [problem.model_copy(update={"images": ()}) for problem in problems]
        num_in = prompt_tokens(judge.model, (), blind, lambda one: one.question) + count_tokens(RULING_PROMPT.template)
        answers = config.num_samples if config.style == "single" else 2 * config.num_samples
        yield Load("judge of answers", judge.model, answers, num_in, judge.max_tokens)
    if judge.reflections and config.style != "single":
        num_in = prompt_tokens(judge.model, (), problems, lambda one: one.question) + config.max_tokens
        yield Load("judge of reflections", judge.model, config.num_samples, num_in, judge.max_tokens)
