"""The run directory: what it refuses, what it leaves, how it resumes."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from srpo.core.records import FormatError, Grade, Origin, Problem, Record, Trace
from srpo.runs.directory import RunDir
from srpo.runs.files import TEMPORARY
from srpo.runs.provenance import provenance
from srpo.runs.reader import read_traces
from tests.support.responses import parse_style


class Inner(Record):
    lr: float = 0.1


class Config(Record):
    steps: int = 4
    names: tuple[str, ...] = ("a",)
    optim: Inner = Inner()


def trace(number: int, text: str = "<think>é→中</think>") -> Trace:
    grade = Grade(verdict="correct", extracted="7", reason="same")
    return Trace(
        origin=Origin(stage="rl", model="m", step=number),
        problem=Problem(id=str(number), question="?", answer="7"),
        text=text,
        parsed=FormatError(where=0, what="no think"),
        first_grade=grade,
        final_grade=grade,
    )


def save(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "sub").mkdir()
        (path / "sub" / "weights").write_text(text)

    return write


def test_a_whole_run(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "new" / "run", Config(), "rl", total_steps=2) as run:
        assert not run.finished
        assert run.latest_checkpoint() is None
        for step in (1, 2):
            run.append_traces([trace(step), trace(step + 10)])
            run.log(step, {"rl/loss/mean": 0.5 / step, "rl/groups": step, "rl/kl/mean": math.nan})
        made = run.checkpoint(2, save("w"), {"rng": [1, 2.5, "x"]})
        assert run.save_model(save("final")) == run.path / "model"
        run.finish({"accuracy": 0.5, "row": Inner(), "path": tmp_path})
    reader = RunDir.read(tmp_path / "new" / "run")
    assert (reader.stage, reader.config.config["steps"]) == ("rl", 4)
    assert reader.config.provenance.commit == provenance().commit
    assert [t.problem.id for t in reader.traces()] == ["1", "11", "2", "12"]
    assert next(reader.traces()) == trace(1)
    rows = list(reader.metrics())
    assert [(row["step"], row["rl/loss/mean"], row["rl/groups"]) for row in rows] == [(1, 0.5, 1), (2, 0.25, 2)]
    assert all(math.isnan(row["rl/kl/mean"]) and row["time_s"] >= 0 for row in rows)
    assert reader.latest_checkpoint() == made
    assert made.extra == {"rng": [1, 2.5, "x"]}
    assert (made.path / "sub" / "weights").read_text() == "w"
    assert (reader.model_path / "sub" / "weights").read_text() == "final"
    assert reader.summary() == {"accuracy": 0.5, "row": {"lr": 0.1}, "path": str(tmp_path)}
    state = reader.state()
    assert (state.stage, state.step, state.total_steps, state.finished) == ("rl", 2, 2, True)


def test_metrics_are_strict_json(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.log(1, {"a": math.inf})
    row = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert row["a"] is None


def test_a_finished_run_says_so_and_stays_as_it_is(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "sft") as run:
        run.log(1, {"a": 1})
        run.finish({"x": 1})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    with RunDir.open(tmp_path, Config(), "sft") as run:
        assert run.finished
        assert run.summary() == {"x": 1}
        with pytest.raises(AssertionError, match="finished"):
            run.log(2, {})
    assert before == {path: path.read_bytes() for path in before}


def test_killed_between_summary_and_state(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "sft") as run:
        run.log(3, {})
        run.finish({})
    state = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(state | {"finished": False}))
    with RunDir.open(tmp_path, Config(), "sft") as run:
        assert run.finished
    assert (RunDir.read(tmp_path).state().finished, RunDir.read(tmp_path).state().step) == (True, 3)


def test_resume_cuts_back_to_the_checkpoint(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        for step in (1, 2, 3):
            run.append_traces([trace(step)])
            run.log(step, {"a": step})
            if step == 2:
                run.checkpoint(2, save("two"), {"at": 2})
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write('{"torn')
    (tmp_path / "checkpoints" / f"{TEMPORARY}step-000003").mkdir()
    (tmp_path / f"{TEMPORARY}state.json").write_text("{")
    (tmp_path / f"{TEMPORARY}model").mkdir()
    with RunDir.open(tmp_path, Config(), "rl") as run:
        checkpoint = run.latest_checkpoint()
        assert checkpoint is not None
        assert (checkpoint.step, checkpoint.extra) == (2, {"at": 2})
        assert [t.problem.id for t in run.traces()] == ["1", "2"]
        assert [row["step"] for row in run.metrics()] == [1, 2]
        run.log(3, {"a": 3})
        times = [row["time_s"] for row in run.metrics()]
        assert times == sorted(times)
    assert not list(tmp_path.rglob(TEMPORARY + "*"))


def test_without_a_checkpoint_a_resumed_run_starts_over(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.append_traces([trace(1)])
        run.log(1, {})
    with RunDir.open(tmp_path, Config(), "rl") as run:
        assert list(run.traces()) == []
        assert list(run.metrics()) == []


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl", keep=2) as run:
        for step in (5, 10, 1_000_000, 1_000_005):
            run.checkpoint(step, save(str(step)))
        assert [checkpoint.step for checkpoint in run.checkpoints()] == [1_000_000, 1_000_005]
        assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-1000000", "step-1000005"}
    # One too many is what a kill between writing a checkpoint and removing the oldest leaves.
    with RunDir.open(tmp_path, Config(), "rl", keep=1) as run:
        assert [checkpoint.step for checkpoint in run.checkpoints()] == [1_000_005]


def test_a_second_checkpoint_of_the_same_state_is_the_first_one(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.log(1, {})
        first = run.checkpoint(1, save("a"))
        assert run.checkpoint(1, lambda _: pytest.fail("saved twice")) == first
        run.append_traces([trace(1)])
        with pytest.raises(AssertionError, match="step 1 was already saved"):
            run.checkpoint(1, save("b"))


def test_a_failing_save_leaves_no_checkpoint(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        (path / "half").write_text("x")
        raise RuntimeError("disk full")

    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.checkpoint(1, save("a"))
        with pytest.raises(RuntimeError, match="disk full"):
            run.checkpoint(2, fail)
        assert [checkpoint.step for checkpoint in run.checkpoints()] == [1]
        run.checkpoint(2, save("b"))
        assert [checkpoint.step for checkpoint in run.checkpoints()] == [1, 2]
        run.save_model(save("old"))
        with pytest.raises(RuntimeError, match="disk full"):
            run.save_model(fail)
        assert (run.model_path / "sub" / "weights").read_text() == "old"
        run.save_model(save("new"))
        assert (run.model_path / "sub" / "weights").read_text() == "new"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Config(steps=5), "steps is 4 there and 5 now"),
        (Config(optim=Inner(lr=1)), r"optim\.lr is 0\.1 there and 1\.0 now"),
        (Config(names=("b",)), r"names is \['a'\] there and \['b'\] now"),
        (Inner(), "lr is absent there and 0.1 now"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, other: Record, message: str) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.checkpoint(1, save("a"))
    with pytest.raises(ValueError, match=message):
        RunDir.open(tmp_path, other, "rl")
    RunDir.open(tmp_path, Config(), "rl").close()


def test_a_run_that_failed_at_its_start_takes_a_corrected_configuration(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.log(1, {"rl/loss": 1.0})
    with RunDir.open(tmp_path, Config(steps=5), "rl") as run:
        assert run.config.config["steps"] == 5
        assert list(run.metrics()) == []
    assert RunDir.read(tmp_path).config.config["steps"] == 5


def test_another_stage_is_refused(tmp_path: Path) -> None:
    RunDir.open(tmp_path, Config(), "rl").close()
    with pytest.raises(ValueError, match="holds a run of stage 'rl', not 'sft'"):
        RunDir.open(tmp_path, Config(), "sft")


def test_directories_that_are_not_runs(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty and not a run \(it holds 'notes\.txt'\)"):
        RunDir.open(tmp_path, Config(), "rl")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match="is a file"):
        RunDir.open(tmp_path / "notes.txt", Config(), "rl")
    with pytest.raises(ValueError, match=r"is not a run directory \(it has no config\.json\)$"):
        RunDir.read(tmp_path / "nowhere")
    RunDir.open(tmp_path / "inside", Config(), "rl").close()
    with pytest.raises(ValueError, match=r"did you mean '.*inside'\?"):
        RunDir.read(tmp_path)


def test_killed_before_anything_was_written(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / f"{TEMPORARY}config.json").write_text('{"half')
    RunDir.open(tmp_path, Config(), "rl").close()
    assert not list(tmp_path.glob(TEMPORARY + "*"))


def test_readers_refuse_unknown_versions_and_damage(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.append_traces([trace(1)])
    line = json.loads((tmp_path / "traces.jsonl").read_text())
    path = tmp_path / "other.jsonl"
    for row, message in (
        (line | {"schema_version": 3}, "trace of schema version 3; this srpo reads version 2"),
        (line | {"schema_version": 3, "new": 1}, "trace of schema version 3"),
        (line | {"new": 1}, r"other\.jsonl:1: not a trace \(new: Extra inputs"),
    ):
        path.write_text(json.dumps(row) + "\n")
        with pytest.raises(ValueError, match=message):
            list(read_traces(path))
    path.write_text("{\n")
    with pytest.raises(ValueError, match=r"other\.jsonl:1: not a trace"):
        list(read_traces(path))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nx\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2: not a row"):
        list(RunDir.read(tmp_path).metrics())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"schema_version": 9}))
    with pytest.raises(ValueError, match="run directory of version 9; this srpo reads version 1"):
        RunDir.read(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="was not written by srpo, or is damaged"):
        RunDir.read(tmp_path)


def test_traces_of_version_1_still_load() -> None:
    traces = list(read_traces(Path(__file__).parents[1] / "golden" / "traces_v1.jsonl"))
    kinds = [type(one.parsed) for one in traces]
    assert sorted(kind.__name__ for kind in kinds) == ["Attempt", "FormatError", "FormatError", "Response"]
    for one in traces:
        assert one.parsed == parse_style(one.text, one.style)
        assert Trace.model_validate_json(one.model_dump_json()) == one


def test_journals_that_shrank_are_noticed(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.append_traces([trace(1)])
        run.checkpoint(1, save("a"))
    (tmp_path / "traces.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"traces\.jsonl' has 0 bytes, but the last checkpoint"):
        RunDir.open(tmp_path, Config(), "rl")


class Older(Record):
    steps: int = 4
    optim: Inner = Inner()


def test_a_field_that_is_younger_than_the_run_does_not_refuse_it(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Older(), "rl") as run:
        run.checkpoint(1, save("a"))
    with RunDir.open(tmp_path, Config(), "rl") as run:
        assert run.latest_checkpoint() is not None
    with pytest.raises(ValueError, match=r"names is \['a'\] there and \['b'\] now"):
        RunDir.open(tmp_path, Config(names=("b",)), "rl")
    with pytest.raises(ValueError, match=r"names is \['a'\] there and absent now"):
        RunDir.open(_younger_run(tmp_path / "b"), Older(), "rl")


def _younger_run(path: Path) -> Path:
    with RunDir.open(path, Config(), "rl") as run:
        run.checkpoint(1, save("a"))
    return path


def test_a_live_reader_leaves_out_the_torn_last_line(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.append_traces([trace(1)])
        reader = RunDir.read(tmp_path)
        assert len(list(reader.traces())) == 1
        with (tmp_path / "traces.jsonl").open("a") as file:
            file.write('{"schema_version": 1, "ori')
        assert len(list(reader.traces())) == 1
        assert reader.summary() is None


def test_odd_characters_do_not_end_a_run(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl") as run:
        run.append_traces([trace(1, "a\ud800b\x00\u2028\n")])
        assert [t.text for t in run.traces()] == ["a?b\x00\u2028\n"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with RunDir.open(tmp_path, Config(), "rl"), pytest.raises(ValueError, match=f"is in use by process {os.getpid()}"):
        RunDir.open(tmp_path, Config(), "rl")
    RunDir.open(tmp_path, Config(), "rl").close()


HOLD = """
import os, sys, time
from pathlib import Path
from srpo.runs.lock import Lock
lock = Lock(Path(sys.argv[1]))
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_no_lock_even_if_its_worker_lives_on(tmp_path: Path) -> None:
    RunDir.open(tmp_path, Config(), "rl").close()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        try:
            with pytest.raises(ValueError, match=f"is in use by process {holder.pid}"):
                RunDir.open(tmp_path, Config(), "rl")
            holder.kill()
            holder.wait()
            os.kill(worker, 0)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    RunDir.open(tmp_path, Config(), "rl").close()
                    break
                except ValueError:
                    time.sleep(0.01)
            else:
                pytest.fail("the lock outlived the process that held it")
        finally:
            os.kill(worker, signal.SIGKILL)
