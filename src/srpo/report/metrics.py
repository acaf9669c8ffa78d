"""Curves as panels: which metrics stand together, and how a noisy line is made readable without hiding the noise."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from srpo.core.statistics import mean
from srpo.report.model import Curve, ReportData
from srpo.report.palette import OUTCOME_MARKS

MAX_POINTS: Final = 400
"""Longer curves are drawn as means of equal blocks of steps."""

STAGE_WORDS: Final[dict[str, str]] = {
    "reflect": "Reflection data",
    "sft": "Supervised fine-tuning",
    "rl": "Reinforcement learning",
    "eval": "Held-out evaluation during RL",
}
_NOT_METRICS: Final = frozenset({"step", "time_s"})


_LEARNING: Final = {
    "rl/looks_again/first_wrong": "looks again after a wrong first answer",
    "rl/looks_again/first_right": "looks again after a right one",
    "rl/outcome/w2r": "wrong→right",
    "rl/outcome/r2w": "right→wrong",
}
_WORDS: Final[dict[str, str]] = {
    "first_accuracy": "share of first answers that are right",
    "final_accuracy": "share of final answers that are right",
    "format_rate": "share of responses in the right format",
    "looks_again/first_right": "share of reflections on right first answers that state more than a verdict",
    "looks_again/first_wrong": "share of reflections on wrong first answers that state more than a verdict",
    "truncated": "share of responses that were cut off",
    "reward/mean": "mean reward, all terms weighted",
    "reward/std": "spread of the reward over responses",
    "format/mean": "the blocks parse",
    "accuracy/mean": "the answer that this reward pays for is right",
    "effect/mean": "what the second attempt made of the first",
    "reflection/mean": "there is a reflection that says something",
    "length/mean": "how close the length comes to the target",
} | {f"outcome/{mark.slug}": f"{name}: {mark.word}" for name, mark in OUTCOME_MARKS.items()}


class Panel(NamedTuple):
    """One metric, one line for each run that logged it."""

    key: str
    words: str
    """What the metric means, where we know it."""
    is_share: bool
    """True for accuracies and reward terms, whose axis starts at 0."""
    curves: tuple[Curve, ...]


class PanelGroup(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool
    """True for the training internals beside accuracies or rewards: a reader opens them when they are wanted."""


def curves_of(run: str, rows: Iterable[Mapping[str, float]]) -> tuple[Curve, ...]:
    """Turn the rows of a `metrics.jsonl` into one curve per metric; values that are not finite are left out."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for key, value in row.items():
            if key not in _NOT_METRICS and isinstance(value, int | float) and abs(value) < float("inf"):
                points.setdefault(key, []).append((int(row["step"]), float(value)))
    return tuple(
        Curve(run=run, key=key, steps=tuple(step for step, _ in pairs), values=tuple(value for _, value in pairs))
        for key, pairs in points.items()
    )


def panel_groups(data: ReportData) -> tuple[PanelGroup, ...]:
    """Group all curves by stage, and within a stage into accuracy, reward terms and the rest."""
    by_key: dict[str, list[Curve]] = {}
    for curve in data.curves:
        by_key.setdefault(curve.key, []).append(curve)
    grouped: dict[tuple[str, int], list[Panel]] = {}
    for key, curves in by_key.items():
        topic = _topic_of(key, data.term_names)
        panel = Panel(
            key, _WORDS.get(key.removeprefix("rl/eval/").removeprefix("rl/"), ""), topic != _REST, tuple(curves)
        )
        grouped.setdefault((_stage_of(key), topic), []).append(panel)
    stages = list(dict.fromkeys(_stage_of(key) for key in by_key))
    order = sorted(grouped, key=lambda group: (_stage_rank(group[0], stages), group[1]))
    return tuple(
        PanelGroup(
            f"{STAGE_WORDS.get(stage, stage)}: {_TOPICS[topic]}",
            tuple(grouped[stage, topic]),
            folded=topic == _REST and any((stage, other) in grouped for other in (_ACCURACY, _TERMS)),
        )
        for stage, topic in order
    )


def learning_panel(curves: Sequence[Curve], run: str) -> Panel | None:
    """What one RL run did to its reflections and answers, as one panel of several metrics; None without reflections."""
    of_run = {curve.key: curve for curve in curves if curve.run == run}
    found = tuple(of_run[key].model_copy(update={"run": name}) for key, name in _LEARNING.items() if key in of_run)
    words = (
        "Shares over the steps of the training: of the reflections that say more than a verdict, and of all responses."
    )
    return (
        Panel("When it looks, and what that does", words, True, found)
        if "rl/looks_again/first_wrong" in of_run
        else None
    )


def smooth(values: Sequence[float]) -> list[float]:
    """Centred moving average over about an eighth of the curve; at both ends, over the half of it that there is."""
    reach = len(values) // 16
    return [mean(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))]


def thin(curve: Curve) -> Curve:
    """The curve with at most `MAX_POINTS` points, each the mean of a block of steps and placed at the block's last."""
    if len(curve.steps) <= MAX_POINTS:
        return curve
    size = -(-len(curve.steps) // MAX_POINTS)
    starts = range(0, len(curve.steps), size)
    return curve.model_copy(
        update={
            "steps": tuple(curve.steps[start : start + size][-1] for start in starts),
            "values": tuple(mean(curve.values[start : start + size]) for start in starts),
        }
    )


def ends(curve: Curve) -> tuple[float, float]:
    """Mean of the first and of the last tenth of the curve (at least one step each)."""
    tenth = max(1, len(curve.values) // 10)
    return mean(curve.values[:tenth]), mean(curve.values[-tenth:])


_ACCURACY, _TERMS, _REST = range(3)
_TOPICS = ("accuracy and transitions", "reward terms", "training internals")
_ACCURACY_WORDS = ("accuracy", "correct", "right", "wrong", "outcome", "looks_again", "format_rate")


def _topic_of(key: str, term_names: Sequence[str]) -> int:
    parts = key.split("/")
    term = parts[1] if len(parts) > 2 else parts[-1]
    if (term in term_names and parts[-1] in ("mean", "std")) or term == "reward":
        return _TERMS
    return _ACCURACY if any(word in key for word in _ACCURACY_WORDS) else _REST


def _stage_of(key: str) -> str:
    if key.startswith("rl/eval/"):
        return "eval"
    return key.partition("/")[0] if "/" in key else "other"


def _stage_rank(stage: str, seen: Sequence[str]) -> tuple[int, int]:
    known = ("rl", "eval", "sft", "reflect")
    return (known.index(stage) if stage in known else len(known), seen.index(stage))
