"""Several seeds of the demo, put together: means over seeds, intervals over seeds and problems.

    for seed in 0 1 2; do srpo demo --seed $seed --out runs/demo-$seed; done
    python -m benchmarks.demo_seeds runs/demo-0 runs/demo-1 runs/demo-2

The demo looks at the `dev` split, on which its settings were chosen (with seed 0): `make evidence` has the test split.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from srpo.core.looking import looks_again
from srpo.core.records import Response
from srpo.core.statistics import seed_difference
from srpo.core.summary import accuracy_by_problem
from srpo.runs.directory import RunDir
from srpo.runs.files import write_atomic
from srpo.runs.provenance import provenance

RESULTS = Path("benchmarks/results/demo.json")
COMPARISONS = (("srpo", "sft"), ("srpo", "base"), ("srpo", "grpo"), ("srpo", "base-work"), ("srpo", "grpo-work"))


def document_of(demos: Sequence[Path]) -> dict[str, Any]:
    """Everything about these demos."""
    summaries = [json.loads((demo / "summary.json").read_text(encoding="utf-8")) for demo in demos]
    made = provenance()
    return {
        "command": "python -m benchmarks.demo_seeds, over srpo demo --seed "
        + " ".join(str(one["seed"]) for one in summaries),
        "hardware": made.system,
        "commits": [summary["commit"] for summary in summaries],
        "rows": {name: _row([summary["stages"][name] for summary in summaries]) for name in summaries[0]["stages"]},
        "differences": {f"{ours} - {theirs}": _difference(demos, ours, theirs) for ours, theirs in COMPARISONS},
        "looks_again": {stage: _looking(demos, stage) for stage in ("sft", "srpo")},
    }


def _row(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "first": fmean(stage["first_accuracy"] for stage in stages),
        "final": fmean(stage["final_accuracy"] for stage in stages),
        "final_per_seed": [stage["final_accuracy"] for stage in stages],
        "wrong_right": fmean(stage["transitions"]["wrong→right"] for stage in stages),
        "right_wrong": fmean(stage["transitions"]["right→wrong"] for stage in stages),
        "tokens": fmean(stage["mean_tokens"] * stage["num_samples"] for stage in stages),
        "by_family": {
            family: {
                key: fmean(stage["by_family"][family][f"{key}_accuracy"] for stage in stages)
                for key in ("first", "final")
            }
            for family in stages[0]["by_family"]
        },
    }


def _difference(demos: Sequence[Path], ours: str, theirs: str) -> dict[str, float]:
    """Final accuracy, paired over problems and seeds, with its 95% interval."""
    pairs = [(_accuracy(demo, ours), _accuracy(demo, theirs)) for demo in demos]
    return seed_difference(pairs)._asdict()


def _accuracy(demo: Path, stage: str) -> dict[str, float]:
    return accuracy_by_problem(RunDir.read(demo / f"eval-{stage}").traces())


def _looking(demos: Sequence[Path], stage: str) -> dict[str, float]:
    """Share of held-out reflections that look again, by the first answer."""
    looks: dict[str, list[bool]] = {"first_right": [], "first_wrong": []}
    for demo in demos:
        for trace in RunDir.read(demo / f"eval-{stage}").traces():
            if isinstance(trace.parsed, Response):
                group = "first_right" if trace.first_grade.is_correct else "first_wrong"
                looks[group].append(looks_again(trace.parsed.reflection, trace.parsed.first))
    return {group: fmean(found) for group, found in looks.items()}


def markdown_of(document: dict[str, Any]) -> str:
    """The same as tables."""
    lines = [
        f"{len(document['commits'])} seeds, split `dev`, temperature 1. {document['hardware']}.",
        "",
        "| | first answer | final answer | seeds | wrong→right | right→wrong | tokens a problem |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in document["rows"].items():
        seeds = " ".join(f"{final:.3f}" for final in row["final_per_seed"])
        shares = [f"{row[key]:.3f}" for key in ("first", "final")]
        moved = [f"{row[key]:.3f}" if name in ("sft", "srpo") else "" for key in ("wrong_right", "right_wrong")]
        lines.append(f"| {' | '.join([name, *shares, seeds, *moved, format(row['tokens'], '.0f')])} |")
    lines += ["", "| final answer, paired | points [95%] |", "|---|---|"]
    for name, found in document["differences"].items():
        mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
        lines.append(f"| {name} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] |")
    lines += ["", "| family | sft, first → final | srpo, first → final |", "|---|---|---|"]
    sft, srpo = (document["rows"][name]["by_family"] for name in ("sft", "srpo"))
    lines += [
        f"| {family} | {sft[family]['first']:.3f} → {sft[family]['final']:.3f} "
        f"| {srpo[family]['first']:.3f} → {srpo[family]['final']:.3f} |"
        for family in sft
    ]
    lines += ["", "| reflections that look again | after a right first answer | after a wrong one |", "|---|---|---|"]
    for stage, found in document["looks_again"].items():
        lines.append(f"| {stage} | {found['first_right']:.3f} | {found['first_wrong']:.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the results file and its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", nargs="+", type=Path, help="directories that `srpo demo --out` made")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    document = document_of(arguments.demos)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(arguments.results, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_atomic(arguments.results.with_suffix(".md"), markdown_of(document))
    print(f"{arguments.results}\n{markdown_of(document)}")


if __name__ == "__main__":
    main()
