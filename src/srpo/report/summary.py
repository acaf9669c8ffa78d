"""What happened, in plain sentences made from the numbers, so that the first screen needs no knowledge of the method.

The sentences claim no more than the numbers hold: a difference whose interval holds 0 is said to be undecided.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from srpo.core.summary import StageSummary
from srpo.report.leaderboard import board
from srpo.report.metrics import ends
from srpo.report.model import Curve, Panels, ReportData, RunInfo, StageComparison
from srpo.report.signs import TrainingSigns
from srpo.report.text import compact, percent, signed


class Story(NamedTuple):
    """The words at the top of a report."""

    headline: str
    paragraph: str


def tell(data: ReportData) -> Story:
    """Tell what happened from base model to held-out evaluation, with every number from `data`."""
    stages = data.stages
    base, sft = _find(stages, "base"), _find(stages, "sft")
    srpo, grpo = _find(stages, "srpo"), _find(stages, "grpo")
    sentences = [
        _tell_base(base),
        _tell_reflections(data.runs),
        _tell_sft(sft),
        _tell_srpo(srpo, sft or base, data.comparisons),
        _tell_looking(data.curves),
        _tell_verdicts(data.panels),
        _tell_reliance(data.panels),
        *(_tell_signs(signs) for signs in data.panels.training_signs),
        _tell_grpo(grpo, srpo, data.comparisons),
        _tell_work(stages),
        "All accuracies are on held-out problems." if sft or srpo or grpo else None,
        f"This is one run with one seed ({data.seed})." if data.seed is not None and stages else None,
    ]
    return Story(_headline(data), " ".join(sentence for sentence in sentences if sentence))


def _headline(data: ReportData) -> str:
    if not data.stages:
        count = sum(run.num_traces for run in data.runs)
        return f"{count:,} responses and {max((run.num_steps for run in data.runs), default=0):,} training steps."
    srpo, start = _find(data.stages, "srpo"), _find(data.stages, "sft") or _find(data.stages, "base")
    if srpo is None or start is None:
        last = data.stages[-1]
        return f"{last.name}: {percent(last.final_accuracy)} of {last.n:,} problems answered right."
    before, after = percent(start.final_accuracy), percent(srpo.final_accuracy)
    numbers = f"{before} right after {start.name}, {after} after {srpo.name}"
    if not _is_decided(srpo, start, data.comparisons):
        return f"Final answers: {numbers}; a difference of this size may be chance."
    verb = "raised" if srpo.final_accuracy > start.final_accuracy else "lowered"
    return f"Reflection-aware reinforcement learning {verb} the accuracy of the final answer: {numbers}."


def _tell_base(base: StageSummary | None) -> str | None:
    if base is None:
        return None
    low, high = base.first_interval
    chance = f"; guessing blindly would get {percent(base.chance)}" if base.chance is not None else ""
    return (
        f"The base model answered {base.n:,} held-out problems about pictures and got {percent(base.first_accuracy)} "
        f"right at the first attempt (95% interval {percent(low)} to {percent(high)}){chance}."
    )


def _tell_reflections(runs: Sequence[RunInfo]) -> str | None:
    run = next((run for run in runs if "reflect" in run.label.lower() and run.num_traces), None)
    if run is None:
        return None
    wrong = run.counts.get("wrong→right", 0) + run.counts.get("wrong→wrong", 0)
    return (
        f"It then tried training problems, its attempts were graded, and a teacher wrote to each a reflection and a "
        f"second attempt: {run.num_traces:,} samples, {percent(wrong / run.num_traces)} of them from a wrong first "
        "attempt."
    )


def _tell_sft(sft: StageSummary | None) -> str | None:
    if sft is None:
        return None
    return (
        f"Supervised fine-tuning on such samples taught it to answer, reflect and answer again "
        f"({percent(sft.format_rate)} of its responses keep the format): {percent(sft.first_accuracy)} right at the "
        f"first attempt, {percent(sft.final_accuracy)} after the reflection."
    )


def _tell_srpo(srpo: StageSummary | None, start: StageSummary | None, known: Sequence[StageComparison]) -> str | None:
    if srpo is None:
        return None
    compared = ""
    if start is not None:
        gain = 100 * (srpo.final_accuracy - start.final_accuracy)
        compared = f", {signed(gain)} points against {start.name} ({_certainty(srpo, start, known)})"
    repaired, spoiled = srpo.transitions.get("wrong→right", 0.0), srpo.transitions.get("right→wrong", 0.0)
    return (
        f"Reinforcement learning that pays for good reflections brought the final answer to "
        f"{percent(srpo.final_accuracy)}{compared}; the second attempt repaired {percent(repaired)} of all answers "
        f"and spoiled {percent(spoiled)}."
    )


def _tell_looking(curves: Sequence[Curve]) -> str | None:
    found = {curve.key: ends(curve) for curve in curves if curve.key.startswith("rl/looks_again/")}
    if len(found) < 2:
        return None
    wrong, right = ([percent(share) for share in found[f"rl/looks_again/first_{one}"]] for one in ("wrong", "right"))
    return (
        "Over that training the share of reflections that look at the picture again went "
        f"from {wrong[0]} to {wrong[1]} after wrong first answers, and from {right[0]} to {right[1]} after right ones."
    )


def _tell_verdicts(panels: Panels) -> str | None:
    evaluated = {one.run for one in panels.evaluation_signs}
    found = next((one for one in reversed(panels.calibrations) if one.run in evaluated), None)
    if found is None or not found.noticed.whole or not found.doubted.whole:
        return None
    return (
        f"In {found.run}, reflections call {percent(found.noticed.value)} of the wrong first answers wrong, and "
        f"{percent(found.doubted.value)} of the right ones."
    )


def _tell_reliance(panels: Panels) -> str | None:
    return f"In {panels.probes[-1].run}: {panels.probes[-1].tell()}" if panels.probes else None


def _tell_signs(found: TrainingSigns) -> str | None:
    said = [f"{sign.words}: {sign.trend}" for sign in found.signs if sign.is_alarm]
    said += ["the reward rises and the accuracy of final answers does not"] if found.is_paid_for_nothing else []
    return f"{found.run} shows signs of a hacked reward ({'; '.join(said)})." if said else None


def _tell_grpo(grpo: StageSummary | None, srpo: StageSummary | None, known: Sequence[StageComparison]) -> str | None:
    if grpo is None:
        return None
    text = f"Beside it, plain GRPO without reflection reached {percent(grpo.final_accuracy)}"
    if srpo is None:
        return f"{text}."
    if grpo.tokens and srpo.tokens:
        text += f" with {compact(grpo.tokens)} tokens in all against {compact(srpo.tokens)}"
    gap = 100 * (srpo.final_accuracy - grpo.final_accuracy)
    side = "above" if gap >= 0 else "below"
    return f"{text}: {srpo.name} ends {abs(gap):.1f} points {side} it ({_certainty(srpo, grpo, known)})."


def _tell_work(stages: Sequence[StageSummary]) -> str | None:
    work = next((stage for stage in stages if stage.name == "base-work"), None)
    if work is None:
        return None
    trained = next((stage for stage in stages if stage.name == "grpo-work"), None)
    after = f", and plain GRPO from there {percent(trained.final_accuracy)}" if trained else ""
    return (
        f"Asked to work every problem out in full, the untrained base gets {percent(work.final_accuracy)}{after}: "
        "in this small world nothing beats working, and what reflection learns here is when to look."
    )


def _find(stages: Sequence[StageSummary], word: str) -> StageSummary | None:
    """The stage called `word`, or else the first whose name contains it."""
    exact = (stage for stage in stages if stage.name.lower() == word)
    return next(exact, None) or next((stage for stage in stages if word in stage.name.lower()), None)


def _difference(
    ours: StageSummary, theirs: StageSummary, known: Sequence[StageComparison]
) -> tuple[float, float] | None:
    """95% interval of ours - theirs where both answered the same problems."""
    for one in known:
        if (one.ours, one.theirs) == (ours.name, theirs.name):
            return one.low, one.high
        if (one.theirs, one.ours) == (ours.name, theirs.name):
            return -one.high, -one.low
    return None


def _is_decided(ours: StageSummary, theirs: StageSummary, known: Sequence[StageComparison]) -> bool:
    if (interval := _difference(ours, theirs, known)) is not None:
        return interval[0] > 0 or interval[1] < 0
    return ours.final_interval[0] > theirs.final_interval[1] or theirs.final_interval[0] > ours.final_interval[1]


def _certainty(ours: StageSummary, theirs: StageSummary, known: Sequence[StageComparison]) -> str:
    decided = _is_decided(ours, theirs, known)
    if (interval := _difference(ours, theirs, known)) is None:
        return f"the 95% intervals {'do not overlap' if decided else 'overlap, so this run alone does not decide it'}"
    low, high = (signed(100 * bound) for bound in interval)
    return f"paired 95% interval {low} to {high}{'' if decided else ', so this run alone does not decide it'}"


def report_json(data: ReportData) -> dict[str, Any]:
    """What the report says, without pictures, cards and the points of curves, as a JSON value."""
    value = data.model_dump(
        mode="json",
        exclude={
            "cards": True,
            "curves": True,
            "term_names": True,
            "leaderboard": True,
            "example": {"__all__": {"pictures"}},
            "panels": {"flips": {"__all__": {"cards"}}, "between": {"pairs"}},
        },
    )
    value["panels"]["trends"] = [_trends(signs) for signs in data.panels.training_signs]
    if (between := data.panels.between) is not None:
        value["panels"]["between"]["shown"] = [
            {"id": pair.after.trace.problem.id, "gained": pair.gained} for pair in between.pairs
        ]
    for shown, flips in zip(value["panels"]["flips"], data.panels.flips, strict=True):
        shown["shown"] = [{"id": card.trace.problem.id, "sample": card.trace.sample} for card in flips.cards]
    for run in value["runs"]:
        curves = [curve for curve in data.curves if curve.run == run["label"]]
        run["metrics"] = {curve.key: dict(zip(("first", "last"), ends(curve), strict=True)) for curve in curves}
    if data.leaderboard is not None:
        value["leaderboard"] = board.leaderboard_json(data.leaderboard)
    return value | {"num_cards": len(data.cards)}


def _trends(found: TrainingSigns) -> dict[str, Any]:
    return {
        "run": found.run,
        "alarms": list(found.alarms),
        "trends": {sign.name: sign.trend for sign in (*found.signs, *([found.reward] if found.reward else []))},
    }
