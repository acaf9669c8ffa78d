"""What goes wrong in RL without an error: told when it begins, with what it means and what to do.

Each alarm is a function of the last rows of metrics, so that a run that goes on sounds the same ones. While one sounds,
its name is in the metrics (`rl/alarms/no_signal`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from srpo.core.records import Record
from srpo.core.statistics import mean

AlarmName = Literal["no_signal", "no_format", "harm"]
_CHANCE = 2.0
"""Standard errors by which right→wrong must pass wrong→right."""


class AlarmConfig(Record):
    """When a run is told to be in trouble, and when it stops for it."""

    window: int = Field(default=20, ge=1)
    """Steps in a row over which an alarm looks; the first can sound after so many."""
    stop: tuple[AlarmName, ...] = ()
    """Alarms that stop the run, its state saved. `no_signal`: no group had anything to learn from; `no_format`: no
    response had the format; `harm`: reflection turns more right answers wrong than wrong ones right."""


class Alarm(NamedTuple):
    """Something to tell."""

    name: AlarmName
    text: str
    """What it means, and what to do."""


def find_alarms(rows: Sequence[Mapping[str, float]], responses_per_step: int) -> list[Alarm]:
    """The alarms that sound after the last of these rows, which are one window of steps."""
    found = [_no_signal(rows), _no_format(rows), _harm(rows, responses_per_step)]
    return [alarm for alarm in found if alarm is not None]


def _no_signal(rows: Sequence[Mapping[str, float]]) -> Alarm | None:
    if any(row.get("rl/groups/kept", 1.0) or row.get("rl/roll_ins/groups", 0.0) for row in rows):
        return None
    final = _mean(rows, "rl/final_accuracy")
    why = "their rewards were alike, or the online filter left them out"
    if not any(row.get("rl/format_rate", 1.0) for row in rows):
        remedy = "no response has the format, so no final answer counts; mend that first"
    elif final < 0.1:
        remedy = "the problems are too hard for this model: easier ones, more `srpo sft`, or a larger group_size"
    elif final > 0.9:
        remedy = "the problems are solved: harder ones, or the run is done"
    else:
        remedy = "`srpo data check` finds golds that no response can reach; a larger group_size or a higher temperature"
    return Alarm(
        "no_signal",
        f"no group had a signal for {len(rows)} steps ({why}), so nothing is learned while final accuracy is "
        f"{final:.1%}. What helps: {remedy}",
    )


def _no_format(rows: Sequence[Mapping[str, float]]) -> Alarm | None:
    if any(row.get("rl/format_rate", 1.0) for row in rows):
        return None
    cut = _mean(rows, "rl/truncated")
    remedy = (
        f"{cut:.0%} of the responses are cut at max_tokens; raise it"
        if cut > 0.5
        else "start from a model that `srpo sft` taught the format, with the same prompt and style; if this one had "
        "it before, lower optim.lr"
    )
    return Alarm(
        "no_format",
        f"no response of {len(rows)} steps had the format, so only its absence is rewarded. What helps: {remedy}",
    )


def _harm(rows: Sequence[Mapping[str, float]], responses_per_step: int) -> Alarm | None:
    lost, gained = (_mean(rows, f"rl/outcome/{key}") for key in ("r2w", "w2r"))
    num = responses_per_step * len(rows)
    # Of the responses that changed, as many should go either way: a sign test.
    if (lost - gained) * num <= _CHANCE * math.sqrt((lost + gained) * num):
        return None
    turned = f"{lost:.1%} of all answers from right to wrong and {gained:.1%} from wrong to right"
    formed = _mean(rows, "rl/format_rate") if any("rl/format_rate" in row for row in rows) else 1.0
    if formed < 0.5:
        # First answers can be read where the rest is missing: nobody's reflection did this.
        return Alarm(
            "harm",
            f"over {len(rows)} steps, what followed turned {turned}, but only {formed:.0%} of the responses have the "
            "format, and the others no final answer. What helps: the format first: more `srpo sft`, a lower optim.lr",
        )
    return Alarm(
        "harm",
        f"reflection does harm: over {len(rows)} steps it turned {turned}. What helps: `keep_best: "
        "rl/eval/final_accuracy` keeps a model from before; credit: segment pays reflection for what it changes; "
        "roll_ins give it wrong attempts; a lower optim.lr",
    )


def _mean(rows: Sequence[Mapping[str, float]], name: str) -> float:
    values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
    return mean(values) if values else 0.0
