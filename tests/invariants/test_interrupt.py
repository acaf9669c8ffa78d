"""Ctrl-C, SIGTERM and SIGHUP, with real signals."""

import importlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srpo.grading.symbolic import SymbolicPool
from srpo.runs.files import atomic_file, make_directory_atomic
from srpo.runs.interrupt import Stopped, resume_command, signals_interrupt, stop_signal

ROOT = Path(__file__).parents[2]
TOY = "from tests.support.toy_command import main\nsys.exit(main())\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_a_closing_terminal_sends_two_signals_and_asks_once() -> None:
    with pytest.raises(Stopped, match="after step 1"), stop_signal() as stop:  # noqa: PT012
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        if stop.requested:
            raise Stopped("after step 1")


@contextmanager
def nobody_reads_stderr() -> Iterator[None]:
    kept, (reader, writer) = os.dup(2), os.pipe()
    os.close(reader)
    os.dup2(writer, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(writer)


def test_a_stop_is_taken_where_nobody_reads_what_is_said() -> None:
    with nobody_reads_stderr(), pytest.raises(Stopped), stop_signal():
        signal.raise_signal(signal.SIGHUP)


def test_what_nohup_ignores_stays_ignored() -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_interrupt(), stop_signal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_where_nothing_long_is_under_way_a_signal_ends_it_and_nothing_half_written_stays(
    tmp_path: Path, number: signal.Signals
) -> None:
    old = signal.getsignal(number)

    def fill(folder: Path) -> None:
        (folder / "half").write_text("x")
        signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt), signals_interrupt():
        make_directory_atomic(tmp_path / "out", fill)
    with pytest.raises(KeyboardInterrupt), signals_interrupt(), atomic_file(tmp_path / "page") as file:  # noqa: PT012
        file.write("half")
        signal.raise_signal(number)
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is old


def test_a_signal_waits_until_an_import_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "struck_in_the_middle.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.1)\ndone = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KeyboardInterrupt), signals_interrupt():  # noqa: PT012
        module = importlib.import_module("struck_in_the_middle")
        assert module.done
        time.sleep(5)
        pytest.fail("the signal was forgotten")


def test_a_second_sighup_does_not_break_into_the_tidying_up() -> None:
    tidied = False
    with pytest.raises(KeyboardInterrupt), signals_interrupt():  # noqa: PT012
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(signal.SIGHUP)
            tidied = True
    assert tidied


def test_a_signal_to_the_whole_group_leaves_the_symbolic_worker_to_its_parent() -> None:
    with SymbolicPool() as symbolic:
        assert symbolic.verify(r"\sum_{k=1}^{3} k", "6")
        (worker,) = symbolic._alive
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.process.pid, number)
        assert symbolic.verify(r"\sum_{k=1}^{3} k", "6")
        assert symbolic.num_timeouts == 0


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "srpo.runs.child", "grade", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def test_a_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    # Nobody ever writes into it: by itself the child would wait for ever.
    os.mkfifo(tmp_path / "rows.jsonl")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "rows.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 20
        while is_running(child):
            assert time.monotonic() < deadline, "the child outlived its parent"
            time.sleep(0.02)


def test_a_child_that_is_done_ends_as_its_command_does() -> None:
    command = [sys.executable, "-m", "srpo.runs.child", "--version"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.wait(timeout=60) == 0
        assert child.stdout is not None
        assert child.stdout.read().startswith(b"srpo ")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


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
