"""The data set card: what is in an export, where it came from, what was left out, and what it cost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srpo import __version__
from srpo.core.records import OUTCOMES, Rejected
from srpo.export import hf, llamafactory
from srpo.export.samples import Sample
from srpo.runs.reader import CONFIG, RunReader, read_run_config

_EXAMPLES = 5
_COUNTED = ("source", "family", "model", "teacher", "prompt")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LOAD = {
    "llamafactory": f"`--dataset_dir llamafactory --dataset {llamafactory.NAME}`",
    "trl": '`load_dataset("parquet", data_files="trl/train.parquet")`, as it is, into `SFTTrainer`',
    "verl": "`data.train_files=verl/sft.parquet` (multi-turn SFT), `verl/rl.parquet` (one row per problem)",
    "trl-rl": '`load_dataset("parquet", data_files="trl-rl/train.parquet")` into `GRPOTrainer`, one row per problem',
    "easyr1": "`data.train_files=easyr1/train.parquet data.prompt_key=prompt data.answer_key=answer`",
    "openrlhf": "`--data.prompt_dataset openrlhf/train.parquet --data.input_key prompt --data.label_key label`",
    "ms-swift": "`--dataset ms-swift/train.parquet`, with the reward `srpo` of `examples/ms_swift_srpo.py`",
    "hf": f'`load_dataset(".")`, one row per trace (`data/{hf.DATA_FILE}`)',
}

_ABOUT = """# Reflection data

Each sample is a question about pictures and a response of five blocks: first attempt (think, answer), a reflection upon
it, second attempt (think, answer). Every second answer was graded as right. Made with srpo {version} on {day}; the
method is SRPO (arXiv 2506.01713).
"""
_LICENCE = """## Licence

Questions and pictures have the licences of their sources, and what a model wrote is bound by the terms of its vendor:
fill in `license` above before you publish this.
"""


class Counts:
    """What the card counts, sample by sample."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.left_out: Counter[str] = Counter()
        self.examples: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.by: dict[str, Counter[str]] = {
            name: Counter() for name in ("source", "family", "model", "teacher", "prompt")
        }
        self.num_text_only = 0

    def take(self, item: Sample | Rejected) -> None:
        """Count one trace."""
        if isinstance(item, Rejected):
            self.left_out[item.reason] += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(f"{item.id or item.place}: {item.reason}{item.detail and f' ({item.detail})'}")
            return
        self.num_samples += 1
        self.num_text_only += not item.pictures
        trace, problem = item.trace, item.problem
        self.outcomes[trace.outcome or "ungradable"] += 1
        # `file:line`, `file[index]`: the file alone is the source.
        source = Path(problem.source.partition("[")[0].rpartition(":")[0] or problem.source).name
        origin = trace.origin
        named = {"source": source, "family": problem.family, "model": origin.model, "teacher": origin.teacher}
        for name, value in {**named, "prompt": origin.prompt}.items():
            self.by[name][value or "(none)"] += 1


def card(counts: Counts, places: Sequence[str], formats: Sequence[str], *, num_pictures: int) -> str:
    """The text of the card, in Markdown with the header that the hub reads."""
    samples = {
        "samples": counts.num_samples,
        "without a picture": counts.num_text_only,
        "different pictures (`manifest.jsonl` has their hashes)": num_pictures,
    }
    outcomes: dict[str, int] = {name: counts.outcomes[name] for name in OUTCOMES if counts.outcomes[name]}
    left_out = _table("at export", counts.left_out) if counts.left_out else "Every trace was exported.\n"
    parts = [_header(counts, formats), _ABOUT.format(version=__version__, day=datetime.now(UTC).date())]
    parts += [_table("samples", samples), _table("first → second answer", outcomes)]
    parts += [_table(name, dict(counter.most_common())) for name, counter in counts.by.items()]
    parts += ["## Load it\n", "".join(f"* {name}: {_LOAD[name]}\n" for name in formats)]
    parts += ["## What was left out\n", left_out, *(_run(Path(place)) for place in places), _LICENCE]
    return "\n".join(parts)


def _header(counts: Counts, formats: Sequence[str]) -> str:
    size = next((name for bound, name in _SIZES if counts.num_samples < bound), "n>1M")
    lines = ["---", "license: other", "task_categories:", "- image-text-to-text", "size_categories:", f"- {size}"]
    lines += ["tags:", "- srpo", "- reflection", "- multimodal-reasoning"]
    if "hf" in formats:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        lines += ["  - split: train", f"    path: data/{hf.DATA_FILE}"]
    return "\n".join([*lines, "---", ""])


def _run(path: Path) -> str:
    """What a run directory knows beyond its traces: rejects by reason, cost, settings."""
    if not (path / CONFIG).is_file():
        return ""
    run = RunReader(path, read_run_config(path))
    summary = run.summary() or {}
    parts = [f"## Run {path.name}\n"]
    rejected = summary.pop("rejected", {})
    if plain := dict(_flat(summary, "")):
        parts.append(_table("summary", plain))
    parts += [_table(f"rejected: {where}", reasons) for where, reasons in rejected.items()]
    provenance = run.config.provenance
    parts.append(f"srpo {provenance.srpo_version}, commit {provenance.commit or 'unknown'}, {provenance.system}.\n")
    return "\n".join(parts)


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, object]]:
    """The numbers and texts of a summary, those of its parts under `part.name`."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list):
            # What was spent is a list of one part per model.
            parts = {
                str(part.get("model", number)): part for number, part in enumerate(value) if isinstance(part, Mapping)
            }
            yield from _flat(parts, f"{before}{name}.")
        elif isinstance(value, int | float | str):
            yield f"{before}{name}", value


def _table(title: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {title} | |", "|---|---:|", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    """Text that cannot end a cell."""
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
