"""What servers would be asked and what that costs, counted before anything is sent."""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from srpo.core.budget import Calls, CostEstimate, Price, from_tokens
from srpo.core.records import Problem, Record
from srpo.models.config import ServerConfig
from srpo.models.pool import price_of
from srpo.models.protocol import Message, Request
from srpo.models.remote_request import RequestBuilder


class Share(Record):
    """What one served model would be asked."""

    role: str
    """What for: `policy`, `teacher`, `judge of answers`, ..."""
    model: str
    requests: int
    tokens_in: int
    tokens_out: int
    """If every text is as long as it may be."""
    usd: float | None
    """None where the price is not known."""


def cost_lines(shares: Sequence[Share], estimate: CostEstimate | None) -> list[str]:
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


def prompt_tokens(
    server: ServerConfig, blocks: Sequence[str], problems: Sequence[Problem], text: Callable[[Problem], str]
) -> float:
    """Mean length of the server's prompts, pictures included; problems that the server cannot take are left out."""
    builder = RequestBuilder(server, blocks)
    lengths = []
    for problem in problems:
        request = Request(problem=problem, messages=(Message(role="user", text=text(problem)),))
        info = builder.inspect(request)
        if info.reason is None:
            lengths.append(info.num_tokens)
    return fmean(lengths) if lengths else 0.0


def sampling_load(role: str, server: ServerConfig, num_samples: int, *, num_in: float, max_tokens: int) -> Load:
    """What it takes to sample `num_samples` texts for each problem."""
    # One request for all samples, where the server can do that; else the prompt is paid for each.
    requests = 1 if server.n else num_samples
    return Load(role, server, requests, num_in, max_tokens * num_samples / requests)


class Forecast(NamedTuple):
    """What servers would be asked, and what it comes to."""

    shares: tuple[Share, ...]
    """Empty when all models are on this machine."""
    estimate: CostEstimate | None
    """None when no server would be asked."""


def forecast(loads: Iterable[Load], num_problems: int) -> Forecast:
    """The parts of all models; one without a price counts as nothing."""
    shares, calls = [], []
    for load in loads:
        price = price_of(load.server, needed=False)
        call = _calls(load, price, num_problems)
        share = Share(
            role=load.role,
            model=load.server.model,
            requests=math.ceil(load.requests * num_problems),
            tokens_in=call.num_in,
            tokens_out=call.num_out,
            usd=None if price is None else from_tokens([call], num_problems=num_problems).usd,
        )
        shares.append(share)
        calls.append(call)
    return Forecast(tuple(shares), from_tokens(calls, num_problems=num_problems) if calls else None)


def _calls(load: Load, price: Price | None, num_problems: int) -> Calls:
    num_requests = load.requests * num_problems
    return Calls(
        price=price or Price(usd_per_million_in=0, usd_per_million_out=0),
        num_in=math.ceil(num_requests * load.num_in),
        num_out=math.ceil(num_requests * load.num_out),
    )
