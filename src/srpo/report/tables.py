"""The tables of a report as rows of values: families by stage, and the transition matrix of each stage."""

from collections.abc import Sequence
from typing import NamedTuple

from srpo.core.records import Outcome
from srpo.core.summary import StageSummary
from srpo.report.model import ReportData, stage_of


class FamilyCell(NamedTuple):
    """One stage in one family."""

    first: float
    final: float


class FamilyRow(NamedTuple):
    """One family in every stage."""

    family: str
    n: int
    chance: float | None
    cells: tuple[FamilyCell | None, ...]
    """One for each stage; None where the stage was not tried on the family."""


class MatrixCell(NamedTuple):
    """One field of a transition matrix."""

    outcome: Outcome
    share: float
    """Of all gradable responses."""
    num: int


class TransitionTable(NamedTuple):
    """From first to final answer: rows right and wrong at first, columns right and wrong in the end."""

    stage: str
    num: int
    rows: tuple[tuple[MatrixCell, MatrixCell], tuple[MatrixCell, MatrixCell]]
    net: float
    """Share repaired minus share spoiled."""


def single_attempt(data: ReportData) -> frozenset[str]:
    """Names of the stages whose responses have one attempt only, as far as the traces of their runs tell."""
    names = [stage.name for stage in data.stages]
    return frozenset(stage for run in data.runs if run.single and (stage := stage_of(run.label, names)) is not None)


def family_rows(stages: Sequence[StageSummary]) -> list[FamilyRow]:
    """All families in the order of their first mention."""
    rows = []
    for family in dict.fromkeys(family for stage in stages for family in stage.by_family):
        found = [stage.by_family.get(family) for stage in stages]
        present = [row for row in found if row is not None]
        rows.append(
            FamilyRow(
                family=family,
                n=max(row.n for row in present),
                chance=next((row.chance for row in present if row.chance is not None), None),
                cells=tuple(FamilyCell(row.first_accuracy, row.final_accuracy) if row else None for row in found),
            )
        )
    return rows


def matrix(stage: StageSummary) -> TransitionTable:
    """The transition matrix of one stage."""

    def cell(outcome: Outcome) -> MatrixCell:
        return MatrixCell(outcome, stage.transitions.get(outcome, 0.0), stage.counts.get(outcome, 0))

    rows = ((cell("right→right"), cell("right→wrong")), (cell("wrong→right"), cell("wrong→wrong")))
    return TransitionTable(
        stage=stage.name,
        num=sum(field.num for row in rows for field in row),
        rows=rows,
        net=rows[1][0].share - rows[0][1].share,
    )
