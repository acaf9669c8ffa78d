"""What srpo calls of trackio 0.43, with its signatures; keeps what it was given. Put the folder on `sys.path`."""

from pathlib import Path
from typing import Any

CALLS: list[tuple[str, Any]] = []


class Image:
    def __init__(self, value: str | Path | Any, caption: str | None = None) -> None:
        self.picture, self.caption = value, caption


class Markdown:
    def __init__(self, text: str = "") -> None:
        self.text = text


class Run:
    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        CALLS.append(("log", (step, metrics)))

    def finish(self) -> None:
        CALLS.append(("finish", None))


def init(
    project: str,
    name: str | None = None,
    group: str | None = None,
    config: dict[str, Any] | None = None,
    resume: str = "never",
) -> Run:
    CALLS.append(("init", {"project": project, "name": name, "resume": resume, "config": config}))
    return Run()
