"""Ctrl-C, SIGTERM and SIGHUP, with real signals."""

import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from srpo.runs.interrupt import Stopped, resume_command, stop_signal

ROOT = Path(__file__).parents[2]
TOY = "from tests.support.toy_command import main\nsys.exit(main())\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_the_second_aborts(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    old = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, stop_signal() as stop:  # noqa: PT012
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        signal.raise_signal(number)
        pytest.fail("the second signal did nothing")
    assert not isinstance(caught.value, Stopped)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == old
    assert capfd.readouterr().err.count("finishing this step") == 1


def test_a_stage_that_ends_although_asked_to_stop_lets_nothing_follow() -> None:
    with pytest.raises(Stopped), stop_signal():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(Stopped, match="after step 3"), stop_signal() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        if stop.requested:
            raise Stopped("after step 3")
    with stop_signal() as stop:
        pass
    assert not stop.requested


def test_errors_inside_come_through_and_restore_the_handlers() -> None:
    old = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="broken"), stop_signal():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("broken")
    assert signal.getsignal(signal.SIGINT) is old


def test_blocks_nest() -> None:
    with stop_signal() as outer, pytest.raises(Stopped), stop_signal() as inner:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert inner.requested
    assert not outer.requested


def test_outside_the_main_thread_nothing_is_requested() -> None:
    seen: list[bool] = []

    def work() -> None:
        with stop_signal() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_the_resume_command_is_the_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/venv/bin/srpo", "sft", "my config.yaml", "--names", "[a, b]"])
    assert shlex.split(resume_command()) == sys.argv
    monkeypatch.setattr(sys, "argv", ["/venv/lib/srpo/__main__.py", "sft", "c.yaml"])
    assert shlex.split(resume_command()) == [sys.executable, "-m", "srpo", "sft", "c.yaml"]


def test_a_stage_stops_cleanly_and_goes_on(tmp_path: Path) -> None:
    # The resume command names the script that runs, so it is called like the real one.
    (tmp_path / "srpo").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{TOY}")
    command = [sys.executable, str(tmp_path / "srpo"), "--out", str(tmp_path / "a run"), "--steps", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stage:
        assert stage.stdout is not None
        assert stage.stdout.readline() == "step\n"
        stage.send_signal(signal.SIGINT)
        _, err = stage.communicate(timeout=20)
    assert stage.returncode == 130
    assert "srpo: stopped after step " in err
    assert "Traceback" not in err
    assert shlex.split(err.splitlines()[-1]) == command[1:]
    again = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert "going on after step" in again.stderr
    assert again.stdout.splitlines()[-1] == str(tmp_path / "a run")
    steps = (tmp_path / "a run" / "metrics.jsonl").read_text().count("\n")
    assert steps == 60
