"""The card of a trained model: from what, on what, with which settings, and how right it is, with intervals.

All of it is read from run directories; nothing is asked, and what no run says is not claimed. Paths of this machine are
shortened to their last two names.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from srpo import __version__
from srpo.config.nodes import dump_yaml
from srpo.core.prompts import Prompt
from srpo.core.summary import StageSummary
from srpo.runs.reader import CONFIG, RunReader, read_run_config

_STAGES = {"sft": "cold start (supervised fine-tuning on reflections)", "rl": "reflection-aware GRPO"}
_LEARNED = ("steps", "tokens", "num_examples", "num_problems", "ended")
_ABOUT = """{name} answers questions about pictures in five blocks: a first attempt (think, answer), a reflection upon
it, and a second attempt (think, answer), whose answer counts. Trained with srpo {version} after SRPO (arXiv
2506.01713); this card was written on {day} from the run's own files.
"""
_LICENCE = """## Licence

The weights have the licence of their base model, and the data has its own: fill in `license` above.
"""


class ModelRun(NamedTuple):
    """A run directory that a model came out of, or was evaluated in."""

    path: Path
    run: RunReader

    @property
    def start(self) -> str:
        """The model that it began with."""
        return str(self.run.config.config["model"])

    @property
    def summary(self) -> Mapping[str, Any]:
        """Its result."""
        return self.run.summary() or {}


def training_runs(path: Path) -> list[ModelRun]:
    """The run, and those whose models it was trained from, the first one first."""
    found: list[ModelRun] = []
    while (run := _run_in(path)) is not None and run.stage in _STAGES and path not in [one.path for one in found]:
        one = ModelRun(path, run)
        found.insert(0, one)
        path = Path(one.start).parent
    return found


def _run_in(path: Path) -> RunReader | None:
    """The run in a directory; models have a `config.json` too."""
    try:
        return RunReader(path, read_run_config(path))
    except (OSError, ValueError):
        return None


def evaluations_of(model: Path, beside: Path) -> list[Path]:
    """Finished evaluations in a folder whose model is this very one."""
    return [
        file.parent
        for file in sorted(beside.glob(f"*/{CONFIG}"))
        if (run := _run_in(file.parent)) is not None
        and run.stage == "eval"
        and run.summary() is not None
        and isinstance(place := run.config.config["model"], str)
        and Path(place).resolve() == model.resolve()
    ]


def model_card(name: str, runs: Sequence[ModelRun], evaluations: Sequence[Path], prompt: Prompt | None) -> str:
    """The text of the card, in Markdown with the header that the hub reads."""
    parts = [_header(runs[0].start), f"# {name}\n"]
    parts.append(_ABOUT.format(name=name, version=__version__, day=datetime.now(UTC).date()))
    parts.append(_accuracies(evaluations, runs[-1]))
    parts.append(f"## How to use it\n\n    srpo eval --model {name} --data YOUR_DATA\n")
    if prompt is not None:
        system = f"system turn:\n\n{_fenced(prompt.system)}\n" if prompt.system else ""
        parts.append(
            f"It was trained with the prompt `{prompt.label}`, which srpo takes from `srpo_prompt.json`:\n\n"
            f"{system}{_fenced(prompt.template)}"
        )
    parts.append(f"## How it was made\n\nBase model: `{_shortened(runs[0].start)}`\n")
    parts += [_run(number, one) for number, one in enumerate(runs, 1)]
    return "\n".join([*parts, _LICENCE])


def _header(base: str) -> str:
    lines = ["---", "license: other", "library_name: transformers", "pipeline_tag: image-text-to-text"]
    # A name of the hub; a directory of this machine is nobody else's.
    if base.count("/") == 1 and not Path(base).exists():
        lines.append(f"base_model: {base}")
    return "\n".join([*lines, "tags:", "- srpo", "- reflection", "- multimodal-reasoning", "---", ""])


def _accuracies(evaluations: Sequence[Path], last: ModelRun) -> str:
    lines = ["## How right it is\n"]
    rows = [row for path in evaluations for row in _evaluated(path)]
    if rows:
        lines += ["| evaluation | problems | first answer | final answer | right→wrong | wrong→right |"]
        lines += ["|---|---:|---:|---:|---:|---:|", *rows, "", "In brackets 95% intervals.", ""]
    row = last.summary.get("metrics", {})
    if (held_out := row.get("rl/eval/final_accuracy")) is not None:
        lines.append(
            f"At the end of training {held_out:.1%} of its final answers to held-out problems were right "
            f"({row['rl/eval/first_accuracy']:.1%} of the first ones); no interval was kept.\n"
        )
    if len(lines) == 1:
        lines.append("No evaluation of this model stands beside its run; nothing is claimed.\n")
    return "\n".join(lines)


def _evaluated(path: Path) -> Iterator[str]:
    run = RunReader(path, read_run_config(path))
    config = run.config.config
    data = config.get("benchmark") or _data_of(config)
    for stage in (run.summary() or {}).get("stages", ()):
        one = StageSummary.model_validate(stage)
        cells = [f"{_shortened(str(data))} ({_how(config)})", f"{one.n:,}"]
        cells += [_interval(one.first_accuracy, one.first_interval), _interval(one.final_accuracy, one.final_interval)]
        cells += [f"{one.transitions['right→wrong']:.1%}", f"{one.transitions['wrong→right']:.1%}"]
        yield f"| {' | '.join(map(_cell, cells))} |"


def _how(config: Mapping[str, Any]) -> str:
    temperature = config.get("temperature", 0)
    how = "greedy" if not temperature else f"temperature {temperature:g}, {config.get('num_samples', 1)} samples"
    return f"{how}, at most {config.get('max_tokens')} tokens"


def _interval(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{share:.1%} [{low:.1%}, {high:.1%}]"


def _run(number: int, one: ModelRun) -> str:
    provenance, summary = one.run.config.provenance, one.summary
    facts: dict[str, object] = {"data": _data_of(one.run.config.config)}
    facts |= {name: summary[name] for name in _LEARNED if summary.get(name)}
    if best := summary.get("best"):
        facts["best model"] = f"step {best['step']}, {best['metric']} {best['value']:.4g}"
    facts |= {"srpo": provenance.srpo_version, "commit": provenance.commit or "unknown"}
    facts |= {"libraries": ", ".join(f"{name} {version}" for name, version in provenance.libraries.items())}
    table = [f"| {_cell(name)} | {_cell(_shortened(_text(value)))} |" for name, value in facts.items()]
    config = dump_yaml(_shareable(one.run.config.config))
    title = f"### {number}. {_STAGES.get(one.run.stage, one.run.stage)}\n"
    return "\n".join([title, "| | |", "|---|---|", *table, "", _fenced(config.rstrip(), "yaml")])


def _data_of(config: Mapping[str, Any]) -> str:
    """What a config says of its data, in few words."""
    found = config.get("data") or config.get("traces")
    if isinstance(found, Mapping):
        if (drawn := found.get("drawn")) is not None:
            return f"drawn problems ({drawn.get('split', 'train')}: {', '.join(drawn.get('families') or ('all',))})"
        return str(found.get("path"))
    return ", ".join(_shortened(str(one)) for one in found) if isinstance(found, list | tuple) else str(found)


def _shareable(tree: Any) -> Any:
    """A config without paths of this machine, and without what is not set."""
    if isinstance(tree, Mapping):
        return {name: _shareable(value) for name, value in tree.items() if value not in (None, [], {}, ())}
    if isinstance(tree, list | tuple):
        return [_shareable(value) for value in tree]
    return _shortened(tree) if isinstance(tree, str) else tree


def _shortened(text: str) -> str:
    return "/".join(Path(text).parts[-2:]) if text.startswith(("/", "~")) and "\n" not in text else text


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _fenced(text: str, language: str = "") -> str:
    return f"~~~{language}\n{text}\n~~~\n"


def _cell(value: object) -> str:
    """Text that cannot end a cell."""
    return " ".join(str(value).split()).replace("|", "\\|")
