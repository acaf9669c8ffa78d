"""verl's logs and our reward journals become rows and traces of a run directory, step by step.

    RUN/engine/launch-001/metrics.jsonl   verl's own numbers of each step, by its `file` logger
    RUN/engine/launch-001/rewards/        every response, by our reward manager
    RUN/engine/launch-001/after.json      the step after which this start went on

A start that was killed has written steps that the next one does again. A step counts from the last start that did it:
of each start, those up to the step after which the next one went on.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from srpo.core.advantages import TokenCredit, assign_credit, carries_signal, keep_group
from srpo.core.records import Trace
from srpo.engines.verl.journal import PaidTrace, RewardTails, Tail, groups_of
from srpo.rl.config import RlConfig
from srpo.rl.metrics import accuracy_metrics, reward_metrics

METRICS, AFTER = "metrics.jsonl", "after.json"

RL_NAMES = {
    "actor/pg_loss": "rl/loss",
    "actor/grad_norm": "rl/grad_norm",
    "actor/entropy": "rl/entropy",
    "actor/kl_loss": "rl/kl",
    "actor/ppo_kl": "rl/old_kl",
    "actor/pg_clipfrac": "rl/clip_fraction",
    "actor/lr": "rl/lr",
    "critic/advantages/max": "verl/advantage/max",
    "critic/advantages/min": "verl/advantage/min",
    "training/rollout_probs_diff_mean": "rl/sampler_mismatch/probability",
    "rollout_corr/rollout_is_mean": "rl/importance/mean",
    "perf/throughput": "verl/tokens_per_gpu_s",
    "perf/time_per_step": "verl/step_s",
    "perf/max_memory_allocated_gb": "verl/memory_gb",
    "timing_s/gen": "verl/sample_s",
    "timing_s/update_actor": "verl/learn_s",
}
"""verl's names of what srpo logs too, and of what only a cluster has."""
SFT_NAMES = {
    "train/loss": "sft/loss",
    "train/grad_norm": "sft/grad_norm",
    "train/lr": "sft/lr",
    "train/global_tokens": "verl/tokens",
}


class Step(NamedTuple):
    """What happened in a step."""

    number: int
    metrics: dict[str, float]
    """verl's own numbers, under our names."""
    train: list[PaidTrace]
    held_out: list[PaidTrace]


def launches(engine: Path) -> list[Path]:
    """The folders of all starts, in order."""
    return sorted(engine.glob("launch-*"))


def started_after(launch: Path) -> int:
    """The step after which a start went on; 0 where it began."""
    file = launch / AFTER
    return int(json.loads(file.read_text(encoding="utf-8"))["step"]) if file.is_file() else 0


class LaunchReader:
    """Reads one start while it writes: every step once, when verl has finished it.

    By the time that verl logs a step, every response of it has been paid and written down.
    """

    def __init__(self, launch: Path, names: Mapping[str, str], *, after: int, until: int | None = None) -> None:
        """Steps up to `after` are left out, and those behind `until`, which a later start does again."""
        self._names, self._after, self._until = names, after, until
        self._log = Tail(launch / METRICS)
        self._rewards = RewardTails(launch)
        self._paid: dict[int, list[PaidTrace]] = {}

    def new(self) -> Iterator[Step]:
        """The steps that were finished since the last call."""
        rows = [json.loads(text) for _, text in self._log.lines()]
        for paid in self._rewards.new():
            if self._is_wanted(paid.step):
                self._paid.setdefault(paid.step, []).append(paid)
        for row in rows:
            number, logged = int(row["step"]), row["data"]
            if self._is_wanted(number):
                yield self._step(number, logged)

    def under_way(self) -> tuple[int, list[PaidTrace]] | None:
        """The step that verl is at, and its responses so far; None before the first one."""
        at_work = {step: [one for one in found if one.split == "train"] for step, found in self._paid.items()}
        return max(((step, found) for step, found in at_work.items() if found), default=None, key=lambda item: item[0])

    def unlogged(self) -> Iterator[Step]:
        """Steps whose checkpoint is there and whose log is not, because the start was killed in between."""
        for number in sorted(self._paid):
            yield self._step(number, {})

    def _is_wanted(self, step: int) -> bool:
        return step > self._after and (self._until is None or step <= self._until)

    def _step(self, number: int, logged: Mapping[str, Any]) -> Step:
        found = self._paid.pop(number, [])
        return Step(
            number,
            {ours: float(logged[theirs]) for theirs, ours in self._names.items() if theirs in logged},
            [one for one in found if one.split == "train"],
            [one for one in found if one.split == "eval"],
        )


def earlier_steps(engine: Path, names: Mapping[str, str], *, after: int, until: int) -> Iterator[Step]:
    """The steps behind `after` that earlier starts have finished, as far as the one that comes next goes on from."""
    folders = launches(engine)
    for place, launch in enumerate(folders):
        most = min([until, *map(started_after, folders[place + 1 :])])
        reader = LaunchReader(launch, names, after=max(after, started_after(launch) if place else -1), until=most)
        yield from reader.new()
        yield from reader.unlogged()


def rl_row(step: Step, config: RlConfig) -> dict[str, float]:
    """The numbers of a step, as `srpo rl` logs them."""
    groups = groups_of(step.train)
    traces = [trace for group in groups for trace in group]
    row = dict(step.metrics)
    if traces:
        kept = sum(is_kept(group, config) for group in groups)
        row |= {
            "rl/groups/sampled": float(len(groups)),
            "rl/groups/kept": float(min(kept, config.num_prompts)),
            "rl/groups/no_signal": float(len(groups) - kept),
            "rl/groups/refilled": float(max(0, len(groups) - config.num_prompts)),
            "rl/groups/ungradable": 0.0,
        }
        row |= accuracy_metrics(traces, "rl") | reward_metrics(traces)
    if step.held_out:
        row |= accuracy_metrics([one.trace for one in step.held_out], "rl/eval")
    return row


def is_kept(group: Sequence[Trace], config: RlConfig) -> bool:
    """Whether the loss learns from a group (`rl.rollout.is_worth_learning`)."""
    rewards = [trace.reward for trace in group if trace.reward is not None]
    if not carries_signal(rewards, config.credit):
        return False
    match config.online_filter:
        case "off":
            return True
        case "final":
            return keep_group([trace.final_grade.is_correct for trace in group])
        case "outcome":
            return len({(trace.has_format, trace.outcome) for trace in group}) > 1


def chosen_traces(step: Step, config: RlConfig) -> list[Trace]:
    """One trace from each of the first groups, samples in turn, with its advantage: what `traces.jsonl` holds."""
    groups = groups_of(step.train)[: config.traces_per_step]
    return [_credited(group, config)[(step.number + place) % len(group)] for place, group in enumerate(groups)]


def _credited(group: Sequence[Trace], config: RlConfig) -> list[Trace]:
    if not is_kept(group, config):
        return list(group)
    credits_G = credits_of(group, config)
    return [
        trace.model_copy(update={"advantage": credit.advantage}) for trace, credit in zip(group, credits_G, strict=True)
    ]


def credits_of(group: Sequence[Trace], config: RlConfig) -> list[TokenCredit]:
    """What every token of a group's responses is credited with."""
    return assign_credit(
        [trace.reward for trace in group if trace.reward is not None],
        [trace.tokens for trace in group if trace.tokens is not None],
        config.credit,
        scale=config.loss.variant != "dr_grpo",
    )
