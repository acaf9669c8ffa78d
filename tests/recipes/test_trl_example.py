"""`examples/trl_srpo.py` trains the tiny model in TRL's own trainer, on one process and on two.

It needs SRPO_TRL_PYTHON, a python that has trl (docs/engines.md).
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from srpo.export.run import export
from tests.support.export_run import make_run

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SRPO_TRL_PYTHON")
TERMS = {"format", "accuracy", "effect", "reflection", "length"}


def train(folder: Path, launcher: list[str], num_samples: int) -> tuple[str, list[dict[str, Any]]]:
    """What the example prints, and what TRL logged of each step."""
    export([str(make_run(folder))], folder / "data", formats=["trl-rl"])
    data, tiny = folder / "data/trl-rl/train.parquet", ROOT / "src/srpo/assets/tiny-base"
    small = ["--max_steps", "2", "--max_tokens", "48", "--num_samples", str(num_samples), "--use_cpu"]
    result = subprocess.run(
        [*launcher, str(ROOT / "examples/trl_srpo.py"), str(data), str(tiny), "--out", str(folder / "out"), *small],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'scripts/torchvision_cpu'}",
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(folder / "hub"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    state = json.loads((folder / "out/trainer_state.json").read_text())
    return result.stdout, [one for one in state["log_history"] if "reward" in one]


@pytest.mark.slow
@pytest.mark.skipif(PYTHON is None, reason="needs SRPO_TRL_PYTHON, a python that has trl")
@pytest.mark.parametrize("num_processes", [1, 2])
def test_trl_trains_with_every_term_as_a_curve(num_processes: int, tmp_path: Path) -> None:
    assert PYTHON is not None
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node", str(num_processes)]
    said, steps = train(tmp_path, [PYTHON, *(torchrun if num_processes > 1 else [])], num_samples=4)
    assert f"{num_processes} processes" in said
    assert len(steps) == 2
    for step in steps:
        assert {f"srpo/{term}" for term in TERMS} <= step.keys()
        weights = {"format": 0.5, "accuracy": 0.5, "effect": 1.0, "reflection": 1.0, "length": 0.1}
        total = sum(weights[term] * float(step[f"srpo/{term}"]) for term in TERMS)
        assert float(step["reward"]) == pytest.approx(total, abs=1e-4)
        assert float(step["srpo/ungraded"]) == 0
