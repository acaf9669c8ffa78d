"""From the evaluation runs of `evidence.py` to the results file and its table: pure reading and arithmetic."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from srpo.core.statistics import seed_difference
from srpo.core.summary import accuracy_by_problem
from srpo.eval.run import vote
from srpo.runs.directory import RunDir
from srpo.runs.files import write_atomic
from srpo.runs.provenance import provenance
from srpo.tiny.settings import Sizes

ROWS = {
    "base": "base, the bare question",
    "majority": "base, majority vote at SRPO's tokens",
    "base-work": "base, asked to work it out",
    "majority-work": "base, asked to work it out, majority of 3",
    "grpo": "GRPO from the base, the bare question",
    "grpo-work": "GRPO from the base, asked to work it out",
    "sft-careless": "cold start, teacher careless in half of the lessons",
    "srpo-careless": "SRPO from it, the paper's reward",
    "srpo-segment-careless": "from it, segment credit",
    "final-careless": "from it, reward on the final answer alone",
    "sft-careful": "cold start, teacher who always looks",
    "srpo-careful": "SRPO from it, the paper's reward",
    "srpo-segment-careful": "from it, segment credit",
    "final-careful": "from it, reward on the final answer alone",
    "sft-long": "SFT on long single attempts, equal tokens",
    "grpo-long": "GRPO from it",
    "sft-habits": "cold start whose first attempts have two habits, careless teacher",
    "srpo-habits": "SRPO from it",
    "sft-twin": "its twin: single attempts with two habits",
    "grpo-twin": "GRPO from it",
}
"""Arm -> what it is; those that were not run are left out."""
UNTRAINED = ("base", "base-work", "majority-work")
"""Evaluated once, not for each seed."""
VOTED = {"majority", "majority-work"}
COMPARISONS = (
    ("srpo-careless", "sft-careless"),
    ("srpo-careful", "sft-careful"),
    ("srpo-careless", "srpo-careful"),
    ("srpo-careless", "final-careless"),
    ("srpo-segment-careless", "srpo-careless"),
    ("srpo-careful", "final-careful"),
    ("srpo-careless", "base"),
    ("srpo-careless", "majority"),
    ("srpo-careless", "grpo"),
    ("srpo-careless", "grpo-work"),
    ("srpo-careless", "base-work"),
    ("srpo-careless", "grpo-long"),
    ("grpo-long", "base-work"),
    ("srpo-habits", "sft-habits"),
    ("srpo-habits", "grpo-twin"),
)


def write_results(out: Path, seeds: Sequence[int], results: Path, split: str, sizes: Sizes) -> None:
    """Write `results` (JSON) and the same as a Markdown table beside it."""
    present = [name for name in ROWS if _eval_dir(out, name, seeds[0], "t1").exists()]
    rows = {name: _row(out, name, seeds) | {"what": ROWS[name]} for name in present}
    made = provenance()
    document = {
        "command": "make evidence",
        "split": split,
        "seeds": list(seeds),
        "sizes": {key: getattr(sizes, key) for key in sizes.__slots__},
        "hardware": made.system,
        "versions": {"srpo": made.srpo_version, "python": made.python, **made.libraries},
        "commit": made.commit,
        "rows": rows,
        "differences": {
            f"{ours} - {theirs}": {label: _difference(out, ours, theirs, label, seeds) for label in ("t1", "greedy")}
            for ours, theirs in COMPARISONS
            if {ours, theirs} <= rows.keys()
        },
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(results, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_atomic(results.with_suffix(".md"), _markdown(document))
    print(f"{results}\n{_markdown(document)}")


def summary_of(run: Path) -> dict[str, Any]:
    """What a finished run wrote last."""
    found = RunDir.read(run).summary()
    if found is None:
        raise ValueError(f"{str(run)!r} has not finished; run make evidence again")
    return found


def _eval_dir(out: Path, name: str, seed: int, label: str) -> Path:
    return out / (f"eval-{name}-{label}" if name in UNTRAINED else f"eval-{name}-s{seed}-{label}")


def _row(out: Path, name: str, seeds: Sequence[int]) -> dict[str, Any]:
    labels = ("t1",) if name in VOTED else ("t1", "greedy")
    row: dict[str, Any] = {label: _cell(out, name, seeds, label) for label in labels}
    if name in UNTRAINED or name in VOTED:
        return row
    trained = [out / f"{name}-s{seed}" for seed in seeds]
    summaries = [summary_of(run) for run in trained]
    row["train_tokens"] = [summary["tokens"] for summary in summaries]
    row["train_seconds"] = [round(summary["seconds"]) for summary in summaries]
    row["train_steps"] = [summary["steps"] for summary in summaries]
    return row


def _cell(out: Path, name: str, seeds: Sequence[int], label: str) -> dict[str, Any]:
    """Means over seeds, and every seed's own numbers."""
    summaries = [summary_of(_eval_dir(out, name, seed, label)) for seed in seeds]
    stages = [summary["stages"][0] for summary in summaries]
    final = [
        summary["majority_accuracy"] if name in VOTED else stage["final_accuracy"]
        for summary, stage in zip(summaries, stages, strict=True)
    ]
    return {
        "n": stages[0]["n"],
        "chance": stages[0]["chance"],
        "first": fmean(stage["first_accuracy"] for stage in stages),
        "final": fmean(final),
        "first_per_seed": [stage["first_accuracy"] for stage in stages],
        "final_per_seed": final,
        "transitions": {key: fmean(s["transitions"][key] for s in stages) for key in stages[0]["transitions"]},
        "format_rate": fmean(stage["format_rate"] for stage in stages),
        "tokens_per_problem": fmean(stage["mean_tokens"] * stage["num_samples"] for stage in stages),
        "by_family": {
            family: {
                "chance": stages[0]["by_family"][family]["chance"],
                "first": fmean(stage["by_family"][family]["first_accuracy"] for stage in stages),
                "final": fmean(stage["by_family"][family]["final_accuracy"] for stage in stages),
            }
            for family in stages[0]["by_family"]
        },
    }


def _difference(out: Path, ours: str, theirs: str, label: str, seeds: Sequence[int]) -> dict[str, float] | None:
    """Paired over the same problems and the same seeds, 95% interval over both."""
    if label == "greedy" and {ours, theirs} & VOTED:
        return None
    pairs = [(_accuracy(out, ours, seed, label), _accuracy(out, theirs, seed, label)) for seed in seeds]
    found = seed_difference(pairs)
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _accuracy(out: Path, name: str, seed: int, label: str) -> Mapping[str, float]:
    traces = RunDir.read(_eval_dir(out, name, seed, label)).traces()
    if name not in VOTED:
        return accuracy_by_problem(traces)
    return {problem: float(right) for problem, right in vote(traces).items()}


def _markdown(document: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, document["seeds"]))
    base = document["rows"]["base"]["t1"]
    lines = [
        f"Split `{document['split']}`, {base['n']} problems, chance {base['chance']:.3f}; seeds {seeds}.",
        f"{document['hardware']}, one thread a run; `{document['command']}`.",
        "",
        "| | T=1 first | T=1 final | w→r | r→w | greedy first | greedy final | format | tokens | tokens trained | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"].values():
        t1, greedy = row["t1"], row.get("greedy")
        shares = t1["transitions"]
        cells = [
            row["what"],
            f"{t1['first']:.3f}",
            f"{t1['final']:.3f}",
            f"{shares['wrong→right']:.3f}",
            f"{shares['right→wrong']:.3f}",
            f"{greedy['first']:.3f}" if greedy else "",
            f"{greedy['final']:.3f}" if greedy else "",
            f"{t1['format_rate']:.3f}",
            f"{t1['tokens_per_problem']:.0f}",
            f"{fmean(row['train_tokens']):,.0f}" if "train_tokens" in row else "",
            f"{fmean(row['train_seconds']):.0f}" if "train_seconds" in row else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| final accuracy, paired | T=1 | greedy |", "|---|---|---|"]
    for name, cell in document["differences"].items():
        shown = [
            f"{100 * d['mean']:+.1f} [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]" if d else ""
            for d in (cell["t1"], cell["greedy"])
        ]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"
