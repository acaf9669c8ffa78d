"""What runs took: time, in parts where they measured it, generated tokens, and money for served models."""

from collections.abc import Sequence

from pydantic import Field

from srpo.core.records import Record
from srpo.runs.reader import RunReader


class Spent(Record):
    """What one run took so far."""

    run: str
    """Label of the run."""
    seconds: float | None = None
    """Of work, over all processes; None where the run does not say."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Seconds by phase of the work, where they were measured."""
    tokens: int | None = None
    """Generated or learned from."""
    requests: int | None = None
    """Answers of servers that were paid for; None without a server."""
    usd: float | None = None
    """Their price; None without a server, or where no price is known."""
    is_finished: bool = True


def spent_of(label: str, run: RunReader) -> Spent:
    """What a run took, from its state and summary."""
    summary = run.summary() or {}
    parts, spends = summary.get("seconds_by_part"), summary.get("spend")
    tokens = summary.get("tokens")
    served = [one for one in spends if isinstance(one, dict)] if isinstance(spends, list) else []
    usd = sum(one.get("usd") or 0.0 for one in served)
    try:
        state = run.state()
    except (OSError, ValueError):
        state = None
    return Spent(
        run=label,
        seconds=state.time_s if state else None,
        parts={str(name): float(value) for name, value in parts.items() if value} if isinstance(parts, dict) else {},
        tokens=tokens if isinstance(tokens, int) else _evaluated_tokens(summary),
        requests=sum(one.get("requests") or 0 for one in served) if served else None,
        usd=usd or None,
        is_finished=state is not None and state.finished,
    )


def _evaluated_tokens(summary: dict[str, object]) -> int | None:
    """Tokens of an evaluation's one stage."""
    stages = summary.get("stages")
    found = [one.get("tokens") for one in stages if isinstance(one, dict)] if isinstance(stages, list) else []
    return found[0] if len(found) == 1 and isinstance(found[0], int) else None


def together(rows: Sequence[Spent]) -> Spent:
    """The sum of what is known."""

    def total(values: list[float]) -> float | None:
        return sum(values) if values else None

    tokens = [row.tokens for row in rows if row.tokens is not None]
    requests = [row.requests for row in rows if row.requests is not None]
    return Spent(
        run="together",
        seconds=total([row.seconds for row in rows if row.seconds is not None]),
        tokens=sum(tokens) if tokens else None,
        requests=sum(requests) if requests else None,
        usd=total([row.usd for row in rows if row.usd is not None]),
        is_finished=all(row.is_finished for row in rows),
    )
