"""Configurations that would take the memory or the stack are refused by name."""

import time
from pathlib import Path

import pytest

from srpo.config.nodes import ConfigError, read_yaml


@pytest.mark.parametrize("levels", [9, 30])
def test_aliases_that_multiply_are_bounded(tmp_path: Path, levels: int) -> None:
    lines = ["a0: &a0 xxxxxxxxxx"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    before = time.process_time()
    with pytest.raises(ConfigError, match=r"bomb\.yaml:\d+:\d+: more than .* bytes with its aliases written out"):
        read_yaml(path)
    assert time.process_time() - before < 20


def test_an_alias_that_is_used_twice_is_fine(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {b: 1}\nc: *a\nd: *a\n")
    assert read_yaml(tmp_path / "x.yaml").plain == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "{b: " * 5000, "a: " + "[" * 900 + "]" * 900])
def test_brackets_without_end_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"x\.yaml"):
        read_yaml(tmp_path / "x.yaml")


def test_a_configuration_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.yaml").open("wb") as file:
        file.truncate(50 << 30)
    with pytest.raises(ConfigError, match="longer than"):
        read_yaml(tmp_path / "x.yaml")
