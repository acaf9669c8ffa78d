"""What srpo calls of mlflow 3.17, with its signatures; keeps what it was given. Put the folder on `sys.path`."""

from typing import Any, NamedTuple

CALLS: list[tuple[str, Any]] = []


class Info(NamedTuple):
    run_id: str


class ActiveRun(NamedTuple):
    info: Info


def set_experiment(experiment_name: str | None = None, experiment_id: str | None = None) -> None:
    CALLS.append(("set_experiment", experiment_name))


def start_run(run_id: str | None = None, experiment_id: str | None = None, run_name: str | None = None) -> ActiveRun:
    CALLS.append(("start_run", (run_id, run_name)))
    return ActiveRun(Info(run_id or "f00"))


def log_metrics(metrics: dict[str, float], step: int | None = None, synchronous: bool | None = None) -> None:
    CALLS.append(("log_metrics", (step, metrics)))


def log_dict(dictionary: dict[str, Any], artifact_file: str, run_id: str | None = None) -> None:
    CALLS.append(("log_dict", (artifact_file, dictionary)))


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    CALLS.append(("log_text", artifact_file))


def log_image(image: Any, artifact_file: str | None = None, key: str | None = None, step: int | None = None) -> None:
    CALLS.append(("log_image", artifact_file))


def end_run(status: str = "FINISHED") -> None:
    CALLS.append(("end_run", status))
