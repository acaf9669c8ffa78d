"""Alarms of RL: each is told once when it begins, with what helps, and can stop the run."""

import pytest

from srpo.rl.alarms import find_alarms
from srpo.runs.watch import Alarms

GOOD = {
    "rl/groups/kept": 3.0,
    "rl/format_rate": 0.9,
    "rl/final_accuracy": 0.5,
    "rl/truncated": 0.0,
    "rl/outcome/r2w": 0.02,
    "rl/outcome/w2r": 0.1,
}


def names(*rows: dict[str, float]) -> list[str]:
    return [alarm.name for alarm in find_alarms(rows, responses_per_step=32)]


def text(*rows: dict[str, float]) -> str:
    (alarm,) = find_alarms(rows, responses_per_step=32)
    return alarm.text


def test_a_good_run_is_silent() -> None:
    assert names(GOOD, GOOD) == []
    assert names(GOOD, GOOD | {"rl/groups/kept": 0.0, "rl/format_rate": 0.0}) == [], "one bad step is none"


@pytest.mark.parametrize(
    ("final", "remedy"),
    [(0.0, "too hard for this model"), (0.98, "the problems are solved"), (0.5, "`srpo data check`")],
)
def test_no_signal_says_what_helps_by_how_much_is_right(final: float, remedy: str) -> None:
    row = GOOD | {"rl/groups/kept": 0.0, "rl/final_accuracy": final}
    assert "for 2 steps (their rewards were alike, or the online filter left them out)" in text(row, row)
    assert remedy in text(row, row)


def test_roll_ins_are_a_signal() -> None:
    assert names(GOOD | {"rl/groups/kept": 0.0, "rl/roll_ins/groups": 2.0}) == []


@pytest.mark.parametrize(("cut", "remedy"), [(0.9, "90% of the responses are cut at max_tokens"), (0.0, "`srpo sft`")])
def test_no_format_says_what_helps_by_why(cut: float, remedy: str) -> None:
    assert remedy in text(GOOD | {"rl/format_rate": 0.0, "rl/truncated": cut})


def test_harm_is_more_than_chance() -> None:
    slight = GOOD | {"rl/outcome/r2w": 0.11, "rl/outcome/w2r": 0.1}
    assert names(slight) == [], "3.5 against 3.2 of 32 responses"
    assert names(*[slight] * 400) == ["harm"]
    clear = GOOD | {"rl/outcome/r2w": 0.2, "rl/outcome/w2r": 0.02}
    assert "it turned 20.0% of all answers from right to wrong and 2.0% from wrong to right" in text(clear)
    assert text(clear).startswith("reflection does harm")


def test_a_missing_format_is_not_blamed_on_reflections() -> None:
    broken = GOOD | {"rl/format_rate": 0.1, "rl/outcome/r2w": 0.4, "rl/outcome/w2r": 0.0}
    assert "only 10% of the responses have the format, and the others no final answer" in text(broken)
    gone = broken | {"rl/format_rate": 0.0, "rl/groups/kept": 0.0, "rl/final_accuracy": 0.0}
    signal, _, _ = find_alarms([gone], responses_per_step=32)
    assert "no response has the format, so no final answer counts" in signal.text


def test_an_alarm_is_told_when_it_begins_and_logged_while_it_sounds(capsys: pytest.CaptureFixture[str]) -> None:
    dead = GOOD | {"rl/groups/kept": 0.0}
    alarms = Alarms("rl", 2, lambda rows: find_alarms(rows, 32), before=[])
    logged = [alarms.take(row) for row in (dead, dead, dead, GOOD, dead, dead)]
    sounds = {"rl/alarms/no_signal": 1.0}
    assert logged == [{}, sounds, sounds, {}, {}, sounds]
    assert capsys.readouterr().err.count("rl: ALARM no_signal: no group had a signal for 2 steps") == 2
    assert alarms.stops is None


def test_a_run_that_goes_on_tells_no_alarm_twice_and_stops_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    dead = GOOD | {"rl/groups/kept": 0.0}
    alarms = Alarms("rl", 2, lambda rows: find_alarms(rows, 32), before=[GOOD, dead, dead], stop=("no_signal",))
    assert alarms.take(dead) == {"rl/alarms/no_signal": 1.0}
    assert "ALARM" not in capsys.readouterr().err
    assert alarms.stops is not None
    assert alarms.stops.startswith("alarm no_signal: no group had a signal for 2 steps")
