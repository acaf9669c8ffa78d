"""The paper's ablations by config alone, on the demo's world: one command, one table.

    python -m benchmarks.ablations --out runs/ablations --seeds 0 1 2

Every arm starts from the demo's cold start of its seed and may generate the demo's tokens; what differs is one setting.
Evaluated on the demo's problems of the `dev` split, as `srpo demo` does. What is finished is not run again.
"""

import argparse
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from benchmarks.evidence import Job, run_all
from srpo.core.statistics import seed_difference
from srpo.core.summary import accuracy_by_problem
from srpo.policy.load import TINY_BASE
from srpo.report.metrics import curves_of, ends
from srpo.rl.config import RlConfig
from srpo.runs.directory import RunDir
from srpo.runs.files import write_atomic
from srpo.runs.provenance import provenance
from srpo.sft.config import SftConfig
from srpo.tiny import settings

SIZES = settings.sizes_for(10)
HALF_STEPS = 343
"""Optimizer steps of SFT on half of the demo's traces, twice."""


class Arm(NamedTuple):
    """One ablation."""

    what: str
    rl: dict[str, Any]
    """What differs in RL."""
    start: str = "sft"
    """The cold start that it begins with; `base`: none."""


ARMS: Final[dict[str, Arm]] = {
    "paper": Arm("SRPO, the paper's reward", {}),
    "no-effect": Arm("without I_eff", {"weights": {"effect": 0.0}}),
    "no-reflection": Arm("without I_ref", {"weights": {"reflection": 0.0}}),
    "no-length": Arm("without f_len (alpha 0)", {"weights": {"length": 0.0}}),
    "alpha": Arm("alpha 0.5", {"weights": {"length": 0.5}}),
    "floor": Arm("f_len asks for 70 tokens at least", {"length_floor": 70}),
    "released": Arm("the released reward", {"preset": "release-openrlhf"}),
    "answer": Arm("paid by the final answer alone", {"preset": "answer"}),
    "roll-ins": Arm("roll-ins, a quarter of the groups", {"roll_ins": 0.25}),
    "buffer": Arm("roll-ins from earlier steps, a quarter of the groups", {"roll_ins": 0.25, "roll_in_buffer": 20_000}),
    "recombine": Arm("recombined groups, a quarter", {"recombine": 0.25, "recombine_any": True}),
    "no-sft": Arm("without reflection SFT, from the base", {"min_format_rate": 0.0}, "base"),
    "half-data": Arm("cold start on half of the data", {}, "sft-half"),
}


_HEAD = (
    "| | first | final | seeds | w→r | r→w | tokens | against the paper's, points [95%] | "
    "first answer over training | total over training |"
)
_CURVES = {"first_over_training": "rl/first_accuracy", "reward_over_training": "rl/reward/mean"}
"""Key of a row -> metric."""


def jobs_of(out: Path, seeds: Iterable[int], arms: Iterable[str]) -> list[Job]:
    """Everything that the table needs, in an order in which it can run."""
    seeds, arms = list(seeds), list(arms)
    starts = _cold_starts(arms)
    jobs = [
        Job(name=f"reflect-s{seed}", stage="reflect", config=settings.reflect_config(SIZES, TINY_BASE, seed))
        for seed in seeds
    ]
    for name, seed in itertools.product(starts, seeds):
        config = _sft(out / f"reflect-s{seed}", name, seed)
        jobs.append(Job(name=f"{name}-s{seed}", stage="sft", config=config, after=(f"reflect-s{seed}",)))
        jobs.append(_evaluation(out, f"{name}-s{seed}", seed))
    # All seeds of one arm before the next: what is finished when somebody stops it can be read.
    for name, seed in itertools.product(arms, seeds):
        start = f"{ARMS[name].start}-s{seed}"
        is_base = ARMS[name].start == "base"
        rl = settings.rl_config(SIZES, settings.ARMS["srpo"], TINY_BASE if is_base else out / start / "model", seed)
        changed = RlConfig.model_validate(rl.model_dump() | ARMS[name].rl)
        jobs.append(Job(name=f"{name}-s{seed}", stage="rl", config=changed, after=() if is_base else (start,)))
        jobs.append(_evaluation(out, f"{name}-s{seed}", seed))
    return jobs


def _cold_starts(arms: Iterable[str]) -> list[str]:
    return [start for start in dict.fromkeys(ARMS[arm].start for arm in arms) if start != "base"]


def _sft(traces: Path, start: str, seed: int) -> SftConfig:
    config = settings.sft_config(TINY_BASE, [traces], seed)
    if start == "sft":
        return config
    # Half of every epoch, in its order: the schedule ends with it.
    return config.model_copy(update={"max_steps": HALF_STEPS})


def _evaluation(out: Path, name: str, seed: int) -> Job:
    config = settings.eval_config(
        name, out / name / "model", "reflective", split="dev", count=SIZES.eval_problems, temperature=1.0, seed=seed
    )
    return Job(name=f"eval-{name}", stage="eval", config=config, after=(name,))


def document_of(out: Path, seeds: Sequence[int], arms: Sequence[str]) -> dict[str, Any]:
    """The numbers of every arm that was run."""
    made = provenance()
    words = {"sft": "the cold start", "sft-half": "the cold start on half of the data"}
    starts = {start: words[start] for start in _cold_starts(arms)}
    names = [*starts, *arms]
    return {
        "command": f"python -m benchmarks.ablations --seeds {' '.join(map(str, seeds))} --arms {' '.join(arms)}",
        "hardware": made.system,
        "commit": made.commit,
        "rows": {name: _row(out, name, seeds) | {"what": starts.get(name) or ARMS[name].what} for name in names},
        "differences": {f"{name} - paper": _difference(out, name, seeds) for name in arms if name != "paper"},
    }


def _row(out: Path, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    summaries = [RunDir.read(out / f"eval-{name}-s{seed}").summary() for seed in seeds]
    stages = [summary["stages"][0] for summary in summaries if summary is not None]
    row: dict[str, Any] = {
        "first": fmean(stage["first_accuracy"] for stage in stages),
        "final": fmean(stage["final_accuracy"] for stage in stages),
        "final_per_seed": [stage["final_accuracy"] for stage in stages],
        "wrong_right": fmean(stage["transitions"]["wrong→right"] for stage in stages),
        "right_wrong": fmean(stage["transitions"]["right→wrong"] for stage in stages),
        "tokens": fmean(stage["mean_tokens"] for stage in stages),
    }
    if name in ARMS:
        row |= {key: _over_training(out, name, seeds, metric) for key, metric in _CURVES.items()}
    return row


def _over_training(out: Path, name: str, seeds: Sequence[int], metric: str) -> list[float]:
    """Means of the first and of the last tenth of the steps, over seeds."""
    found = []
    for seed in seeds:
        curves = curves_of(name, RunDir.read(out / f"{name}-s{seed}").metrics())
        found.append(ends(next(curve for curve in curves if curve.key == metric)))
    return [fmean(end) for end in zip(*found, strict=True)]


def _difference(out: Path, name: str, seeds: Sequence[int]) -> dict[str, float]:
    """Final accuracy against the paper's reward, paired over problems and seeds."""
    pairs = [(_right(out, name, seed), _right(out, "paper", seed)) for seed in seeds]
    return seed_difference(pairs)._asdict()


def _right(out: Path, name: str, seed: int) -> dict[str, float]:
    return accuracy_by_problem(RunDir.read(out / f"eval-{name}-s{seed}").traces())


def markdown_of(document: dict[str, Any]) -> str:
    """The same as a table."""
    lines = [
        f"Split `dev`, temperature 1; {document['hardware']}; `{document['command']}`.",
        "",
        _HEAD,
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in document["rows"].items():
        seeds = " ".join(f"{final:.3f}" for final in row["final_per_seed"])
        shares = [f"{row[key]:.3f}" for key in ("first", "final")]
        moved = [f"{row[key]:.3f}" for key in ("wrong_right", "right_wrong")]
        found = document["differences"].get(f"{name} - paper")
        mean, low, high = (100 * found[key] for key in ("mean", "low", "high")) if found else (0.0, 0.0, 0.0)
        against = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" if found else ""
        curves = [" → ".join(f"{end:.3f}" for end in row.get(key, ())) for key in _CURVES]
        cells = [row["what"], *shares, seeds, *moved, f"{row['tokens']:.0f}", against, *curves]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), help="default: all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/ablations.json"))
    arguments = parser.parse_args()
    arms = list(dict.fromkeys(["paper", *arguments.arms]))
    run_all(jobs_of(arguments.out, arguments.seeds, arms), arguments.out, arguments.workers)
    document = document_of(arguments.out, arguments.seeds, arms)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(arguments.results, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_atomic(arguments.results.with_suffix(".md"), markdown_of(document))
    print(f"{arguments.results}\n{markdown_of(document)}")


if __name__ == "__main__":
    main()
