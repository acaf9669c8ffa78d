"""Fixtures that several rings share. Torch is imported only by the tests that ask for a tiny model."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

# `device: auto` must mean the CPU on every machine; tests of a GPU set the variable themselves.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Under nohup SIGHUP is ignored, in a shell's background SIGINT, and children inherit that; tests send both.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine must not fail a property, and a failure must be the same on every machine.
settings.register_profile("srpo", deadline=None, derandomize=True)
settings.load_profile("srpo")

CORPUS = ["How many bars? red=5\nblue=3\n5+3=8", "Which two bars add up to 12?", "I guess 7\n"] * 20


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Untrained tiny checkpoints by family, with weights large enough that attention is not flat."""
    built: dict[str, Path] = {}

    def checkpoint(family: str) -> Path:
        if family not in built:
            out = tmp_path_factory.mktemp("tiny") / family
            match family:
                case "qwen2_5_vl" | "qwen3_vl":
                    import torch

                    from srpo.tiny.model import TinyConfig, build_tiny

                    torch.set_num_threads(1)
                    config = TinyConfig(
                        family=family, hidden_size=64, num_layers=2, num_merges=30, initializer_range=0.15
                    )
                    built[family] = build_tiny(config, CORPUS, out, seed=0)
                case _:
                    from tests.support.tiny_families import BUILDERS

                    built[family] = BUILDERS[family](checkpoint("qwen2_5_vl"), out)
        return built[family]

    return checkpoint


@pytest.fixture
def tiny_policy(tiny_checkpoint: Callable[[str], Path]) -> "Policy":
    """A fresh tiny Qwen2.5-VL policy, vision tower trainable."""
    from srpo.policy.load import load_policy

    return load_policy(tiny_checkpoint("qwen2_5_vl"), freeze_vision=False)
