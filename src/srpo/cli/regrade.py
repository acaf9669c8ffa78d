"""`srpo regrade RUN --preset ...`: what the traces of a run earn by today's rules and another reward."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.core.records import Record
from srpo.core.rewards import Preset, weights_of
from srpo.rl.config import current_preset

if TYPE_CHECKING:
    from srpo.report.regrade import RegradeSummary


class RegradeOptions(Record):
    """Grade and reward the traces of a run again. The run stays as it is; the result is a file beside its traces."""

    run: Annotated[Path, Positional("RUN")]
    """Run directory of reflect, rl or eval."""
    preset: Preset = "paper"
    """Which reward."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weights of terms, where they are not the preset's."""
    length_floor: Annotated[int, Field(ge=0)] = 0
    """Tokens below which the length term asks for no less."""
    symbolic: bool = True
    """Let math-verify, in a worker process, decide what the rules cannot."""
    rounded: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Relative tolerance for decimals that answer an exact gold."""
    out: Path | None = None
    """File for one line per trace; null: `regraded-PRESET.jsonl` in the run."""
    as_json: Annotated[bool, Spelling("json")] = False
    """Print the summary as one JSON object."""

    @field_validator("preset", mode="before")
    @classmethod
    def _todays_preset(cls, value: Any) -> Any:
        return current_preset(value)


def regrade_run(options: RegradeOptions) -> int:
    """Write what every trace is today, and print what changed."""
    from srpo.grading import Grader
    from srpo.report.open import read_run
    from srpo.report.regrade import Pricing, Tally, regraded
    from srpo.runs.files import atomic_file
    from srpo.runs.reader import check_spared

    weights_of(options.preset, options.weights)  # a wrong name is told before the work
    run = read_run(options.run)
    if (benchmark := run.config.config.get("benchmark")) not in {None, "custom"}:
        raise ValueError(
            f"{str(options.run)!r} was graded by the rules of {benchmark}; "
            f"`srpo score {benchmark}` grades responses again"
        )
    pricing = Pricing(options.preset, options.weights, options.length_floor)
    out = options.out or options.run / f"regraded-{options.preset}.jsonl"
    check_spared(out)
    if next(run.traces(), None) is None:
        raise ValueError(f"{str(options.run)!r} has no traces to grade again; reflect, rl and eval write some")
    tally = Tally()
    out.parent.mkdir(parents=True, exist_ok=True)
    with Grader(symbolic=options.symbolic, rounded=options.rounded) as grader, atomic_file(out) as file:
        for one in regraded(run.traces(), grader, pricing):
            file.write(json.dumps(one.as_json(), ensure_ascii=False) + "\n")
            tally.add(one)
    summary = tally.summary()
    print(summary.model_dump_json(indent=2) if options.as_json else "\n".join([*_lines(summary), f"each trace: {out}"]))
    return 0


def _lines(summary: "RegradeSummary") -> list[str]:
    rows = (
        ("first answer right", summary.first_accuracy),
        ("final answer right", summary.final_accuracy),
        ("mean reward", summary.mean_total),
    )
    lines = [f"{summary.num_traces} traces, before and after"]
    lines += [f"  {name:<20}{_number(before):>8}{_number(after):>8}" for name, (before, after) in rows]
    lines += [f"  final answers {change}: {count}" for change, count in summary.verdicts.items()]
    lines += [f"  {change}: {count}" for change, count in summary.outcomes.items()]
    if summary.num_without_lengths:
        lines.append(f"  {summary.num_without_lengths} traces have no lengths in tokens; a simple rule counted them")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


COMMAND = Command(RegradeOptions, regrade_run)
