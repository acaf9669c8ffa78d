"""The demo's plan and pipeline: sizes, refusals, and what a run leaves behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from srpo.tiny import settings
from srpo.tiny.demo import Demo


def test_sizes_follow_the_minutes_and_nothing_else() -> None:
    short, usual, long = (settings.sizes_for(minutes) for minutes in (3, 10, 60))
    assert short.rl_tokens < usual.rl_tokens < long.rl_tokens
    assert short.family_traces < usual.family_traces <= long.family_traces
    assert settings.sizes_for(10) == usual
    with pytest.raises(ValueError, match="too short"):
        settings.sizes_for(0)
    with pytest.raises(ValueError, match="too short"):
        settings.sizes_for(float("nan"))


def test_every_arm_gets_the_same_tokens_and_settings() -> None:
    sizes = settings.sizes_for(10)
    configs = {name: settings.rl_config(sizes, arm, "m", seed=3) for name, arm in settings.ARMS.items()}
    assert {config.token_budget for config in configs.values()} == {sizes.rl_tokens}
    assert {config.optim.schedule for config in configs.values()} == {"cosine"}
    assert configs["srpo"].preset == "paper"
    assert configs["grpo"].style == "single"
    assert configs["srpo-segment"].credit == "segment"


def run_demo(out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "srpo", "demo", "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def test_processes_train_together_what_the_background_does_not(tmp_path: Path) -> None:
    demo = Demo(tmp_path, settings.sizes_for(3), 0, processes=2)
    assert demo._sft_config().processes == demo._rl_config("srpo", "m").processes == 2
    assert demo._rl_config("grpo", "m").processes is None
    alone = Demo(tmp_path, settings.sizes_for(3), 0)
    assert alone._sft_config().processes is alone._rl_config("srpo", "m").processes is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--minutes", "0"), "--minutes 0"), (("--minuets", "3"), "--minuets"), (("--seed", "x"), "--seed")],
)
def test_wrong_flags_are_named(tmp_path: Path, arguments: tuple[str, str], said: str) -> None:
    result = run_demo(tmp_path / "demo", *arguments)
    assert result.returncode == 2
    assert said in result.stderr


def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    result = run_demo(tmp_path)
    assert result.returncode == 2
    assert "not a demo" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_the_background_stage_died_of_is_said_and_not_only_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "grpo").write_text("in the way")
    demo = Demo(tmp_path, settings.sizes_for(1), seed=0)
    with demo.in_background("grpo") as wait, pytest.raises(ValueError, match=r"exit code 2: .*grpo.*; see .*grpo\.log"):
        wait()


@pytest.mark.slow
def test_the_whole_method_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = run_demo(out, "--minutes", "1", "--seed", "5")
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip() == str(out / "report.html")
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["stages"]) == ["base", "base-work", "base-majority", "grpo", "grpo-work", "sft", "srpo"]
    for row in summary["stages"].values():
        low, high = row["interval"]
        assert 0 <= low <= row["final_accuracy"] <= high <= 1
        assert abs(sum(row["transitions"].values()) - 1) < 1e-6
        assert row["chance"] > 0
    assert summary["stages"]["sft"]["format_rate"] > 0.5, "the cold start teaches the format even in a short demo"
    html = (out / "report.html").read_text()
    assert "One problem, before and after" in html
    assert "Where the problems went" in html
    assert "When it looks, and what that does" in html
    assert "In half of them the teacher is careless" in html
    assert html.count("data:image/png;base64,") >= 30
    again = run_demo(out, "--minutes", "1", "--seed", "5")
    assert again.returncode == 0
    assert json.loads((out / "summary.json").read_text())["stages"] == summary["stages"]
