"""A model's folder for the hub, and its card: facts of the run, no paths of this machine, nothing that no run says."""

import json
from pathlib import Path

import pytest

from srpo.cli.push import COMMAND
from srpo.core.records import Record
from srpo.export.push import write_model_folder
from srpo.rl.config import RlConfig
from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig

PROMPT = {"name": "mine", "version": "1", "template": "Look | {problem}", "system": "Be brief."}
STAGE = {
    "name": "rl",
    "n": 200,
    "num_samples": 1,
    "first_accuracy": 0.5,
    "final_accuracy": 0.6,
    "first_interval": (0.43, 0.57),
    "final_interval": (0.53, 0.67),
    "transitions": {"right→right": 0.45, "wrong→right": 0.15, "right→wrong": 0.05, "wrong→wrong": 0.35},
    "counts": {"right→right": 90, "wrong→right": 30, "right→wrong": 10, "wrong→wrong": 70},
    "format_rate": 1.0,
    "ungradable": 0,
}


class EvalSettings(Record):
    model: str
    benchmark: str = "mathvista"
    temperature: float = 0.0
    max_tokens: int = 2048


def finished(place: Path, config: Record, stage: str, summary: dict[str, object], *, model: bool = True) -> Path:
    with RunDir.open(place, config, stage) as run:
        if model:
            run.save_model(save)
        run.finish(summary)
    return place


def save(path: Path) -> None:
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "srpo_prompt.json").write_text(json.dumps(PROMPT))
    (path / "adapter").mkdir()
    (path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "/home/me/base"}')


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A cold start, RL on it, and two evaluations of which one is of the RL model."""
    cold = SftConfig(model="Qwen/Qwen2.5-VL-3B-Instruct", traces=("/home/me/secret/runs/reflect",))
    finished(tmp_path / "sft", cold, "sft", {"steps": 12, "tokens": 34567})
    config = RlConfig.model_validate(
        {"model": str(tmp_path / "sft" / "model"), "data": "/home/me/secret/data/train.jsonl", "steps": 500}
    )
    metrics = {"rl/eval/first_accuracy": 0.41, "rl/eval/final_accuracy": 0.52}
    best = {"model": "x", "metric": "rl/eval/final_accuracy", "value": 0.55, "step": 300}
    finished(tmp_path / "rl", config, "rl", {"steps": 500, "metrics": metrics, "best": best})
    for name, model in (("eval", tmp_path / "rl" / "model"), ("other", tmp_path / "sft" / "model")):
        finished(tmp_path / name, EvalSettings(model=str(model)), "eval", {"stages": [STAGE]}, model=False)
    return tmp_path


def test_the_card_has_the_facts_of_all_runs_behind_a_model(runs: Path) -> None:
    assert COMMAND.run("srpo push", [str(runs / "rl"), "--repo", "me/reflects", "--dry_run"]) == 0
    folder = runs / "rl" / "push"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "srpo_prompt.json",
    ]
    card = (folder / "README.md").read_text()
    for fact in (
        "base_model: Qwen/Qwen2.5-VL-3B-Instruct",
        "| mathvista (greedy, at most 2048 tokens) | 200 | 50.0% [43.0%, 57.0%] | 60.0% [53.0%, 67.0%] | 5.0% |",
        "At the end of training 52.0% of its final answers to held-out problems were right (41.0% of the first ones)",
        "### 1. cold start",
        "### 2. reflection-aware GRPO",
        "| data | data/train.jsonl |",
        "| data | runs/reflect |",
        "| tokens | 34,567 |",
        "| best model | step 300, rl/eval/final_accuracy 0.55 |",
        "| commit | ",
        "lr: 1.0e-06",
        "trained with the prompt `mine/1`",
        "Look | {problem}",
        "Be brief.",
        "    srpo eval --model me/reflects --data YOUR_DATA",
    ):
        assert fact in card, fact
    assert "/home/me" not in card
    assert str(runs) not in card
    assert card.count("| mathvista") == 1, "the other evaluation is of another model"


def test_a_card_of_a_model_that_nobody_evaluated_claims_nothing(runs: Path) -> None:
    folder = write_model_folder(runs / "sft", runs / "folder", name="me/cold", prompt=None, evaluations=())
    assert "| mathvista" in (folder / "README.md").read_text()
    (runs / "other" / "summary.json").unlink()
    again = write_model_folder(runs / "sft", runs / "folder", name="me/cold", prompt=None)
    assert "No evaluation of this model stands beside its run; nothing is claimed." in (again / "README.md").read_text()
    assert (runs / "sft" / "model" / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rl", "--repo", "reflects"], "'reflects' is not OWNER/NAME"),
        (["rl", "--repo", "me/x", "--best"], "has no best model .`keep_best` keeps one"),
        (["eval", "--repo", "me/x"], "has no model"),
        (["none", "--repo", "me/x"], "has no model"),
    ],
)
def test_what_cannot_be_pushed_is_said(runs: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        COMMAND.run("srpo push", [str(runs / words[0]), *words[1:]])


def test_only_what_an_earlier_push_left_is_replaced(runs: Path, tmp_path: Path) -> None:
    def push(folder: Path) -> Path:
        return write_model_folder(runs / "rl", folder, name="me/rl", prompt=None)

    thesis = tmp_path / "papers" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years")
    with pytest.raises(ValueError, match=r"holds 'thesis.txt', which would be lost; name a new folder"):
        push(thesis.parent)
    with pytest.raises(ValueError, match="is a file"):
        push(thesis)
    with pytest.raises(ValueError, match="is the model itself"):
        push(runs / "rl" / "model")
    assert thesis.read_text() == "years"
    assert (runs / "rl" / "model" / "model.safetensors").read_bytes() == b"weights"
    again = push(push(tmp_path / "new"))
    assert (again / "model.safetensors").read_bytes() == b"weights"
