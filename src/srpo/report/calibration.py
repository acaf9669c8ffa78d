"""Whether reflections know: what they say of the first answer, against what it is.

A reflection that always says "right" is right as often as the first answers are, and says nothing; so the shares stand
beside those of all first answers, and beside what was noticed of the wrong ones.
"""

from typing import Self

from srpo.core.records import Record
from srpo.report.observe import Observer, Portion, share


class Calibration(Record):
    """The verdicts of one run's reflections on first answers (`srpo.core.verdicts` reads them)."""

    run: str
    first_right: Portion
    """Right first answers among all: what a reflection that always says right would score."""
    calls_right: Portion
    """First answers that are right, among those called right."""
    calls_wrong: Portion
    """First answers that are wrong, among those called wrong."""
    noticed: Portion
    """Wrong first answers that are called wrong, among all wrong ones."""
    doubted: Portion
    """Right first answers that are called wrong, among all right ones."""
    silent: Portion
    """Reflections without a verdict that the rule can read, among all."""

    @classmethod
    def of(cls, seen: Observer) -> Self | None:
        """The calibration of a run; None when it has no reflection."""
        findings = seen.findings()
        if not any(one.reflections for one in findings):
            return None
        return cls(
            run=seen.label,
            first_right=share(findings, lambda f: f.first_right, lambda f: f.reflections),
            calls_right=share(findings, lambda f: f.rightly, lambda f: f.calls_right),
            calls_wrong=share(findings, lambda f: f.calls_wrong - f.wrongly, lambda f: f.calls_wrong),
            noticed=share(findings, lambda f: f.calls_wrong - f.wrongly, lambda f: f.reflections - f.first_right),
            doubted=share(findings, lambda f: f.wrongly, lambda f: f.first_right),
            silent=share(findings, lambda f: f.reflections - f.calls_right - f.calls_wrong, lambda f: f.reflections),
        )

    def tell(self) -> str:
        """What the verdicts are worth, in one sentence."""
        if not self.calls_right.whole + self.calls_wrong.whole:
            return "The rule reads no verdict in these reflections."
        if not self.noticed.whole or not self.doubted.whole:
            return "First answers of one kind only: whether the verdicts tell them apart cannot be seen."
        if self.noticed.low > self.doubted.high:
            return "The verdicts tell right from wrong: wrong first answers are called wrong more often than right."
        if self.noticed.high < self.doubted.low:
            return "The verdicts are upside down: right first answers are called wrong more often than wrong."
        return "The intervals overlap: that the verdicts tell right from wrong is not shown."
