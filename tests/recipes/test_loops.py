"""The one-file loops are the algorithm of `srpo rl` and `srpo sft`: on the same seed they have the same losses."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from srpo.rl.config import RlConfig
from srpo.rl.run import run as rl
from srpo.runs.directory import RunDir
from srpo.sft.config import SftConfig
from srpo.sft.run import run as sft
from tests.support.training import write_traces

RECIPES = Path(__file__).parents[2] / "recipes"


def recipe(name: str) -> ModuleType:
    """A script of recipes/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def losses_of(run_dir: Path, key: str) -> list[float]:
    return [row[key] for row in RunDir.read(run_dir).metrics() if key in row]


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


@pytest.fixture
def cold_start(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> Path:
    """A model that writes the five blocks at times, and the run that made it."""
    config = SftConfig.model_validate(
        {
            "model": str(tiny_checkpoint("qwen2_5_vl")),
            "traces": (str(write_traces(tmp_path)),),
            "prompt": "bare",
            "batch_size": 8,
            "epochs": 40,
            "optim": {"lr": 3e-3, "schedule": "constant", "warmup_steps": 2},
        }
    )
    with RunDir.open(tmp_path / "cold", config, "sft") as run_dir:
        sft(config, run_dir)
    return tmp_path / "cold" / "model"


def test_the_sft_loop_has_the_losses_of_srpo_sft(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    loop, model, traces = recipe("sft_loop"), tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path)
    settings = {"model": str(model), "batch_size": 5, "epochs": 2}
    found = loop.main(loop.Settings(traces=str(traces), lr=3e-3, out=str(tmp_path / "loop"), **settings))
    config = SftConfig.model_validate(
        settings | {"traces": (str(traces),), "prompt": "bare", "freeze_vision": False, "optim": {"lr": 3e-3}}
    )
    with RunDir.open(tmp_path / "sft", config, "sft") as run_dir:
        sft(config, run_dir)
    assert len(found) == 8
    assert found == losses_of(tmp_path / "sft", "sft/loss")
    assert found[-1] < found[0]
    assert weights(tmp_path / "loop") == weights(tmp_path / "sft" / "model")


def test_the_rl_loop_has_the_losses_of_srpo_rl(tmp_path: Path, cold_start: Path) -> None:
    loop = recipe("rl_loop")
    settings = loop.Settings(
        model=str(cold_start),
        families=("bars",),
        num_problems=24,
        num_prompts=4,
        group_size=8,
        steps=3,
        lr=1e-3,
        max_tokens=60,
        out=str(tmp_path / "loop"),
    )
    found = loop.main(settings)
    config = RlConfig.model_validate(
        {
            "model": str(cold_start),
            "data": {"drawn": {"families": ["bars"], "count": 24, "seed": 0}},
            "prompt": "bare",
            "optim": {"lr": 1e-3},
            "num_prompts": 4,
            "group_size": 8,
            "steps": 3,
            "max_tokens": 60,
            "max_refills": 0,
            "symbolic": False,
            "check_images": False,
            "min_format_rate": 0,
        }
    )
    with RunDir.open(tmp_path / "rl", config, "rl") as run_dir:
        rl(config, run_dir)
    assert found, "no group had a signal, so nothing was compared"
    # On-policy losses are rounding errors around 0, so that equal ones say little: the weights must be the same bytes.
    assert found == losses_of(tmp_path / "rl", "rl/loss")
    assert weights(tmp_path / "loop") == weights(tmp_path / "rl" / "model") != weights(cold_start)
