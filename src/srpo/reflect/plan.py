"""`srpo reflect --dry-run`: what a run would do and cost, with nothing sent and nothing written."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from srpo.config.reflect import ReflectConfig
from srpo.config.server import ServerConfig
from srpo.core.budget import Calls, Estimate, Price, from_tokens
from srpo.core.prompts import CAPTION, JUDGE, teacher_prompt, teacher_text, user_text
from srpo.core.records import Problem, Record
from srpo.eval.opened import price_of
from srpo.models.protocol import Message, Request
from srpo.models.remote_request import RequestBuilder, count_tokens
from srpo.models.structured import ATTEMPT_BLOCKS
from srpo.reflect.survey import sample_problems, survey
from srpo.reflect.teacher import teacher_blocks

_SAMPLE = 50
"""Problems, from everywhere in the data, whose prompts are measured."""


class Share(Record):
    """What one served model would be asked."""

    role: str
    """`policy`, `captions`, `teacher` or `judge`."""
    model: str
    requests: int
    tokens_in: int
    tokens_out: int
    """If every text is as long as it may be."""
    usd: float | None
    """None where the price is not known."""


class Plan(Record):
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
    estimate: Estimate | None
    """None when no server would be asked."""


def make_plan(config: ReflectConfig) -> Plan:
    """Read the problems and count.

    Raises:
        ValueError: the source cannot be read, or holds no usable problem.
    """
    with tempfile.TemporaryDirectory(prefix="srpo-plan-") as folder:
        found = survey(config, Path(folder))
        problems = sample_problems(Path(folder), found.num_problems, _SAMPLE)
    loads = list(_loads(config, problems))
    prices = [price_of(load.server, needed=False) for load in loads]
    first = problems[0]
    return Plan(
        num_rows=found.num_rows,
        num_problems=found.num_problems,
        prompt=user_text(first, config.prompt),
        teacher_prompt=teacher_text(first, first_is_correct=False, form=config.form),
        shares=tuple(share_of(load, price, found.num_problems) for load, price in zip(loads, prices, strict=True)),
        estimate=estimate_of(loads, prices, found.num_problems) if loads else None,
    )


def render(plan: Plan) -> str:
    """The plan as text."""
    lines = [f"problems: {plan.num_problems} (of {plan.num_rows} rows read)", "", "first prompt:"]
    lines += [f"  {line}" for line in plan.prompt.splitlines()]
    lines += ["", "then, about a wrong attempt, the teacher's:"]
    lines += [f"  {line}" for line in plan.teacher_prompt.splitlines()]
    return "\n".join([*lines, "", *cost_lines(plan.shares, plan.estimate)])


def cost_lines(shares: Sequence[Share], estimate: Estimate | None) -> list[str]:
    """What servers would be asked, and what that costs."""
    if estimate is None:
        return ["no server is asked, so it costs nothing"]
    lines = ["at most, with one reply for each attempt and every text as long as it may be:"]
    for one in shares:
        usd = "price not known" if one.usd is None else f"${one.usd:,.2f}"
        lines.append(
            f"  {one.role} {one.model}: {one.requests:,} requests, {one.tokens_in:,} tokens in, "
            f"{one.tokens_out:,} out, {usd}"
        )
    lines.append(f"  in all ${estimate.usd:,.2f}; retries come on top, a pilot will tell what is usual")
    return [*lines, "", "nothing was sent"]


class Load(NamedTuple):
    """What one model is asked about one problem, on average."""

    role: str
    server: ServerConfig
    requests: float
    """Requests about a problem."""
    num_in: float
    """Prompt tokens of each."""
    num_out: float
    """Most generated tokens of each."""


def _loads(config: ReflectConfig, problems: Sequence[Problem]) -> Iterator[Load]:
    attempt, reply = config.max_tokens, config.teacher.max_tokens
    if isinstance(config.model, ServerConfig):
        num_in = prompt_tokens(config.model, ATTEMPT_BLOCKS, problems, lambda one: user_text(one, config.prompt))
        # One request for all samples, where the server can do that; else the prompt is paid for each.
        parts = 1 if config.model.n else config.num_samples
        yield Load("policy", config.model, parts, num_in, attempt * config.num_samples / parts)
        if config.captions == "policy":
            blind = fmean(bool(one.images) and not one.caption for one in problems)
            num_in = prompt_tokens(config.model, (), problems, lambda _: CAPTION.template)
            yield Load("captions", config.model, blind, num_in, config.caption_tokens)
    teacher = config.model if config.teacher.model == "policy" else config.teacher.model
    if isinstance(teacher, ServerConfig):
        more = attempt + count_tokens(teacher_prompt(False, config.form).template)
        more += config.caption_tokens if not teacher.sends_images else 0
        num_in = prompt_tokens(teacher, teacher_blocks(config.form), problems, lambda one: one.question) + more
        yield Load("teacher", teacher, config.num_samples, num_in, reply)
    judge = config.judge and (config.model if config.judge.model == "policy" else config.judge.model)
    if isinstance(judge, ServerConfig) and config.judge is not None:
        more = attempt + reply + count_tokens(JUDGE.template)
        num_in = prompt_tokens(judge, (), problems, lambda one: one.question) + more
        yield Load("judge", judge, config.num_samples, num_in, config.judge.max_tokens)


def prompt_tokens(
    server: ServerConfig, blocks: Sequence[str], problems: Sequence[Problem], text: Callable[[Problem], str]
) -> float:
    """Mean length of the server's prompts, pictures included; problems that the server cannot take are left out."""
    builder = RequestBuilder(server, blocks)
    lengths = []
    for problem in problems:
        request = Request(problem=problem, messages=(Message(role="user", text=text(problem)),))
        if builder.refusal(request) is None:
            try:
                pictures = builder.pictures(request)
            except ValueError:
                continue
            lengths.append(builder.num_prompt_tokens(request, pictures))
    return fmean(lengths) if lengths else 0.0


def share_of(load: Load, price: Price | None, num_problems: int) -> Share:
    """One model's part in all of it."""
    call = _calls(load, price, num_problems)
    return Share(
        role=load.role,
        model=load.server.model,
        requests=math.ceil(load.requests * num_problems),
        tokens_in=call.num_in,
        tokens_out=call.num_out,
        usd=None if price is None else from_tokens([call], num_problems=num_problems).usd,
    )


def estimate_of(loads: Sequence[Load], prices: Sequence[Price | None], num_problems: int) -> Estimate:
    """What all models cost together; one without a price counts as nothing."""
    calls = [_calls(load, price, num_problems) for load, price in zip(loads, prices, strict=True)]
    return from_tokens(calls, num_problems=num_problems)


def _calls(load: Load, price: Price | None, num_problems: int) -> Calls:
    num_requests = load.requests * num_problems
    return Calls(
        price=price or Price(usd_per_million_in=0, usd_per_million_out=0),
        num_in=math.ceil(num_requests * load.num_in),
        num_out=math.ceil(num_requests * load.num_out),
    )
