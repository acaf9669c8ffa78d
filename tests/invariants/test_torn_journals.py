"""Journals that end anywhere, in the middle of a character too: readers see whole records, and the run goes on."""

from pathlib import Path

import pytest

from srpo.core.records import Rejected
from srpo.runs.directory import RunDir
from srpo.runs.metrics import read_metrics
from srpo.runs.reader import read_traces
from srpo.runs.rejects import REJECTED, Ledger, read_rejected
from tests.support.toy_run import Config, make_trace

TEXTS = ("½ of 8 €", "因此答案是 4", "𝟜 \N{LINE SEPARATOR} é", "plain")


def write(path: Path) -> None:
    with RunDir.open(path, Config(), "toy") as run, Ledger(path / REJECTED, num_bytes=0) as ledger:
        for step, text in enumerate(TEXTS, 1):
            run.append_traces([make_trace(step, 0, text)])
            run.log(step, {"toy/value/mean": step / 3})
            ledger.append([Rejected(id=text, place="s:1", where="gold", reason="r", detail=text)])


@pytest.mark.parametrize("name", ["traces.jsonl", "metrics.jsonl", REJECTED])
def test_readers_see_the_whole_records_of_a_journal_cut_at_any_byte(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()

    def read() -> list[object]:
        match name:
            case "traces.jsonl":
                return list(read_traces(path))
            case "metrics.jsonl":
                return list(read_metrics(path))
        return list(read_rejected(tmp_path))

    whole = read()
    assert len(whole) == len(TEXTS)
    for size in range(len(content)):
        path.write_bytes(content[:size])
        found, num_ended = read(), content[:size].count(b"\n")
        assert found == whole[: len(found)]
        # A trace that misses its line end alone is whole.
        assert num_ended <= len(found) <= num_ended + (content[size : size + 1] == b"\n")


def test_a_run_goes_on_over_torn_tails(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "toy") as run:
        run.append_traces([make_trace(1, 0, TEXTS[0])])
        run.log(1, {"toy/value/mean": 1.0})
        run.checkpoint(1, lambda _: None)
    saved = {name: (tmp_path / name).read_bytes() for name in ("traces.jsonl", "metrics.jsonl")}
    tail = '{"text": "½€𝄞'.encode()
    for size in range(1, len(tail) + 1):
        for name, content in saved.items():
            (tmp_path / name).write_bytes(content + tail[:size])
        with RunDir.open(tmp_path, Config(), "toy") as run:
            assert {name: (tmp_path / name).read_bytes() for name in saved} == saved
            assert [trace.text for trace in run.traces()] == [TEXTS[0]]


def test_a_journal_that_lost_what_a_checkpoint_counts_on_is_named(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "toy") as run:
        run.append_traces([make_trace(1, 0, TEXTS[0])])
        run.checkpoint(1, lambda _: None)
    path = tmp_path / "traces.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"traces\.jsonl.*changed from outside"):
        RunDir.open(tmp_path, Config(), "toy")
