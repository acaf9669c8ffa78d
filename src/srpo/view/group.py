"""The recorded responses to one problem, side by side, and which tokens got which credit as far as traces say it."""

from typing import NamedTuple

import numpy as np

from srpo.core.advantages import assign_credit
from srpo.core.records import Trace
from srpo.view.index import Followed, Index


class CreditedTokens(NamedTuple):
    """A stretch of tokens with one advantage."""

    what: str
    """`whole response`, `first attempt` or `reflection and second attempt`."""
    num_tokens: int
    advantage: float | None
    """None where the trace does not say it."""


class Member(NamedTuple):
    """One response of a group."""

    row: int
    trace: Trace
    shares: tuple[CreditedTokens, ...]
    """Empty outside RL."""


class Group(NamedTuple):
    """Responses to one problem by one run in one step."""

    run: Followed
    members: tuple[Member, ...]
    note: str
    """What has to be known to read the credit; empty when there is nothing."""


def group_of(index: Index, row: int) -> Group:
    """The group of a row: all recorded samples of its problem in its run and step, in their order."""
    columns = index.frozen
    same = np.ones(len(columns["run"]), dtype=np.bool_)
    for name in ("run", "problem", "step"):
        same &= columns[name] == columns[name][row]
    rows = [int(one) for one in np.flatnonzero(same)]
    rows.sort(key=lambda one: (int(columns["sample"][one]), one))
    run = index.runs[int(columns["run"][row])]
    traces = [index.trace(one) for one in rows]
    whole = len(traces) == run.group_size
    shares = [_shares(run, trace) for trace in traces]
    if run.credit == "segment" and whole:
        shares = _segment_shares(run, traces) or shares
    return Group(run, tuple(map(Member, rows, traces, shares)), _note(run, len(traces)))


def _shares(run: Followed, trace: Trace) -> tuple[CreditedTokens, ...]:
    tokens = trace.tokens
    if tokens is None or not run.credit:
        return ()
    if run.credit == "segment" and tokens.first:
        rest = CreditedTokens("reflection and second attempt", tokens.total - tokens.first, trace.advantage)
        return CreditedTokens("first attempt", tokens.first, None), rest
    return (CreditedTokens("whole response", tokens.total, trace.advantage),)


def _segment_shares(run: Followed, traces: list[Trace]) -> list[tuple[CreditedTokens, ...]]:
    """From the rewards of a group of which everything was recorded; empty when something was not."""
    rewards = [trace.reward for trace in traces if trace.reward is not None]
    lengths = [trace.tokens for trace in traces if trace.tokens is not None]
    if not len(rewards) == len(lengths) == len(traces):
        return []
    found: list[tuple[CreditedTokens, ...]] = []
    for length, credit in zip(lengths, assign_credit(rewards, lengths, "segment", scale=run.scale), strict=True):
        rest = CreditedTokens("reflection and second attempt", length.total - length.first, credit.advantage)
        first = CreditedTokens("first attempt", length.first, credit.tokens[0] if credit.tokens else None)
        found.append((first, rest) if length.first else (rest._replace(what="whole response"),))
    return found


def _note(run: Followed, num: int) -> str:
    if not run.credit:
        return ""
    if num < run.group_size:
        told = f"{num} of the group's {run.group_size} responses were recorded (traces_per_step)"
        return f"{told}; the credit of first attempts needs all of them." if run.credit == "segment" else f"{told}."
    return ""
