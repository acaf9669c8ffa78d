"""The panel below the bar of a training run, on a terminal and off one."""

import re
import subprocess
import sys

from srpo.runs.panel import panel_lines
from tests.support.terminal import on_terminal

ROW = {
    "rl/first_accuracy": 0.5,
    "rl/final_accuracy": 0.625,
    "rl/format_rate": 0.99,
    "rl/truncated": 0.01,
    "rl/outcome/r2r": 0.4,
    "rl/outcome/w2r": 0.225,
    "rl/outcome/r2w": 0.1,
    "rl/outcome/w2w": 0.275,
    "rl/groups/kept": 14.0,
    "rl/groups/sampled": 19.0,
    "rl/reward/mean": 1.2087,
    "rl/reward/std": 0.37,
}
TRAIN = f"""
from pathlib import Path
from tempfile import mkdtemp
from srpo.core.records import Record
from srpo.runs.directory import RunDir
from srpo.runs.progress import progress
from srpo.runs.trackers import open_trackers
from srpo.runs.watch import Alarms, Watch

class Config(Record):
    pass

class Sounding:
    name = "no_signal"
    text = "nothing is [bold]learned[/bold]"

row = {ROW!r}
with RunDir.open(Path(mkdtemp()) / "run", Config(), "rl") as run, progress(3, "rl") as bar:
    alarms = Alarms("rl", 2, lambda rows: [Sounding()], [])
    watch = Watch(run, None, open_trackers((), run, project=""), alarms)
    for step in (1, 2, 3):
        watch.log(step, row)
        bar.advance()
"""


def test_the_lines_say_what_the_row_has_and_nothing_else() -> None:
    assert panel_lines("rl", ROW, {"harm": "what to do"}) == [
        ("answers", "first 50.0% → final 62.5%"),
        ("first, final", "✓✓ 40.0%   ✗✓ 22.5%   ✓✗ 10.0%   ✗✗ 27.5%"),
        ("format", "99.0% right"),
        ("cut off", "1.0%"),
        ("groups", "14 of 19 had something to learn from"),
        ("reward", "1.21 ± 0.37"),
        ("ALARM harm", "what to do"),
    ]
    assert panel_lines("sft", {"sft/loss": 0.3}, {}) == []


def test_a_terminal_shows_the_panel_and_the_alarm_below_the_bar() -> None:
    _, shown = on_terminal(TRAIN)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "first 50.0% → final 62.5%" in text
    assert "14 of 19 had something to learn from" in text
    assert "ALARM no_signal  nothing is [bold]learned[/bold]" in text


def test_off_a_terminal_there_are_plain_lines_alone() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, timeout=60, check=True)
    assert "groups" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "rl: ALARM no_signal: nothing is [bold]learned[/bold]" in done.stderr
