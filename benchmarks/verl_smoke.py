"""Do whole runs on verl work? `make verl-smoke`; needs SRPO_VERL_SMOKE_PYTHON (docs/clusters.md).

The tiny model, on the CPU, with vLLM's CPU build as verl's sampler: traces by `srpo reflect`, a cold start from them on
verl (`verl_smoke_sft`), then three steps of GRPO on problems with pictures. The runs have to end by themselves, rewards
to differ, the language model to move and the vision tower not, and the run directory to hold rows and traces of
every step, of which `srpo report` makes its page.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import verl_smoke_files, verl_smoke_sft
from srpo.engines.verl.journal import groups_of
from srpo.engines.verl.merge import RL_NAMES, LaunchReader, credits_of, is_kept, launches
from srpo.rl.config import RlConfig
from srpo.runs.reader import RunReader, read_run_config

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
VARIABLE = "SRPO_VERL_SMOKE_PYTHON"
STEPS, NUM_PROMPTS, GROUP = 3, 4, 4
TOLERANCE = 1e-5
SHOWN = ("step", "rl/reward/mean", "rl/reward/std", "rl/format_rate", "rl/first_accuracy", "rl/final_accuracy",
         "rl/groups/sampled", "rl/groups/kept", "rl/loss", "rl/grad_norm", "rl/importance/mean", "rl/lr")  # fmt: skip
FOLDERS = ("scripts/torchvision_cpu", "scripts/verl_cpu")
OVERRIDES = (
    "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    "data.dataloader_num_workers=0",
    "actor_rollout_ref.model.use_remove_padding=False",
    "+actor_rollout_ref.model.override_config.attn_implementation=sdpa",
    "+actor_rollout_ref.rollout.enable_sleep_mode=False",
    "actor_rollout_ref.rollout.free_cache_engine=False",
    # vLLM's CPU build that began with random weights writes wrong texts with the real ones, too.
    "actor_rollout_ref.rollout.load_format=auto",
    "actor_rollout_ref.rollout.enforce_eager=True",
    "actor_rollout_ref.rollout.enable_chunked_prefill=False",
    "actor_rollout_ref.rollout.max_num_batched_tokens=4096",
    "actor_rollout_ref.rollout.max_num_seqs=32",
    "+actor_rollout_ref.rollout.engine_kwargs.vllm.limit_mm_per_prompt={image:1,video:0}",
)
"""What verl needs on a machine of few cores and no GPU; nothing of the method."""

MERGED = "actor_rollout_ref.model.lora.merge=True"
"""verl 0.9.1 hands adapters to vLLM 0.24 in a way that vLLM 0.32 knows no more; merged weights it takes."""


def reflect(work: Path) -> Path:
    """Traces to learn the five blocks from."""
    srpo("reflect", "recipes/tiny/reflect.yaml", "--data.drawn.count", "600", "--out", work / "reflect")
    return work / "reflect"


def cold_start(work: Path) -> Path:
    """A model that writes the five blocks, trained by srpo alone."""
    srpo("sft", "recipes/tiny/sft.yaml", "--traces", reflect(work), "--out", work / "sft")
    return work / "sft/model"


def engine(options: argparse.Namespace) -> dict[str, Any]:
    """Processes on the CPU that take themselves for GPUs, started here or on a cluster."""
    environment = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in FOLDERS),
        "VERL_USE_EXTERNAL_MODULES": "verl_cpu_platform",
        "VERL_PLATFORM": "cpu",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # verl's SFT starts Ray without a word about the machine; a cluster knows what it has.
        **(
            {}
            if options.address
            else {"RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 16 * options.gpus, "GPU": options.gpus})}
        ),
    }
    return {
        "kind": "verl",
        "gpus": options.gpus,
        "workers": 1,
        "python": options.python,
        "address": options.address,
        "environment": environment,
    }


def run(engine: dict[str, Any], model: Path, out: Path, lora: int) -> float:
    """Train on verl, adapters of that rank unless it is 0; returns the seconds that it took."""
    config = {
        "model": str(model),
        "data": {"drawn": {"split": "train", "count": 64, "seed": 2}},
        "prompt": "bare",
        "credit": "segment",
        "optim": {"lr": 1e-4, "schedule": "constant", "warmup_steps": 1},
        "num_prompts": NUM_PROMPTS,
        "group_size": GROUP,
        "steps": STEPS,
        "max_tokens": 128,
        "symbolic": False,
        "dtype": "float32",
        "traces_per_step": NUM_PROMPTS,
        "checkpoint_every": STEPS,
        "lora": {"rank": lora} if lora else None,
        "engine": {**engine, "overrides": [*OVERRIDES, *([MERGED] if lora else [])]},
    }
    file = out.parent / "rl.yaml"
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    began_s = time.perf_counter()
    srpo("rl", file, "--out", out)
    return time.perf_counter() - began_s


def measure(model: Path, out: Path) -> dict[str, Any]:
    """What the run has left."""
    reader = RunReader(out, read_run_config(out))
    rows, traces = list(reader.metrics()), list(reader.traces())
    return {
        "steps": [{name: row[name] for name in SHOWN if name in row} for row in rows],
        "traces": len(traces),
        "traces_with_pictures": sum(bool(trace.problem.images) for trace in traces),
        "responses": sum(1 for file in out.glob("engine/launch-*/rewards/*.jsonl") for _ in file.open()),
        "distinct_rewards": len({trace.reward.total for trace in traces if trace.reward is not None}),
        "advantages": _advantages(out),
        "weights": _moved(model, out / "model"),
    }


def _advantages(out: Path) -> list[dict[str, float]]:
    """Largest and smallest advantage of a token in every step: what verl learned from, and what ours are."""
    config = RlConfig.model_validate(read_run_config(out).config)
    (launch,) = launches(out / "engine")
    found: list[dict[str, float]] = []
    for step in LaunchReader(launch, RL_NAMES, after=-1).new():
        kept = [group for group in groups_of(step.train) if is_kept(group, config)]
        tokens = [token for group in kept for credit in credits_of(group, config) for token in credit.tokens]
        row = {"step": float(step.number), "kept": float(len(kept)), "max": max(tokens), "min": min(tokens)}
        found.append(row | {f"verl_{end}": step.metrics[f"verl/advantage/{end}"] for end in ("max", "min")})
    return found


def _credited_as_ours(row: dict[str, float]) -> bool:
    # Groups beyond those that a step takes are among ours alone.
    ends = ("max", "min")
    if row["kept"] == NUM_PROMPTS:
        return all(abs(row[end] - row[f"verl_{end}"]) < TOLERANCE for end in ends)
    return row["min"] - TOLERANCE <= row["verl_min"] < row["verl_max"] <= row["max"] + TOLERANCE


def _moved(before: Path, after: Path) -> dict[str, float]:
    """Share of the weights that moved, of the language model and of the tower."""
    from safetensors.torch import load_file

    start, end = (load_file(folder / "model.safetensors") for folder in (before, after))
    found: dict[str, list[int]] = {"language": [0, 0], "vision": [0, 0]}
    for name, value in start.items():
        part = found["vision" if ".visual." in f".{name}" else "language"]
        part[0] += int((end[name].to(value.dtype) != value).sum())
        part[1] += value.numel()
    return {name: moved / total for name, (moved, total) in found.items()}


def check(found: dict[str, Any]) -> list[str]:
    """What is wrong with it."""
    steps = found["steps"]
    wrong = {
        f"{len(steps)} rows, not {STEPS}": len(steps) != STEPS,
        "rewards do not differ": any(not row.get("rl/reward/std") for row in steps),
        "no gradient": any(not row.get("rl/grad_norm") for row in steps),
        # Under adapters, embeddings and norms stay as they are.
        "the language model stood still": found["weights"]["language"] < (0.3 if found["lora"] else 0.9),
        "the vision tower moved": found["weights"]["vision"] > 0,
        "advantages are not ours": not all(map(_credited_as_ours, found["advantages"])),
        "too few responses": found["responses"] < STEPS * NUM_PROMPTS * GROUP,
        "traces lack their pictures": found["traces_with_pictures"] < found["traces"] or not found["traces"],
    }
    return [what for what, is_so in wrong.items() if is_so]


def as_table(found: dict[str, Any]) -> str:
    """The steps, for people."""
    names = [name for name in SHOWN if any(name in row for row in found["steps"])]
    cells = [names, ["---"] * len(names), *([f"{row[name]:.4g}" for name in names] for row in found["steps"])]
    table = "\n".join("| " + " | ".join(row) + " |" for row in cells)
    moved = _told(found["weights"])
    return f"# Three steps of GRPO on verl, on a CPU\n\n{table}\n\nWeights that moved: {moved}. {found['seconds']} s.\n"


def _told(weights: dict[str, float]) -> str:
    return ", ".join(f"{part} {share:.1%}" for part, share in weights.items())


def srpo(*words: str | Path) -> None:
    """A command of srpo, as a user types it."""
    subprocess.run([sys.executable, "-m", "srpo", *map(str, words)], cwd=ROOT, check=True)


def as_table_sft(found: dict[str, Any]) -> str:
    """The cold start, for people."""
    return (
        f"\n# The cold start on verl, on a CPU\n\n{found['steps']} steps on {found['traces']} traces, stopped after an "
        f"epoch by Ctrl-C and gone on with; loss of every 32nd step: {found['loss_of_every_32nd']}. "
        f"Weights that moved: {_told(found['weights'])}. {found['seconds']} s.\n"
    )


def smoke_sft(options: argparse.Namespace, traces: Path) -> tuple[Path, dict[str, Any]]:
    """The cold start on verl: its model, and what it left."""
    out = options.work / "sft"
    seconds = verl_smoke_sft.run(verl_smoke_sft.settings(traces.resolve(), engine(options)), out, ROOT)
    start = ROOT / "src/srpo/assets/tiny-base"
    return out / "model", {
        "seconds": round(seconds),
        **verl_smoke_sft.measure(out),
        "weights": _moved(start, out / "model"),
    }


def smoke_rl(options: argparse.Namespace, model: Path) -> dict[str, Any]:
    """GRPO on verl, and what it left."""
    out = options.work / "rl"
    seconds = run(engine(options), model.resolve(), out, options.lora)
    found = {"seconds": round(seconds), "lora": options.lora, **measure(model, out)}
    srpo("report", out, "--out", options.work / "report.html")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=os.environ.get(VARIABLE, ""))
    parser.add_argument("--gpus", type=int, default=1, help="processes that take themselves for GPUs")
    parser.add_argument("--lora", type=int, default=0, help="GRPO trains adapters of this rank; 0 trains all weights")
    parser.add_argument("--address", default="", help="dashboard of a Ray cluster on this machine: docs/clusters.md")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/verl-smoke")
    parser.add_argument("--stage", choices=("sft", "rl", "both"), default="both")
    parser.add_argument("--traces", type=Path, help="a run of `srpo reflect` that is there already")
    parser.add_argument("--model", type=Path, help="with --stage rl: a cold start that is there already")
    parser.add_argument("--results", type=Path, default=RESULTS / "verl_smoke.json")
    options = parser.parse_args()
    if not options.python:
        print(f"left out: {VARIABLE} names no python that has verl and vLLM's CPU build (docs/clusters.md)")
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    where = "as a Ray job" if options.address else "as a process"
    found: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, no GPU, {platform.machine()}",
        "started": f"{where}, {options.gpus} worker{'s' if options.gpus > 1 else ''}",
    }
    model, wrong, text = options.model, [], ""
    if options.stage != "rl":
        model, found["sft"] = smoke_sft(options, options.traces or reflect(options.work))
        wrong, text = verl_smoke_sft.check(found["sft"]), as_table_sft(found["sft"])
    if options.stage != "sft":
        found["rl"] = smoke_rl(options, model or cold_start(options.work))
        wrong, text = wrong + check(found["rl"]), as_table(found["rl"]) + text
    stages = {"sft": ["sft"], "rl": ["rl"], "both": ["sft", "rl"]}[options.stage]
    verl_smoke_files.keep([options.work.resolve() / stage for stage in stages], options.results.parent)
    options.results.with_suffix(".md").write_text(text.lstrip(), encoding="utf-8")
    options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1), *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
