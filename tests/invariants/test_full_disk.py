"""A disk that is full while something is written: named, nothing half written stays, and what was saved goes on.

A limit on the size of files stands for the disk: the system refuses writes beyond it in the same way, without rights.
"""

import errno
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srpo.cli import main as main_module
from srpo.cli.main import main
from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.files import Journal, make_directory_atomic, write_atomic

LIMIT = 3_000_000
"""More than the probe of `runs.files` takes, as on a disk on which something small still fits."""
BIG = 4_000_000


@contextmanager
def full_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def by_torch(folder: Path) -> None:
    torch.save({"moments": torch.zeros(BIG)}, folder / "moments.pt")


def by_safetensors(folder: Path) -> None:
    save_file({"weights": torch.zeros(BIG)}, folder / "model.safetensors")


def by_python(folder: Path) -> None:
    (folder / "more.bin").write_bytes(bytes(BIG))


@pytest.mark.parametrize("save", [by_torch, by_safetensors, by_python])
def test_a_directory_that_does_not_fit_is_named_whoever_writes_it(
    tmp_path: Path, save: Callable[[Path], object]
) -> None:
    with full_disk(), pytest.raises(OSError, match="step-000001") as caught:
        make_directory_atomic(tmp_path / "step-000001", save)
    assert caught.value.errno in {errno.ENOSPC, errno.EFBIG}
    assert list(tmp_path.iterdir()) == []
    make_directory_atomic(tmp_path / "step-000001", save)


def test_what_else_goes_wrong_keeps_its_own_error(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise RuntimeError("a bug of ours")

    with pytest.raises(RuntimeError, match="a bug of ours"):
        make_directory_atomic(tmp_path / "model", broken)
    assert list(tmp_path.iterdir()) == []


def test_files_and_journals_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write_atomic(tmp_path / "page", "old")
    journal = Journal(tmp_path / "traces.jsonl")
    with full_disk():
        with pytest.raises(OSError, match="page"):
            write_atomic(tmp_path / "page", "x" * BIG)
        with pytest.raises(OSError, match=r"traces\.jsonl"):
            journal.append(["x" * BIG])
        journal.close()
    assert (tmp_path / "page").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page", "traces.jsonl"]


class Config(Record):
    steps: int = 3


def test_a_run_goes_on_where_the_disk_had_room(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "toy") as run:
        run.log(1, {"loss": 1.0})
        run.checkpoint(1, by_python)
        run.log(2, {"loss": 0.5})
        with full_disk(), pytest.raises(OSError, match="step-000002"):
            run.checkpoint(2, by_torch)
    with RunDir.open(tmp_path, Config(), "toy") as run:
        checkpoint = run.latest_checkpoint()
        assert checkpoint is not None
        assert checkpoint.step == 1
        assert [row["step"] for row in run.metrics()] == [1]
        run.log(2, {"loss": 0.5})
        run.checkpoint(2, by_torch)


def test_the_command_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(_: object) -> int:
        with full_disk():
            write_atomic(tmp_path / "page", "x" * BIG)
        return 0

    monkeypatch.setattr(main_module, "run_command", no_room)
    assert main(["report"]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "page") in said
    assert "make room, and the same command goes on" in said
