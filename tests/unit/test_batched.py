"""Batches of any stage: recorded in order, saved after each, gone on with after the last one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from srpo.core.records import Problem
from srpo.runs.batched import Batch, BatchedRun, BatchRecord, Passed, WorkedBatch
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stop, Stopped

LEDGER = "sums.jsonl"
PROBLEMS = [Problem(id=f"p{i}", question="What?", answer=str(i)) for i in range(10)]
SIZE = 3


class Config(BaseModel):
    seed: int = 0


class Sum(BaseModel):
    total: int


class OutOfMoneyError(Exception):
    pass


class Added(NamedTuple):
    """What came of a batch."""

    total: int
    passed: Passed


class FakeSpending:
    """Money for so many questions."""

    def __init__(self, money: int, window: int = 1) -> None:
        self.money = money
        self.window = window
        self.agreed: list[bool] = []
        self.passed = Passed(1, 1, {})
        self.asks_servers = True

    def agree(
        self,
        sample: Callable[[int], Sequence[Problem]],
        work: Callable[[Problem], WorkedBatch],
        stop: Stop,
        *,
        begun: bool,
    ) -> None:
        self.agreed.append(begun)
        if not begun:
            work(sample(1)[0])

    @contextmanager
    def limited(self, where: Callable[[], str]) -> Iterator[None]:
        try:
            yield
        except OutOfMoneyError as error:
            raise Stopped(f"{where()}, no money") from error

    def shown(self, num_done: int) -> dict[str, str]:
        return {"left": str(self.money)}

    def cancel(self) -> None:
        pass


def add_up(out: Path, spending: FakeSpending) -> None:
    """Sums of the answers, batch by batch, and of all so far in the state."""

    def work(problems: Sequence[Problem]) -> Added:
        spending.money -= len(problems)
        if spending.money < 0:
            raise OutOfMoneyError
        return Added(sum(int(one.answer) for one in problems), spending.passed)

    with (
        RunDir.open(out, Config(), "eval") as run_dir,
        BatchedRun(run_dir, len(PROBLEMS), SIZE, ledgers={LEDGER: 0}, spending=spending) as batched,
    ):
        total = batched.state.get("total", 0)

        def record(batch: Batch, result: Added) -> BatchRecord:
            nonlocal total
            total += result.total
            batched.ledgers[LEDGER].append([Sum(total=total)])
            return BatchRecord({"eval/sum": result.total}, {"total": total}, {"total": str(total)})

        starts = range(0, len(PROBLEMS), SIZE)
        batches = [Batch(number, PROBLEMS[start : start + SIZE]) for number, start in enumerate(starts, start=1)]
        batched.work(batches[batched.num_batches :], work, record, sample=lambda count: PROBLEMS[:count])


def sums(out: Path) -> list[int]:
    return [Sum.model_validate_json(line).total for line in (out / LEDGER).read_text().splitlines()]


@pytest.mark.parametrize("window", [1, 4])
def test_what_is_recorded_does_not_depend_on_how_many_batches_are_under_way(tmp_path: Path, window: int) -> None:
    add_up(tmp_path, FakeSpending(money=11, window=window))
    assert sums(tmp_path) == [3, 15, 36, 45]


def test_a_run_that_ran_out_of_money_goes_on_after_its_last_batch(tmp_path: Path) -> None:
    spending = FakeSpending(money=8)
    with pytest.raises(Stopped, match="after batch 2 of 4, no money"):
        add_up(tmp_path, spending)
    assert sums(tmp_path) == [3, 15]
    # What a killed process wrote behind the last checkpoint is cut off.
    with (tmp_path / LEDGER).open("a") as file:
        file.write('{"total": 99}\n')
    spending.money = 4
    add_up(tmp_path, spending)
    assert sums(tmp_path) == [3, 15, 36, 45]
    assert spending.agreed == [False, True]
    assert spending.money == 0


def test_a_run_in_which_nothing_passes_stops_and_says_why(tmp_path: Path) -> None:
    spending = FakeSpending(money=100)
    spending.passed = Passed(15, 0, {"leak": 10, "truncated": 5})
    with pytest.raises(ValueError, match="0 of 45 passed; not used: 30 x 'leak', 15 x 'truncated'"):
        add_up(tmp_path, spending)
    assert sums(tmp_path) == [3, 15], "the batch that tips the scale is not recorded"
    with pytest.raises(ValueError, match="0 of 45 passed"):
        add_up(tmp_path, spending)
    assert sums(tmp_path) == [3, 15], "going on begins with what was counted"
    spending.asks_servers = False
    add_up(tmp_path, spending)
    assert len(sums(tmp_path)) > 2, "a model on this machine may be as bad as it likes"


def test_rows_that_were_there_before_the_first_batch_stay(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "eval") as run_dir:
        (tmp_path / LEDGER).write_text('{"total": -1}\nleft over\n')
        with BatchedRun(run_dir, 1, SIZE, ledgers={LEDGER: 14}, spending=FakeSpending(0)) as batched:
            assert batched.num_batches == 0
        assert sums(tmp_path) == [-1]
        assert run_dir.total_steps == 1
