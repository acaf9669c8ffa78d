"""A run directory that another process of the same run writes.

run = FollowedRun(path)
run.begin(beginning)     # as the process that leads told it
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from srpo.core.records import Trace
from srpo.runs.checkpoint import Checkpoint
from srpo.runs.directory import Beginning, RunDir


class FollowedRun(RunDir):
    """Reads like a run directory, and writes nothing."""

    follows = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished = False
        self.grown = {}
        self.total_steps = None

    def begin(self, beginning: Beginning) -> None:
        """Know what the process knows that opened the directory.

        Raises:
            ValueError: its checkpoint is not there.
        """
        self.config, self.finished, self.grown = beginning.config, beginning.finished, beginning.grown
        latest = self.latest_checkpoint()
        step = latest.step if latest else None
        if step != beginning.checkpoint:
            raise ValueError(
                f"the newest checkpoint of {str(self.path)!r} is of step {step} here, and of step "
                f"{beginning.checkpoint} for process 0; all processes must see the same directory"
            )

    def append_traces(self, traces: Iterable[Trace]) -> None:
        """Leave it to the one who leads."""

    def log(self, step: int, metrics: Mapping[str, SupportsFloat]) -> None:
        """Leave it to the one who leads."""

    def checkpoint(
        self,
        step: int,
        save: Callable[[Path], object],  # noqa: ARG002
        extra: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """What the one who leads writes."""
        path = self.path / "checkpoints" / f"step-{step:06d}"
        return Checkpoint(path=path, step=step, extra=dict(extra or {}), num_bytes={}, time_s=0.0)

    def save_model(self, save: Callable[[Path], object]) -> Path:  # noqa: ARG002
        """Leave it to the one who leads."""
        return self.model_path

    def finish(self, summary: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Leave it to the one who leads."""
        self.finished = True

    def close(self) -> None:
        """Nothing is open."""
