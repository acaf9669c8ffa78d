"""What srpo calls of wandb 0.31, with its signatures; keeps what it was given. Put the folder on `sys.path`."""

# The names are wandb's own.
# ruff: noqa: A002

from typing import Any

CALLS: list[tuple[str, Any]] = []


class Image:
    def __init__(self, data_or_path: Any, mode: str | None = None, caption: str | None = None) -> None:
        self.picture, self.caption = data_or_path, caption


class Html:
    def __init__(self, data: str, inject: bool = True, data_is_not_path: bool = False) -> None:
        self.data = data


class Run:
    def __init__(self, id: str) -> None:
        self.id = id

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        CALLS.append(("log", (step, data)))

    def finish(self, exit_code: int | None = None) -> None:
        CALLS.append(("finish", exit_code))


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: list[str] | None = None,
    config: dict[str, Any] | str | None = None,
    resume: bool | str | None = None,
) -> Run:
    CALLS.append(("init", {"project": project, "id": id, "name": name, "resume": resume, "config": config}))
    return Run(id or "abc")
