"""The panel below the bar of a training run, on a terminal and off one."""

import json
import mmap
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from srpo.rl.metrics import PhaseTimer
from srpo.runs.json_events import json_events
from srpo.runs.memory import Memory, used_memory
from srpo.runs.panel import panel_lines
from srpo.runs.progress import note, progress
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
        watch.log(step, row, phases={{"sample": 2.0, "learn": 1.0}})
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
    assert panel_lines("sft", {"sft/tokens": 30}, {}) == []
    parts = {"sft/loss": 0.3, "sft/loss/first": 0.5, "sft/loss/rest": 0.25}
    assert panel_lines("sft", parts, {}) == [("loss", "0.3, first attempts 0.5, reflections and what follows 0.25")]
    held_out = {"rl/eval/first_accuracy": 0.4, "rl/eval/final_accuracy": 0.5}
    assert panel_lines("rl", held_out, {}) == [("held out", "first 40.0% → final 50.0%")]


def test_time_by_phase_and_memory_are_shown_where_they_are_known() -> None:
    lines = panel_lines("rl", {}, {}, {"encode": 0.1, "sample": 6.3, "learn": 3.6}, Memory(2**30, 3 * 2**29, "process"))
    assert lines == [
        ("time", "encode 0.1s 1%   sample 6.3s 63%   learn 3.6s 36%"),
        ("memory", "process 1.0 GiB, 1.5 GiB at most"),
    ]
    assert panel_lines("rl", {}, {}, {}, Memory(None, 2**30, "GPU")) == [("memory", "GPU 1.0 GiB at most")]


def test_memory_in_use_grows_with_what_is_held() -> None:
    before = used_memory()
    # Pages of its own: what malloc gives may lie where an earlier test's memory lay.
    held = mmap.mmap(-1, 64 * 2**20)
    held.write(b"x" * len(held))
    after = used_memory()
    assert after.where == "process"
    assert before.now is not None
    assert after.now is not None
    assert after.now - before.now > 48 * 2**20
    assert after.peak >= after.now
    held.close()


def test_a_lap_has_what_each_phase_took_since_the_last_one() -> None:
    timer = PhaseTimer()
    with timer("sample"):
        time.sleep(0.02)
    assert timer.lap()["sample"] >= 0.02
    with timer("learn"):
        time.sleep(0.01)
    lap = timer.lap()
    assert lap["sample"] == 0.0
    assert lap["learn"] >= 0.01
    assert timer.seconds["sample"] >= 0.02


def test_a_terminal_shows_the_panel_and_the_alarm_below_the_bar() -> None:
    _, shown = on_terminal(TRAIN)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "first 50.0% → final 62.5%" in text
    assert "14 of 19 had something to learn from" in text
    assert "sample 2.0s 67%   learn 1.0s 33%" in text
    assert re.search(r"process \d+\.\d GiB, \d+\.\d GiB at most", text)
    assert "ALARM no_signal  nothing is [bold]learned[/bold]" in text


def test_off_a_terminal_there_are_plain_lines_alone() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, timeout=60, check=True)
    assert "groups" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "rl: ALARM no_signal: nothing is [bold]learned[/bold]" in done.stderr


def events(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        assert line.isascii()
        found.append(json.loads(line))
    return found


def test_with_json_each_step_message_and_alarm_is_an_object_on_a_line() -> None:
    code = TRAIN.replace("row = ", "from srpo.runs.json_events import json_events\nrow = ").replace(
        "with RunDir", "with json_events(), RunDir"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    found = events(done.stderr)
    assert [one["event"] for one in found] == ["step", "alarm", "step", "step", "progress"]
    first, alarm, second, _, progress_line = found
    assert (first["stage"], first["step"], first["metrics"]) == ("rl", 1, ROW)
    assert first["phases_s"] == {"sample": 2.0, "learn": 1.0}
    assert first["memory_bytes"]["peak"] > 2**20
    assert alarm == {
        "event": "alarm",
        "stage": "rl",
        "name": "no_signal",
        "text": "nothing is [bold]learned[/bold]",
    }
    assert second["metrics"] == ROW | {"rl/alarms/no_signal": 1.0}
    assert (progress_line["of"], progress_line["done"], progress_line["total"]) == ("rl", 3, 3)
    assert progress_line["left_s"] is None


def test_texts_in_lines_of_json_steer_no_terminal_and_what_is_no_number_is_null(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nasty = "a\x1b[2J\x9b31m\u202eb\n\ud800"
    with json_events():
        note(nasty)
        with progress(2, "sft") as bar:
            time.sleep(0.01)
            bar.advance(1, loss=float("nan"))
    with json_events(False):
        note("plain")
    note("plain too")
    *told, plain, plain_too = capsys.readouterr().err.splitlines()
    assert (plain, plain_too) == ("plain", "plain too")
    said, moved = events("\n".join(told))
    assert said == {"event": "note", "text": nasty}
    assert (moved["done"], moved["shown"]) == (1, {"loss": None})
    assert moved["each_s"] >= 0.01
