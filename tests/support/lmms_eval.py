"""A stand-in for lmms-eval: the classes of 0.7.3 that a chat model meets, reduced to their protocol."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

import pytest

Doc = Mapping[str, str]
"""A row of a task."""


@dataclass
class TheirCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass
class GenerationResult:
    text: str
    token_counts: TheirCounts | None = None


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass
class Instance:
    arguments: tuple[str, Callable[[Doc], list[dict[str, object]]], dict[str, object], int, str, str]
    task_name: str = "mathvista"
    metadata: dict[str, object] = field(default_factory=dict)

    @property
    def args(self) -> tuple[object, ...]:
        return self.arguments


class Lmms:
    is_simple = True

    def __init__(self) -> None:
        self.task_dict: dict[str, dict[str, Sequence[Doc]]] = {}

    def clean(self) -> None:
        self.task_dict = {}


class ChatModel(Protocol):
    """What lmms-eval calls on a model."""

    is_simple: bool
    task_dict: dict[str, dict[str, Sequence[Doc]]]

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]: ...

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]: ...

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[GenerationResult]: ...

    def clean(self) -> None: ...


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `lmms_eval` importable for the length of a test."""
    parts: dict[str, dict[str, type]] = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
        "lmms_eval.api.instance": {"GenerationResult": GenerationResult, "TokenCounts": TheirCounts},
        "lmms_eval.api.model": {"lmms": Lmms},
    }
    for name, members in parts.items():
        module = ModuleType(name)
        module.__path__ = []
        for key, member in members.items():
            setattr(module, key, member)
        monkeypatch.setitem(sys.modules, name, module)
