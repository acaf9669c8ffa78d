"""Progress: what is shown on a terminal, and off one."""

import re
import time

import pytest

from srpo.runs import progress as module
from srpo.runs.progress import ProgressRate, format_duration, format_fields, note, progress
from tests.support.terminal import on_terminal


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (75, "1m15s"),
        (3599.6, "1h00m"),
        (3725, "1h02m"),
        (86400, "1d00h"),
        (200000, "2d07h"),
        (float("inf"), "?"),
        (float("nan"), "?"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_fields() -> None:
    assert format_fields({"reward": 0.71234, "kept_groups": 12, "note": "x"}) == "reward 0.712  kept groups 12  note x"


def test_time_left_follows_the_latest_advances() -> None:
    rate = ProgressRate(0.0)
    assert rate.left_s(10) is None
    rate.add(100.0, 1)
    assert rate.left_s(10) == pytest.approx(1000)
    for second in range(60):
        rate.add(101.0 + second, 2)
    assert rate.left_s(10) == pytest.approx(5)


def test_time_left_counts_only_what_this_process_did(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(100, "rl", done=98) as bar:
        time.sleep(0.3)
        bar.advance()
    line = capsys.readouterr().err
    left = re.search(r"rl 99/100 \(99%\)  [\d.]+s  ([\d.]+)s left", line)
    assert left is not None, line
    # One item took 0.3 s and one is left; with the 98 of an earlier process in the rate it would be 0.003 s.
    assert float(left[1]) >= 0.3, line


def test_plain_lines_off_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_APART_S", 0.0)
    with progress(40, "sft") as bar:
        for step in range(40):
            bar.advance(loss=1.0 / (step + 1))
            if step == 20:
                note("a note")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines.pop(5) == "a note"
    assert [line.split()[1] for line in lines] == [f"{done}/40" for done in range(4, 41, 4)]
    pattern = r"\(\d+%\)  [\d.]+s  (\S+ left  )?([\d.,]+/s  )?loss [\d.]+$"
    assert all(re.search(pattern, line) for line in lines), lines


def test_lines_are_not_printed_faster_than_people_read(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(1000, "sft") as bar:
        for _ in range(1000):
            bar.advance()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_nothing_done_prints_nothing_and_no_total_has_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(0, "empty"):
        pass
    with progress(None, "open") as bar:
        time.sleep(0.01)
        bar.advance(3)
    assert re.fullmatch(r"open 3  [\d.]+s  [\d.,]+/s\n", capsys.readouterr().err)


def test_what_was_done_elsewhere_has_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(600_000, "grpo") as bar:
        bar.advance(600_000)
    assert re.fullmatch(r"grpo 600000/600000 \(100%\)  [\d.]+s\n", capsys.readouterr().err)


SHOW = """
import sys, time
from srpo.runs.progress import progress, note
with progress(5, "outer") as outer:
    for step in range(5):
        with progress(2, "inner") as inner:
            inner.advance(2, loss=0.5)
        time.sleep(0.03)
        outer.advance(reward=0.25 * step)
    note("[bold]a note[/bold]")
    print("RESULT")
"""


def test_bars_on_a_terminal() -> None:
    stdout, shown = on_terminal(SHOW)
    assert stdout == "RESULT\n"
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "inner" in text
    assert "5/5" in text
    assert "reward 1" in text
    assert re.search(r"\d s|\ds left", text)
    assert "[bold]a note[/bold]" in text
    assert "\x1b[38" in shown or "\x1b[3" in shown


def test_no_color_and_dumb_terminals() -> None:
    _, shown = on_terminal(SHOW, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][;0-9]*m", shown)
    assert "5/5" in shown
    _, shown = on_terminal(SHOW, TERM="dumb")
    assert "\x1b" not in shown
    assert "outer 5/5 (100%)" in shown
