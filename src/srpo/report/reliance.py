"""Whether answers and reflections rely on the picture: `srpo eval --probe`, and its short form during a training."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from srpo.core.records import Record
from srpo.eval.result import ProbeResult
from srpo.report.signs import Level, by_window, levels_of
from srpo.report.text import percent, signed
from srpo.runs.reader import SUMMARY, RunReader

PROBE_WORDS: Final[dict[str, str]] = {
    "blank": "a grey picture",
    "swap": "another problem's picture",
    "noise": "a noisy picture",
}
_PARTS: Final[dict[str, str]] = {"first": "first attempt", "reflection": "reflection", "second": "second attempt"}


class Probed(Record):
    """A probe of one evaluation."""

    run: str
    """Label of the evaluation."""
    result: ProbeResult

    @property
    def words(self) -> str:
        """What was shown in place of the picture."""
        return PROBE_WORDS[self.result.probe]

    def tell(self) -> str:
        """What it says of final answers and reflections, in a sentence or two."""
        final, reflection = self.result.final, self.result.reflection
        said = f"With {self.words}, {percent(final.disturbed.value)} of the final answers are right instead of "
        said += f"{percent(final.plain.value)}."
        if reflection is not None:
            change = reflection.gain_difference
            sure = "not shown to be more than chance" if change.low <= 0 <= change.high else "more than chance"
            said += (
                f" Reflections change accuracy by {signed(100 * reflection.gain_disturbed.value)} points instead of "
                f"{signed(100 * reflection.gain.value)} (the difference is {sure})."
            )
        if self.result.temperature > 0:
            said += (
                " Answers were sampled, so chance too changes answers and words: accuracies alone tell of the picture."
            )
        return said


class LookTrend(Record):
    """How far other pictures move what one training writes, early and late: nats a token, per part."""

    run: str
    parts: dict[str, tuple[Level, Level]]
    """Words for the part -> over the first and over the last third of the steps."""


def probed_of(label: str, run: RunReader) -> Probed | None:
    """The probe of an evaluation that had one.

    Raises:
        ValueError: there is one, and it cannot be read; names the file and the field.
    """
    found = (run.summary() or {}).get("probe") if run.stage == "eval" else None
    if not found:
        return None
    try:
        return Probed(run=label, result=ProbeResult.model_validate(found))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("probe", *first["loc"])))
        raise ValueError(f"{str(run.path / SUMMARY)!r}: {place}: {first['msg']}; evaluate again") from error


def look_trend(label: str, rows: Sequence[Mapping[str, float]]) -> LookTrend | None:
    """The short form during a training with `probe_every`."""
    windows = by_window(rows)
    parts = {words: pair for name, words in _PARTS.items() if (pair := levels_of(windows, f"rl/probe/{name}"))}
    return LookTrend(run=label, parts=parts) if parts else None
