"""`benchmarks.gpu`, as far as a machine without a GPU and without TRL can tell."""

import sys
from typing import Any

import pytest

from benchmarks.gpu.planned import planned_bytes
from benchmarks.gpu.run import TINY, WORK
from benchmarks.gpu.shapes import QWEN_IDS, shape_config
from benchmarks.gpu.trl_step import trl_step


def test_a_peer_that_is_not_installed_is_a_row_that_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    nobody: Any = None
    row = trl_step(nobody, [], "", TINY)
    assert set(row) == {"error"}
    assert row["error"].startswith("not installed: ")
    assert "pip install trl==" in row["error"]


def test_the_plan_has_a_figure_for_each_row_of_ours() -> None:
    config = shape_config("tiny", ids=QWEN_IDS)
    # Prompts of the tiny load have few tokens; its vocabulary is the published one.
    planned = planned_bytes(config, TINY, text_tokens=20, free=1e9, kernels="cpu")
    assert set(planned) == {"tower", "sample", "learn", "step"} == {name for name in WORK if "/" not in name}
    assert 0 < planned["tower"] < planned["sample"] <= planned["step"]
    assert planned["learn"] > planned["tower"]
