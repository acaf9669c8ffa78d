"""The cold start of `make verl-smoke` on verl itself: `srpo sft --engine verl`, stopped after an epoch, gone on with.

The traces are those of `srpo reflect`. Every step has to be logged once, in an order of traces that srpo computes again
(verl says how many tokens a batch had), the loss has to fall, and the language model to move without its tower.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from srpo.engines.verl.data import look_at_sft
from srpo.engines.verl.sft_order import tokens_by_step
from srpo.policy.load import load_outline
from srpo.runs.reader import RunReader, read_run_config
from srpo.sft.config import SftConfig

TIMEOUT_S = 3600
BATCH_SIZE, EPOCHS = 8, 2
OVERRIDES = ("trainer.device=cpu", "model.use_remove_padding=False", "+model.override_config.attn_implementation=sdpa")


def settings(traces: Path, engine: dict[str, Any]) -> dict[str, Any]:
    """Of the run: those of recipes/tiny/sft.yaml, the tower frozen, a checkpoint at the end of every epoch."""
    return {
        "model": "tiny-base",
        "traces": [str(traces)],
        "prompt": "bare",
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
        "optim": {"lr": 1.5e-3},
        "freeze_vision": True,
        "dtype": "float32",
        "checkpoint_every": len((traces / "traces.jsonl").read_text(encoding="utf-8").splitlines()) // BATCH_SIZE,
        "engine": {**engine, "overrides": list(OVERRIDES)},
    }


def run(config: dict[str, Any], out: Path, root: Path) -> float:
    """Train, stop it at the end of the first epoch, go on; returns the seconds that it took."""
    file = out.parent / "sft.yaml"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "srpo", "sft", str(file), "--out", str(out)]
    began_s = time.perf_counter()
    with subprocess.Popen(command, cwd=root) as first:
        while not (out / f"checkpoints/step-{config['checkpoint_every']:06d}").is_dir():
            if first.poll() is not None or time.perf_counter() - began_s > TIMEOUT_S:
                first.kill()
                raise SystemExit(f"no checkpoint of step {config['checkpoint_every']}: {first.returncode}")
            time.sleep(0.5)
        first.send_signal(signal.SIGINT)
        if first.wait(120) != 130:
            raise SystemExit(f"Ctrl-C: it ended with code {first.returncode}")
    subprocess.run(command, cwd=root, check=True, timeout=TIMEOUT_S)
    return time.perf_counter() - began_s


def measure(out: Path) -> dict[str, Any]:
    """What the run has left."""
    reader = RunReader(out, read_run_config(out))
    rows = list(reader.metrics())
    found = look_at_sft(config := SftConfig.model_validate(reader.config.config), load_outline("tiny-base"))
    lengths = [len(one.tokens) + 1 + found.asking.num_tokens(one.problem) for one in found.examples]  # and a line break
    sums = tokens_by_step(lengths, config.batch_size, len(rows))
    wrong = [
        row["step"] for row, last, this in zip(rows, sums, sums[1:], strict=False) if row["verl/tokens"] != this - last
    ]
    return {
        "traces": len(found.examples),
        "launches": len(list(out.glob("engine/launch-*"))),
        "steps": len(rows),
        "in_order": [row["step"] for row in rows] == list(range(1, len(rows) + 1)),
        "loss_of_every_32nd": [round(row["sft/loss"], 3) for row in rows[::32]],
        "loss_tokens": rows[-1]["sft/tokens"],
        "steps_of_other_traces": wrong,
    }


def check(found: dict[str, Any]) -> list[str]:
    """What is wrong with it."""
    losses = found["loss_of_every_32nd"]
    wrong = {
        "steps are missing or twice": not found["in_order"],
        "an epoch is lost": found["steps"] != found["traces"] // BATCH_SIZE * EPOCHS,
        "it has not gone on": found["launches"] != 2,
        "the loss does not fall": losses[-1] > losses[0] / 2,
        f"steps of other traces: {found['steps_of_other_traces']}": bool(found["steps_of_other_traces"]),
        "the language model stood still": found["weights"]["language"] < 0.9,
        "the vision tower moved": found["weights"]["vision"] > 0,
    }
    return [what for what, is_so in wrong.items() if is_so]
