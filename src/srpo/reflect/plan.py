"""`srpo reflect --dry_run`: what a run would do and cost, with nothing sent and nothing written."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from srpo.core.budget import CostEstimate
from srpo.core.prompts import CAPTION, JUDGE, teacher_prompt, teacher_text, user_text
from srpo.core.records import Problem, Record
from srpo.models.config import ServerConfig
from srpo.models.estimate import Load, Share, cost_lines, forecast, prompt_tokens, sampling_load
from srpo.models.remote_request import count_tokens
from srpo.models.structured import ATTEMPT_BLOCKS
from srpo.reflect.config import ReflectConfig
from srpo.reflect.prepare import prepare, sample_problems
from srpo.reflect.teacher import teacher_blocks

_SAMPLE = 50
"""Problems, from everywhere in the data, whose prompts are measured."""


class ReflectPlan(Record):
    """What a dry run finds out."""

    num_rows: int
    """Rows of the source, as far as `limit` needs them."""
    num_problems: int
    """Those that would be worked on."""
    prompt: str
    """The first prompt for the policy; pictures stand before it."""
    teacher_prompt: str
    """What the teacher would read after problem and attempt, if the attempt were wrong."""
    shares: tuple[Share, ...]
    """Empty when all models are on this machine."""
    estimate: CostEstimate | None
    """None when no server would be asked."""


def plan_reflect(config: ReflectConfig) -> ReflectPlan:
    """Read the problems and count.

    Raises:
        ValueError: the source cannot be read, or holds no usable problem.
    """
    with tempfile.TemporaryDirectory(prefix="srpo-plan-") as folder:
        found = prepare(config, Path(folder))
        problems = sample_problems(Path(folder), found.num_problems, _SAMPLE)
    costs = forecast(_loads(config, problems), found.num_problems)
    first = problems[0]
    return ReflectPlan(
        num_rows=found.num_rows,
        num_problems=found.num_problems,
        prompt=user_text(first, config.prompt),
        teacher_prompt=teacher_text(first, first_is_correct=False, form=config.form),
        shares=costs.shares,
        estimate=costs.estimate,
    )


def render_reflect_plan(plan: ReflectPlan) -> str:
    """The plan as text."""
    lines = [f"problems: {plan.num_problems} (of {plan.num_rows} rows read)", "", "first prompt:"]
    lines += [f"  {line}" for line in plan.prompt.splitlines()]
    lines += ["", "then, about a wrong attempt, the teacher's:"]
    lines += [f"  {line}" for line in plan.teacher_prompt.splitlines()]
    return "\n".join([*lines, "", *cost_lines(plan.shares, plan.estimate)])


def _loads(config: ReflectConfig, problems: Sequence[Problem]) -> Iterator[Load]:
    attempt, reply, num_samples = config.max_tokens, config.teacher.max_tokens, config.num_samples
    if isinstance(config.model, ServerConfig):
        num_in = prompt_tokens(config.model, ATTEMPT_BLOCKS, problems, lambda one: user_text(one, config.prompt))
        yield sampling_load("policy", config.model, num_samples, num_in=num_in, max_tokens=attempt)
        if config.captions == "policy":
            blind = fmean(bool(one.images) and not one.caption for one in problems)
            num_in = prompt_tokens(config.model, (), problems, lambda _: CAPTION.template)
            yield Load("captions", config.model, blind, num_in, config.caption_tokens)
    teacher = config.model if config.teacher.model == "policy" else config.teacher.model
    if isinstance(teacher, ServerConfig):
        more = attempt + count_tokens(teacher_prompt(False, config.form).template)
        more += config.caption_tokens if not teacher.sends_images else 0
        num_in = prompt_tokens(teacher, teacher_blocks(config.form), problems, lambda one: one.question) + more
        yield Load("teacher", teacher, num_samples, num_in, reply)
    judge = config.judge and (config.model if config.judge.model == "policy" else config.judge.model)
    if isinstance(judge, ServerConfig) and config.judge is not None:
        more = attempt + reply + count_tokens(JUDGE.template)
        num_in = prompt_tokens(judge, (), problems, lambda one: one.question) + more
        yield Load("judge", judge, num_samples, num_in, config.judge.max_tokens)
