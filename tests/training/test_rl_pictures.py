"""Prompts with pictures: kept, bounded, prepared ahead, and a broken file does not end a run."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from srpo.config.load import to_yaml
from srpo.core.records import Problem
from srpo.data.images import load_image
from srpo.policy import prompts
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder
from srpo.rl.problems import readable
from srpo.rl.run import run
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped
from srpo.sft.run import run as run_sft
from tests.support.training import DyingRun, results, rl_config, sft_config, write_traces
from tests.training.test_processes import wait_for_rows


def problem(name: str, image: Path) -> Problem:
    return Problem(id="same", question=f"{name}?", answer="1", images=(str(image),))


def test_unreadable_pictures_are_named_and_left_out(
    tiny_policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    problems = [problem("a", tmp_path / "good.png"), problem("b", tmp_path / "bad.png")]
    encoder = PromptEncoder(tiny_policy, "bare", size=4, max_pixels=None)
    assert [start.problem for start in readable(encoder, problems)] == problems[:1]
    assert "bad.png" in capsys.readouterr().err


def test_prompts_are_kept_up_to_a_bound_and_told_apart_by_content(tiny_policy: Policy, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "a.png")
    Image.new("RGB", (60, 60), "blue").save(tmp_path / "b.png")
    first, second = problem("x", tmp_path / "a.png"), problem("x", tmp_path / "b.png")
    encoder = PromptEncoder(tiny_policy, "bare", size=1, max_pixels=None)
    one, other = encoder.encode_all([first, second])
    assert one.pixel_values is not None
    assert other.pixel_values is not None
    assert not torch.equal(one.pixel_values, other.pixel_values), "equal ids must not be taken for equal problems"
    assert encoder.encode_all([second])[0] is other
    assert encoder.encode_all([first])[0] is not one, "only one prompt is kept"


def test_prompts_are_kept_up_to_a_number_of_bytes(
    tiny_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [problem(name, tmp_path / f"{name}.png") for name in "abc"]
    for number, one in enumerate(few):
        Image.new("RGB", (60, 60), (number, 0, 0)).save(one.images[0])
    encoder = PromptEncoder(tiny_policy, "bare", size=100, max_pixels=None)
    first, *_ = encoder.encode_all(few)
    assert encoder.encode_all(few[:1])[0] is first
    monkeypatch.setattr(prompts, "MOST_KEPT_BYTES", 2 * first.num_bytes)
    encoder.encode_all(few[1:])
    assert encoder.encode_all(few[:1])[0] is not first, "two others have its place"


def few_pictures(tmp_path: Path, *names: str) -> list[Problem]:
    for number, name in enumerate(names):
        Image.new("RGB", (60 + 30 * (number % 2), 60), (40 * number, 0, 0)).save(tmp_path / f"{name}.png")
    return [problem(name, tmp_path / f"{name}.png") for name in names]


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every picture that is read, and the thread that reads it."""
    found: list[tuple[str, str]] = []
    load = load_image

    def reading(ref: str, **how: Any) -> Any:
        found.append((Path(ref).stem, threading.current_thread().name))
        return load(ref, **how)

    monkeypatch.setattr(prompts, "load_image", reading)
    return found


def test_workers_make_the_same_prompts_and_errors_as_in_line(
    tiny_policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = few_pictures(tmp_path, *"abcd")
    (tmp_path / "b.png").write_bytes(b"no picture")
    text = Problem(id="text", question="2+3=", answer="5")
    asked = [*problems, text, problems[0]]
    plain = readable(PromptEncoder(tiny_policy, "bare", size=0, max_pixels=3000), asked)
    said = capsys.readouterr().err
    read = recorded(monkeypatch)
    with closing(PromptEncoder(tiny_policy, "bare", size=0, max_pixels=3000, workers=2)) as encoder:
        encoder.prepare(asked[:3])
        ahead = readable(encoder, asked)
        assert said == capsys.readouterr().err
        with pytest.raises(ValueError, match=r"b\.png: not a picture"):
            encoder.encode_all(problems)
    assert [start.problem for start in ahead] == [start.problem for start in plain]
    for one, other in zip(ahead, plain, strict=True):
        assert torch.equal(one.prompt.input_ids, other.prompt.input_ids)
        assert (one.prompt.pixel_values is None) == (other.prompt.pixel_values is None)
        if one.prompt.pixel_values is not None and other.prompt.pixel_values is not None:
            assert torch.equal(one.prompt.pixel_values, other.prompt.pixel_values)
    first = read[: len("abcd")]
    assert sorted(name for name, _ in first) == list("abcd"), "each is read once"
    by_workers = {name for name, thread in first if thread.startswith("pictures")}
    assert by_workers == set("abc"), "d was not announced"


def test_pictures_that_are_not_wanted_any_more_are_let_go(
    tiny_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = few_pictures(tmp_path, *"abcdef")
    gate, load = threading.Event(), load_image
    read: list[str] = []

    def slow(ref: str, **how: Any) -> Any:
        gate.wait(10)
        read.append(Path(ref).stem)
        return load(ref, **how)

    monkeypatch.setattr(prompts, "load_image", slow)
    encoder = PromptEncoder(tiny_policy, "bare", size=8, max_pixels=None, workers=1)
    encoder.prepare(problems[:3])
    encoder.prepare(problems[2:5])
    gate.set()
    encoder.encode_all(problems[2:4])
    encoder.close()
    assert read[0] == "a", "a worker was at it already"
    assert "b" not in read
    assert "f" not in read
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


def children_of(pid: int) -> list[int]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):  # it has ended
                parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
                found += [int(place.name)] if int(parent) == pid else []
    return found


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "it outlived the command"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_picture_is_read_once_in_a_run_without_a_cache(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    problems = few_pictures(tmp_path, *"abcdefghi")
    data = tmp_path / "problems.jsonl"
    rows = [one.model_copy(update={"id": f"p{number}"}).model_dump_json() for number, one in enumerate(problems)]
    data.write_text("".join(row + "\n" for row in rows))
    others = [one.model_copy(update={"id": one.question}) for one in few_pictures(tmp_path, *"uvwxyz")]
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text("".join(one.model_dump_json() + "\n" for one in others))
    evaluation = {"data": str(held_out), "every": 4}
    config = rl_config(
        tiny_checkpoint("qwen2_5_vl"), data=str(data), steps=3, max_refills=0, max_tokens=4, min_format_rate=0,
        prompt_cache=0, picture_workers=workers, traces_per_step=0, eval=evaluation,
    )  # fmt: skip
    read = recorded(monkeypatch)
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir:
        run(config, run_dir)
    # The fourth step, which is not run, was looked ahead to.
    assert set(Counter(name for name, _ in read).values()) <= ({1, 2} if workers else {1})
    assert {name for name, _ in read} == set("abcdefghiuvwxyz")
    assert sorted(name for name, _ in read if name in "uvwxyz") == list("uvwxyz")
    assert all(thread.startswith("pictures") == bool(workers) for _, thread in read)


def test_a_second_ctrl_c_ends_workers_and_children_in_the_middle_of_a_step(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    evaluation = {"data": {"drawn": {"split": "dev", "families": ["bars"], "count": 2}}}
    config = rl_config(
        tiny_checkpoint("qwen2_5_vl"), num_prompts=64, group_size=16, max_tokens=400, min_format_rate=0,
        max_refills=0, picture_workers=2, processes=2, eval=evaluation,
    )  # fmt: skip
    (tmp_path / "rl.yaml").write_text(to_yaml(config), encoding="utf-8")
    run_path = tmp_path / "run"
    command = [sys.executable, "-m", "srpo", "rl", str(tmp_path / "rl.yaml"), "--out", str(run_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # The evaluation before the first step has been written: the step itself is under way.
        wait_for_rows(run_path, 1, process)
        children = children_of(process.pid)
        assert children
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "once more (Ctrl-C) to end at once" in said
    assert "stopped after step" not in said
    assert "Traceback" not in said
    wait_until_gone(children)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_run_may_go_on_with_other_workers(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, workers: int
) -> None:
    traces = write_traces(tmp_path)
    whole, torn = (
        sft_config(
            tiny_checkpoint("qwen2_5_vl"), traces, prompt_cache=0, picture_workers=number, epochs=1, batch_size=4
        )
        for number in (workers, 2 - workers)
    )
    with RunDir.open(tmp_path / "whole", whole, "sft") as run_dir:
        run_sft(whole, run_dir)
    with DyingRun.open(tmp_path / "torn", whole, "sft") as stopped:
        stopped.signal_at = 2
        with pytest.raises(Stopped):
            run_sft(whole, stopped)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]
    with RunDir.open(tmp_path / "torn", torn, "sft", may_change=("picture_workers",)) as run_dir:
        run_sft(torn, run_dir)
    assert results(tmp_path / "torn") == results(tmp_path / "whole")
