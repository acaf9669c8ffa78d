"""Curves and cards for those who watch runs elsewhere: TensorBoard, Weights & Biases, Trackio, MLflow.

    trackers: [tensorboard, wandb]

One adapter each, imported when it is named. Nobody needs a tracker to be well: one that fails is told once and left
alone, and the run goes on. A tracker that is not installed is another matter; that is said before anything is loaded.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

from srpo.runs.directory import RunDir
from srpo.runs.extras import is_installed
from srpo.runs.files import write_atomic
from srpo.runs.progress import note

if TYPE_CHECKING:
    from PIL.Image import Image

TrackerName = Literal["tensorboard", "wandb", "trackio", "mlflow"]
FILE = "trackers.json"
"""Under which ids a run is known elsewhere, so that a stopped one goes on with its curves."""


class SampleCard(NamedTuple):
    """One response to look at."""

    title: str
    text: str
    """Markdown."""
    picture: "Image | None"


class Tracked(NamedTuple):
    """What a tracker is told of a run when it opens."""

    name: str
    project: str
    directory: Path
    config: Mapping[str, Any]
    known_id: str | None
    """What `Tracker.run_id` was, where a run goes on."""
    start: int
    """Steps that are done; what was logged after them is void."""


class Tracker(Protocol):
    """What the adapters have in common."""

    @property
    def run_id(self) -> str | None:
        """Under which id the run is found again."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take a row of numbers."""

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        """Take responses to look at."""

    def close(self) -> None:
        """Send what is not sent."""


class TensorBoard:
    """Event files in `RUN/tensorboard`."""

    run_id = None

    def __init__(self, run: Tracked) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(run.directory / "tensorboard"), purge_step=run.start + 1)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        """See `Tracker`."""
        for place, card in enumerate(cards):
            self._writer.add_text(f"cards/{place}", f"**{card.title}**\n\n{card.text}", step)
            if card.picture is not None:
                self._writer.add_image(f"cards/{place}", _array(card.picture), step, dataformats="HWC")

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb, or of Trackio, which has the same calls."""

    def __init__(self, run: Tracked, module: Literal["wandb", "trackio"] = "wandb") -> None:
        from importlib import import_module

        self._module: Any = import_module(module)
        options: dict[str, Any] = {"project": run.project, "name": run.name, "config": dict(run.config)}
        if module == "wandb":
            options |= {"dir": str(run.directory), "id": run.known_id, "resume": "allow"}
        elif run.known_id is not None:
            options |= {"resume": "allow"}
        self._run = self._module.init(**options)
        self.run_id: str | None = str(self._run.id) if module == "wandb" else run.name

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log(dict(metrics), step=step)

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        """See `Tracker`."""
        found: dict[str, Any] = {}
        for place, card in enumerate(cards):
            caption = f"{card.title}\n\n{card.text}"
            if card.picture is not None:
                found[f"cards/{place}"] = self._module.Image(card.picture, caption=caption)
            else:
                found[f"cards/{place}"] = self._text(caption)
        self._run.log(found, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()

    def _text(self, text: str) -> object:
        if hasattr(self._module, "Markdown"):
            return self._module.Markdown(text)
        return self._module.Html(f"<pre>{_escaped(text)}</pre>")


class MlFlow:
    """A run of MLflow, at the place that its own variables name."""

    def __init__(self, run: Tracked) -> None:
        import mlflow

        self._module: Any = mlflow
        mlflow.set_experiment(run.project)
        started = mlflow.start_run(run_id=run.known_id, run_name=None if run.known_id else run.name)
        self.run_id: str | None = str(started.info.run_id)
        if run.known_id is None:
            mlflow.log_dict(dict(run.config), "config.json")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._module.log_metrics(dict(metrics), step=step)

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        """See `Tracker`."""
        for place, card in enumerate(cards):
            folder = f"cards/step-{step:06d}"
            self._module.log_text(f"# {card.title}\n\n{card.text}\n", f"{folder}/{place}.md")
            if card.picture is not None:
                self._module.log_image(card.picture, artifact_file=f"{folder}/{place}.png")

    def close(self) -> None:
        """See `Tracker`."""
        self._module.end_run()


class Trackers:
    """All trackers of a run; a failure of one costs that one alone."""

    def __init__(
        self, starts: Mapping[str, Callable[[], Tracker]], remember: Callable[[Mapping[str, str]], object]
    ) -> None:
        """Open all of them, and `remember` their ids."""
        self._open: dict[str, Tracker] = {}
        for name, start in starts.items():
            with self._surviving(name):
                self._open[name] = start()
        remember({name: one.run_id for name, one in self._open.items() if one.run_id is not None})

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand a row on."""
        for name, one in list(self._open.items()):
            with self._surviving(name):
                one.log(step, metrics)

    def show(self, step: int, cards: Sequence[SampleCard]) -> None:
        """Hand cards on."""
        for name, one in list(self._open.items()):
            with self._surviving(name):
                one.show(step, cards)

    def close(self) -> None:
        """Let all of them send what is left."""
        for name, one in list(self._open.items()):
            with self._surviving(name):
                one.close()

    @property
    def are_open(self) -> bool:
        """Whether anybody looks."""
        return bool(self._open)

    @contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        # Trackers fail in their own ways (network, accounts, full disks, bugs), some with SystemExit; none of it is
        # worth a run.
        try:
            # Standard output is the command's result.
            with redirect_stdout(sys.stderr):
                yield
        except (Exception, SystemExit) as error:
            self._open.pop(name, None)
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            note(f"srpo: tracker {name!r} failed and is left out from here on; the run goes on ({what})")


def check_trackers(names: Sequence[TrackerName]) -> None:
    """ValueError where a tracker is named that is not installed."""
    for name in names:
        if not is_installed(name):
            raise ValueError(f"trackers: {name!r} is not installed; `pip install {name}`, or leave it out")


def open_trackers(names: Sequence[TrackerName], run_dir: RunDir, *, project: str) -> Trackers:
    """Open the trackers of a run that begins, or goes on."""
    file = run_dir.path / FILE
    known: dict[str, str] = {}
    if file.exists():
        with suppress(ValueError):
            known = json.loads(file.read_text("utf-8"))
    checkpoint = run_dir.latest_checkpoint()
    run = Tracked(
        name="-".join(run_dir.path.absolute().parts[-2:]),
        project=project,
        directory=run_dir.path,
        config=run_dir.config.config,
        known_id=None,
        start=checkpoint.step if checkpoint else 0,
    )

    def opens(name: TrackerName) -> Callable[[], Tracker]:
        return lambda: _adapter(name, run._replace(known_id=known.get(name)))

    def remember(ids: Mapping[str, str]) -> None:
        if ids and dict(ids) != known:
            write_atomic(file, json.dumps({**known, **ids}) + "\n")

    return Trackers({name: opens(name) for name in names}, remember)


def _adapter(name: TrackerName, run: Tracked) -> Tracker:
    match name:
        case "tensorboard":
            return TensorBoard(run)
        case "wandb" | "trackio":
            return WeightsAndBiases(run, name)
        case "mlflow":
            return MlFlow(run)
    raise ValueError(f"unknown tracker {name!r}; use one of {', '.join(get_args(TrackerName))}")


def _array(picture: "Image") -> Any:
    import numpy as np

    return np.asarray(picture.convert("RGB"))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
