"""`srpo compare`: two evaluation runs, problem by problem, on what both answered.

    found = compare(RunDir.read("runs/base"), RunDir.read("runs/srpo"))
    found.answers[0].difference.value       # final accuracy of the second run less that of the first

Pairing takes the difficulty of the problems out of the difference: its interval is a bootstrap over the shared
problems, its p-value McNemar's exact test. Where problems have several samples, their mean counts, and the test is the
sign test on problems; and votes are compared at equal tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from rich.table import Table

from srpo.core.records import Record, Trace
from srpo.core.statistics import Estimate, WhichAnswer, mcnemar_exact, paired_difference, share_interval
from srpo.eval.metrics.voting import RIGHT, AtTokens, Vote, mean_cost, point_of, token_budgets, vote_at, vote_of
from srpo.runs.reader import RunReader
from srpo.runs.tables import text_of


class Side(Record):
    """One of the runs."""

    name: str
    """What it is called here: the name of its stage, or its path."""
    path: str
    problems: int
    """Problems that it answered and that can be graded."""
    only: int
    """Among these, problems that the other run did not answer."""
    ungradable: int
    """Samples left out because their gold answer cannot be graded."""
    num_samples: int
    """Most samples that any problem has."""
    reflective: bool
    mean_tokens: float | None
    """Generated tokens per sample, per problem first, on the shared problems; None where nobody counted."""


class PairedAnswers(Record):
    """The runs' final (or first) answers to the shared problems."""

    answer: WhichAnswer
    first_run: Estimate
    """Accuracy of the first run."""
    second_run: Estimate
    difference: Estimate
    """Second run less first run; bootstrap over problems."""
    only_first_right: int
    """Problems on which the first run is better: right where the other is wrong, or right more often."""
    only_second_right: int
    mcnemar_p: float
    """Two-sided exact p-value."""


class PairedVotes(Record):
    """Two ways to spend the same tokens on the shared problems."""

    first: str
    """What votes: `NAME, final answers` or `NAME, first answers`."""
    second: str
    first_vote: AtTokens
    second_vote: AtTokens
    difference: Estimate | None
    """Second less first; None where the budget does not pay for a sample of each."""


class Comparison(Record):
    """Two runs on the problems that both answered."""

    first: Side
    second: Side
    shared: int
    """Problems that both answered; all numbers below are over these."""
    answers: tuple[PairedAnswers, ...]
    """Final answers; and first answers, where a run is reflective."""
    equal_tokens: tuple[PairedVotes, ...]
    """Votes at equal tokens; empty where problems have one sample each, or tokens were not counted."""


class _Problem(NamedTuple):
    """What is kept of the samples of one problem."""

    digest: bytes
    """Of question and gold: ids alone may be those of other data."""
    gold: str
    final: list[Vote]
    first: list[Vote]

    def votes(self, answer: WhichAnswer) -> list[Vote]:
        return self.first if answer == "first" else self.final


class _Run(NamedTuple):
    name: str
    path: str
    problems: dict[str, _Problem]
    ungradable: int
    reflective: bool

    def side(self, shared: Sequence[str], answer: WhichAnswer = "final") -> dict[str, list[Vote]]:
        return {key: self.problems[key].votes(answer) for key in shared}


def compare(first: RunReader, second: RunReader, *, seed: int = 0) -> Comparison:
    """Compare two evaluation runs.

    Raises:
        ValueError: a run has no answers, the runs share no problem, or one id stands for different problems.
    """
    names = _names(first, second)
    one, two = (_read(run, name) for run, name in zip((first, second), names, strict=True))
    shared = [key for key in one.problems if key in two.problems]
    if not shared:
        raise ValueError(
            f"{one.path!r} and {two.path!r} answered no problem in common; compare runs on the same problems"
        )
    _check_same_problems(one, two, shared)
    answers: list[WhichAnswer] = ["final", "first"] if one.reflective or two.reflective else ["final"]
    return Comparison(
        first=_side(one, shared),
        second=_side(two, shared),
        shared=len(shared),
        answers=tuple(_paired(answer, one.side(shared, answer), two.side(shared, answer), seed) for answer in answers),
        equal_tokens=tuple(_equal_tokens(one, two, shared, seed)),
    )


def _names(first: RunReader, second: RunReader) -> tuple[str, str]:
    names = first.path.resolve().name, second.path.resolve().name
    return names if names[0] != names[1] else (str(first.path), str(second.path))


def _read(run: RunReader, name: str) -> _Run:
    problems: dict[str, _Problem] = {}
    ungradable = 0
    reflective = False
    for trace in run.traces():
        if trace.outcome is None:
            ungradable += 1
            continue
        reflective = reflective or trace.style == "reflective"
        kept = problems.setdefault(trace.problem.id, _Problem(_digest(trace), trace.problem.answer, [], []))
        kept.final.append(vote_of(trace))
        kept.first.append(vote_of(trace, "first"))
    if not problems:
        raise ValueError(f"{str(run.path)!r} has no answers that can be compared; evaluate first, see `srpo eval`")
    return _Run(name, str(run.path), problems, ungradable, reflective)


def _digest(trace: Trace) -> bytes:
    return sha256(f"{trace.problem.question}\0{trace.problem.answer}".encode("utf-8", "replace")).digest()


def _check_same_problems(one: _Run, two: _Run, shared: Iterable[str]) -> None:
    for key in shared:
        left, right = one.problems[key], two.problems[key]
        if left.digest != right.digest:
            what = f"gold {left.gold!r:.60} there and {right.gold!r:.60} here"
            raise ValueError(
                f"problem {key!r} is not the same in {one.path!r} and {two.path!r} "
                f"({what if left.gold != right.gold else 'another question'}); compare runs on the same data"
            )


def _side(run: _Run, shared: Sequence[str]) -> Side:
    return Side(
        name=run.name,
        path=run.path,
        problems=len(run.problems),
        only=len(run.problems) - len(shared),
        ungradable=run.ungradable,
        num_samples=max(len(problem.final) for problem in run.problems.values()),
        reflective=run.reflective,
        mean_tokens=mean_cost(run.side(shared)),
    )


def _paired(
    answer: WhichAnswer, one: Mapping[str, Sequence[Vote]], two: Mapping[str, Sequence[Vote]], seed: int
) -> PairedAnswers:
    left, right = ({key: _share(votes) for key, votes in side.items()} for side in (one, two))
    better, worse = sum(right[key] > left[key] for key in left), sum(right[key] < left[key] for key in left)
    return PairedAnswers(
        answer=answer,
        first_run=_accuracy(left, seed),
        second_run=_accuracy(right, seed),
        difference=_difference(left, right, seed),
        only_first_right=worse,
        only_second_right=better,
        mcnemar_p=mcnemar_exact(better, worse),
    )


def _share(votes: Sequence[Vote]) -> float:
    return sum(one.answer == RIGHT for one in votes) / len(votes)


def _accuracy(shares: Mapping[str, float], seed: int) -> Estimate:
    values = list(shares.values())
    low, high = share_interval(values, seed=seed)
    return Estimate(value=sum(values) / len(values), n=len(values), low=low, high=high)


def _difference(left: Mapping[str, float], right: Mapping[str, float], seed: int) -> Estimate:
    found = paired_difference(right, left, seed=seed)
    return Estimate(value=found.mean, n=found.n, low=found.low, high=found.high)


def _equal_tokens(one: _Run, two: _Run, shared: Sequence[str], seed: int) -> Iterator[PairedVotes]:
    """Final answers of both runs; and of each reflective run its final answers against votes of its own first ones."""
    finals = [(f"{run.name}, final answers", run.side(shared)) for run in (one, two)]
    pairs = [(finals[0], finals[1])]
    for run, final in zip((one, two), finals, strict=True):
        if run.reflective:
            pairs.append(((f"{run.name}, first answers", run.side(shared, "first")), final))
    for left, right in pairs:
        if all(len(votes) == 1 for side in (left[1], right[1]) for votes in side.values()):
            continue
        for budget in token_budgets([left[1], right[1]]):
            votes = [vote_at(side, budget, seed=seed) for _, side in (left, right)]
            known = all(vote.accuracy for vote in votes)
            yield PairedVotes(
                first=left[0],
                second=right[0],
                first_vote=point_of(budget, votes[0], seed=seed),
                second_vote=point_of(budget, votes[1], seed=seed),
                difference=_difference(votes[0].accuracy, votes[1].accuracy, seed) if known else None,
            )


# -- on the terminal


def render_comparison(found: Comparison) -> str:
    """The comparison as text."""
    sides = Table("", "problems", "not in the other", "samples", "tokens", title=f"{found.shared} shared problems")
    sides.title_justify = "left"
    for label, side in (("first", found.first), ("second", found.second)):
        tokens = "-" if side.mean_tokens is None else f"{side.mean_tokens:.1f}"
        sides.add_row(f"{label}: {side.name}", str(side.problems), str(side.only), str(side.num_samples), tokens)
    answers = Table("answer", "first", "second", "difference", "95% interval", "only first / second right", "p")
    for row in found.answers:
        gap = row.difference
        answers.add_row(
            row.answer,
            f"{row.first_run.value:.3f}",
            f"{row.second_run.value:.3f}",
            f"{gap.value:+.3f}",
            f"{gap.low:+.3f} to {gap.high:+.3f}",
            f"{row.only_first_right} / {row.only_second_right}",
            f"{row.mcnemar_p:.2g}",
        )
    ungradable = [
        f"{side.name}: {side.ungradable} ungradable" for side in (found.first, found.second) if side.ungradable
    ]
    return text_of(sides, answers, *_votes(found.equal_tokens), *ungradable, _verdict(found))


def _votes(rows: Sequence[PairedVotes]) -> list[Table]:
    tables: dict[tuple[str, str], Table] = {}
    for row in rows:
        title = f"votes at equal tokens, second less first\n  first: {row.first}\n  second: {row.second}"
        table = tables.setdefault(
            (row.first, row.second),
            Table("tokens", "first", "second", "difference", "95% interval", title=title, title_justify="left"),
        )
        gap = row.difference
        table.add_row(
            str(row.first_vote.budget),
            _vote(row.first_vote),
            _vote(row.second_vote),
            "-" if gap is None else f"{gap.value:+.3f}",
            "-" if gap is None else f"{gap.low:+.3f} to {gap.high:+.3f}",
        )
    return list(tables.values())


def _vote(point: AtTokens) -> str:
    if point.accuracy is None:
        return "no sample fits"
    return f"{point.accuracy.value:.3f} maj@{point.num_votes}{' (no more samples)' if point.short else ''}"


def _verdict(found: Comparison) -> str:
    gap = found.answers[0].difference
    if gap.low > 0 or gap.high < 0:
        better = found.second if gap.value > 0 else found.first
        return f"Final answers: {better.name} is better; the interval excludes zero."
    return "Final answers: no difference can be told; the interval holds zero."
