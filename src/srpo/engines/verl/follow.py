"""Follows verl while it works: starts it, takes its steps as they come, stops it, goes on with it."""

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from srpo.core.prompts import Prompt
from srpo.core.records import Origin
from srpo.engines.verl.journal import ORIGIN, PaidTrace
from srpo.engines.verl.launch import (
    SETTINGS,
    Launch,
    check_no_job_runs,
    copy_function,
    copy_package,
    last_words,
    start,
)
from srpo.engines.verl.merge import AFTER, LaunchReader, Step, earlier_steps, launches
from srpo.engines.verl.settings import PluginSettings
from srpo.policy.engine import EngineConfig
from srpo.policy.prompts import save_prompt
from srpo.runs.directory import RunDir
from srpo.runs.files import write_atomic
from srpo.runs.interrupt import Stopped, stop_signal

ENGINE = "engine"
_LATEST = "latest_checkpointed_iteration.txt"
_POINTER = "verl.json"
_POLL_S = 1.0

Take = Callable[[Step], None]
"""Logs a step; may raise ValueError to end the run."""
StepCheck = Callable[[int, list[PaidTrace]], None]
"""Looks at the responses of a step that is under way; may raise ValueError to end the run."""


def engine_folder(run_dir: RunDir) -> Path:
    """Where all of verl's files are; emptied where nothing in it is worth going on from."""
    folder = run_dir.path / ENGINE
    if run_dir.latest_checkpoint() is None and not latest_step(folder) and folder.exists():
        # An earlier start failed before its first checkpoint, and a corrected configuration may ask for other data.
        for launch in launches(folder):
            if (launch / "job.json").is_file():
                return folder
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    return folder


def latest_step(engine: Path) -> int:
    """The step of verl's newest checkpoint; 0 where there is none."""
    file = engine / "checkpoints" / _LATEST
    return int(file.read_text(encoding="utf-8")) if file.is_file() else 0


def new_launch(engine: Path, settings: PluginSettings, origin: Origin | None) -> Path:
    """The folder of another start, with what verl's processes read there."""
    folder = engine / f"launch-{len(launches(engine)) + 1:03d}"
    folder.mkdir()
    write_atomic(folder / AFTER, json.dumps({"step": latest_step(engine)}) + "\n")
    write_atomic(folder / SETTINGS, settings.model_dump_json(indent=1) + "\n")
    if origin is not None:
        write_atomic(folder / ORIGIN, origin.model_dump_json(indent=1) + "\n")
    return folder


class Follower:
    """Takes the steps of a run in order, and marks in the run directory from where it can go on."""

    def __init__(self, run_dir: RunDir, engine: Path, names: Mapping[str, str], take: Take, *, save_every: int) -> None:
        """`names` are the metrics that are wanted of verl, and ours for them."""
        self._save_every = save_every
        checkpoint = run_dir.latest_checkpoint()
        self.reached = checkpoint.step if checkpoint else -1
        self.extra: dict[str, float] = dict(checkpoint.extra) if checkpoint else {}
        """Sums over all steps."""
        self._run_dir, self._engine, self._names, self._take = run_dir, engine, names, take

    def catch_up(self) -> None:
        """Take what earlier starts have finished, as far as verl goes on from.

        Raises:
            ValueError: verl's checkpoints are older than what the run directory has.
        """
        latest = latest_step(self._engine)
        if latest < self.reached:
            raise ValueError(
                f"{str(self._engine / 'checkpoints')!r} ends at step {latest}, and the run at step {self.reached}; "
                "restore verl's checkpoints, or choose another --out"
            )
        for step in earlier_steps(self._engine, self._names, after=self.reached, until=latest):
            self._one(step)

    def follow(self, config: EngineConfig, launch: Launch, total: int, look: StepCheck = lambda *_: None) -> None:
        """Start verl, and take its steps until it ends.

        Raises:
            ValueError: it failed, or ended before `total` steps; what `take` and `look` raise ends it.
            Stopped: the user asked to stop.
        """
        for earlier in launches(self._engine)[:-1][-1:]:
            check_no_job_runs(config, earlier)
        reader = LaunchReader(launch.folder, self._names, after=self.reached)
        waiting: deque[Step] = deque()
        with stop_signal() as stop:
            job = start(config, launch)
            try:
                while True:
                    ended = job.exit_code  # before reading: what it wrote until then is read once more
                    waiting.extend(reader.new())
                    while waiting and (ended is not None or self._is_whole(waiting[0])):
                        self._one(waiting.popleft())
                    if ended is not None or stop.requested:
                        break
                    if (at_work := reader.under_way()) is not None:
                        look(*at_work)
                    time.sleep(_POLL_S)
            finally:
                job.stop()
            if ended is None:
                raise Stopped(f"after step {max(0, self.reached)}; verl goes on from step {latest_step(self._engine)}")
        _check_end(ended, self.reached, total, launch.folder)

    def _is_whole(self, step: Step) -> bool:
        """Whether the step's checkpoint is there, if it has one: verl's SFT logs a step before it saves it."""
        return step.number % self._save_every != 0 or step.number <= latest_step(self._engine)

    def _one(self, step: Step) -> None:
        self._take(step)
        self.reached = step.number
        if step.number > 0 and latest_step(self._engine) == step.number:
            pointer = json.dumps({"step": step.number, "engine": ENGINE})
            self._run_dir.checkpoint(
                step.number, lambda folder: (folder / _POINTER).write_text(pointer, encoding="utf-8"), self.extra
            )


def _check_end(code: int, reached: int, total: int, launch: Path) -> None:
    if code or reached < total:
        what = f"ended with code {code}" if code else f"ended at step {max(0, reached)} of {total}"
        raise ValueError(f"verl {what}; the same command goes on from its last checkpoint. {last_words(launch)}")


def link_model(run_dir: RunDir, huggingface: Path, prompt: Prompt) -> None:
    """Make verl's last checkpoint the run's model, with the prompt that it was trained with.

    Raises:
        ValueError: it is not there.
    """
    if not (huggingface / "config.json").is_file():
        raise ValueError(f"verl has left no model in {str(huggingface)!r}")
    save_prompt(prompt, huggingface)
    link = run_dir.model_path
    if link.is_symlink():
        link.unlink()
    link.symlink_to(huggingface.relative_to(link.parent))


def package_in(engine: Path, reward: str | None = None) -> Path:
    """The code of srpo for verl's processes, with that of a reward of the user's own."""
    folder = copy_package(engine / "python")
    if reward is not None:
        copy_function(reward, folder)
    return folder
