"""What `benchmarks/storm.py` strikes: every command that writes, small enough to be started a few hundred times."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from srpo.config.load import to_yaml
from srpo.data.config import DrawnConfig, SourceConfig
from srpo.eval.config import EvalConfig
from srpo.policy.config import OptimConfig
from srpo.policy.load import TINY_BASE
from srpo.reflect.config import ReflectConfig, TeacherConfig
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("bars", "count")
_NOT_COMPARED = re.compile(r"\.lock|state\.json|.*\.sqlite(-.*)?|.*\.log")
_TIMES = frozenset(
    {
        "time_s",
        "seconds",
        "seconds_by_part",
        "created",
        "rl/time/sample_s",
        "rl/time/learn_s",
        "metrics.jsonl",
        "command",
    }
)
"""What may differ between two runs that are the same: times, the length of a file whose lines hold times, and how the
run was started (a copy of a killed run keeps the place where it was killed)."""
_TIMES_OF_REPORTS = re.compile(rb'data-label="Time">[^<]*<')


class Case(NamedTuple):
    """A command that writes what `--out` names."""

    name: str
    command: tuple[str, ...]
    """Without `--out`."""
    suffix: str = ""
    """Of what it writes, where that is a file."""

    @property
    def is_demo(self) -> bool:
        """The demo is struck at sizes of its own (`storm_demo`)."""
        return self.name == "demo"

    def argv(self, out: Path) -> list[str]:
        """The command line."""
        module = "benchmarks.storm_demo" if self.is_demo else "srpo"
        return [sys.executable, "-m", module, *self.command, "--out", str(out)]


def environment(*folders: Path) -> dict[str, str]:
    """Of the commands: one thread each, our sources, and `folders` before them."""
    paths = os.pathsep.join(map(str, (*folders, ROOT / "src", ROOT)))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def build(work: Path) -> list[Case]:
    """Make what the commands work on, below `work`; those that others read from come first."""
    work.mkdir(parents=True, exist_ok=True)
    configs = {
        "reflect": _reflect(),
        "sft": _sft(work / "made-reflect"),
        "rl": _rl(),
        "eval": _eval(),
    }
    cases = []
    for name, config in configs.items():
        (work / f"{name}.yaml").write_text(to_yaml(config), encoding="utf-8")
        cases.append(Case(name, (name, str(work / f"{name}.yaml"))))
    for case in cases:
        if case.name in {"reflect", "eval"}:
            _make(case, work / f"made-{case.name}")
    data, responses = _recorded(work)
    made = [str(work / "made-reflect"), str(work / "made-eval")]
    return [
        *cases,
        Case("score", ("score", "custom", "--data", str(data), "--responses", str(responses))),
        Case("report", ("report", *made), suffix=".html"),
        Case("export", ("export", made[0])),
        Case("demo", ("demo", "--minutes", "1")),
    ]


def _make(case: Case, out: Path) -> None:
    if (out / "summary.json").exists():
        return
    subprocess.run(case.argv(out), env=environment(), check=True, capture_output=True)


def _drawn(split: str, count: int, seed: int) -> SourceConfig:
    drawn = {"split": split, "count": count, "seed": seed, "families": FAMILIES, "levels": [1]}
    return SourceConfig(drawn=DrawnConfig.model_validate(drawn))


def _reflect() -> ReflectConfig:
    return ReflectConfig(
        model=TINY_BASE,
        data=_drawn("train", 48, 1),
        teacher=TeacherConfig(model="scripted"),
        prompt="bare",
        num_samples=2,
        max_tokens=48,
        batch_size=8,
        wrong_share=None,
        symbolic=False,
    )


def _sft(traces: Path) -> SftConfig:
    return SftConfig(model=TINY_BASE, traces=(str(traces),), prompt="bare", batch_size=4, epochs=1, checkpoint_every=2)


def _rl() -> RlConfig:
    return RlConfig(
        model=TINY_BASE,
        data=_drawn("train", 48, 2),
        style="single",
        prompt="bare",
        preset="answer",
        num_prompts=3,
        group_size=4,
        steps=8,
        max_tokens=48,
        optim=OptimConfig(lr=1e-4, schedule="constant", warmup_steps=0),
        checkpoint_every=2,
    )


def _eval() -> EvalConfig:
    return EvalConfig(
        model=TINY_BASE, data=_drawn("dev", 48, 3), style="single", prompt="bare", max_tokens=48, batch_size=8
    )


def _recorded(work: Path) -> tuple[Path, Path]:
    """Problems, and responses to them as some model might have given them."""
    data, responses = work / "sums.jsonl", work / "responses.jsonl"
    problems = [{"id": f"p{i}", "question": f"What is {i} + 7 €?", "answer": str(i + 7)} for i in range(3000)]
    answers = [
        {"id": f"p{i}", "response": f"<think>é: {i} and 7</think><answer>{i + 7 + (i % 3 == 0)}</answer>"}
        for i in range(3000)
    ]
    for path, rows in ((data, problems), (responses, answers)):
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return data, responses


def differences(expected: Path, actual: Path) -> list[str]:
    """Files that differ between two outputs of one command, times aside."""
    wanted, found = _contents(expected), _contents(actual)
    return sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))


def _contents(out: Path) -> dict[str, object]:
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    named = {("" if path == out else str(path.relative_to(out))): path for path in files}
    return {name: _content(path, out) for name, path in named.items() if not _NOT_COMPARED.fullmatch(path.name)}


def _content(path: Path, out: Path) -> object:
    content = path.read_bytes().replace(str(out).encode(), b"OUT")
    if path.suffix == ".html":
        content = _TIMES_OF_REPORTS.sub(b"", content)
    if path.name == "metrics.jsonl":
        return [_without_times(json.loads(line)) for line in content.splitlines()]
    return _without_times(json.loads(content)) if path.suffix == ".json" else content


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(inner) for name, inner in value.items() if name not in _TIMES}
    return [_without_times(inner) for inner in value] if isinstance(value, list) else value
