"""What pages name of a command is there: flags, whole command lines, fields in YAML blocks, settings in running text.

tests/docs/test_commands.py runs what can run here. These are the commands that cannot, and fragments of commands.
"""

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
from pydantic import BaseModel

from srpo.cli.main import COMMANDS
from srpo.cli.plan import PlanCommand
from srpo.cli.stage import StageCommand, StageOptions
from srpo.config.fields import Field, fields_of
from srpo.config.flags import parse_arguments
from srpo.config.load import ConfigError, fill_config, load_config
from srpo.eval.config import EvalConfig
from srpo.reflect.config import ReflectConfig
from srpo.report.leaderboard.published import PublishedFile
from srpo.rl.config import RlConfig
from srpo.sft.config import SftConfig
from tests.support.documents import PAGES, ROOT, blocks, shown

TREES: dict[str, type[BaseModel]] = {"reflect": ReflectConfig, "sft": SftConfig, "rl": RlConfig, "eval": EvalConfig}
YAML_OF: dict[str, type[BaseModel]] = {
    "reflect.md": ReflectConfig,
    "data.md": EvalConfig,
    "evaluation.md": EvalConfig,
    "your-own.md": EvalConfig,
    "vllm.md": RlConfig,
    "leaderboard.md": PublishedFile,
}
"""Whose fields the YAML blocks of a page are."""
THEIRS = frozenset({"dataset", "dataset_dir"})
"""Bare flags in the text that are another program's; those with dashes inside are never ours."""
STANDS_FOR = frozenset({"field", "help"})
"""`--field value` is any setting, and `--help` no field of a tree."""
MISSING = "is missing, and it has no default"


@cache
def trees_of(command: str) -> tuple[type[BaseModel], ...]:
    """What the flags of a command fill."""
    found = import_module(f"srpo.cli.{command.replace(' ', '_')}").COMMAND
    if isinstance(found, StageCommand):
        return StageOptions, found.config_class
    return (found.options, SftConfig, RlConfig, EvalConfig) if isinstance(found, PlanCommand) else (found.options,)


@cache
def fields(*trees: type[BaseModel]) -> dict[str, Field]:
    """By dotted flag and by dotted path."""
    return {name: field for tree in trees for field in fields_of(tree) for name in (*field.flags, field.path)}


def is_flag(flag: str, trees: Sequence[type[BaseModel]]) -> bool:
    """Whether one of the trees has this field, its opposite, or a mapping that it is a key of."""
    known = fields(*trees)
    path = re.sub(r"\.\d+(?=\.|$)", ".N", flag.replace("-", "_"))
    head, dot, leaf = path.rpartition(".")
    opposite = known.get(f"{head}{dot}{leaf.removeprefix('no_')}")
    inside = known.get(head)
    return path in known or (opposite is not None and opposite.is_switch) or (inside is not None and inside.is_mapping)


@cache
def script_flags() -> frozenset[str]:
    """What our own scripts and benchmarks parse."""
    files = [file for room in ("benchmarks", "scripts") for file in (ROOT / room).rglob("*.py")]
    return frozenset(flag for file in files for flag in re.findall(r'"--([a-z_]+)"', file.read_text(encoding="utf-8")))


def spans(page: Path) -> list[str]:
    """Code within the text of a page."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def lines(page: Path) -> Iterator[str]:
    """Command lines of a page, whole and in fragments."""
    for block in blocks(page, "sh"):
        yield from re.sub(r"\\\n\s*", "", block.text).splitlines()
    for block in blocks(page, "console"):
        yield from (command.replace("\\\n", "") for command, _ in shown(block.text))
    yield from spans(page)


def srpo_words(line: str) -> tuple[str, list[str]] | None:
    """Command and arguments of a line that calls srpo; None for others, and for one that shows a mistake."""
    if "exit code $?" in line or (called := re.match(r"(?:\.venv/bin/)?srpo (.*)", line)) is None:
        return None
    # A shell's punctuation ends the command, unless it is quoted.
    shell = shlex.shlex(called[1], posix=True, punctuation_chars=";&|<>")
    shell.whitespace_split = True
    words = list(takewhile(lambda word: not set(word) <= set(";&|<>"), shell))
    name = next((name for name in COMMANDS if words[: name.count(" ") + 1] == name.split()), None)
    return (name, words[name.count(" ") + 1 :]) if name is not None else None


def srpo_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """All of a page."""
    return (found for line in lines(page) if (found := srpo_words(line)) is not None)


def flags_in(words: Sequence[str]) -> list[str]:
    found = (re.match(r"\[?--([a-zA-Z][\w.-]*)", word) for word in words)
    return [match[1] for match in found if match is not None and match[1] not in STANDS_FOR]


def wrong_line(command: str, words: list[str]) -> str | None:
    """What is wrong with a whole command line whose configuration lies in recipes/; None too where it is a fragment."""
    found = import_module(f"srpo.cli.{command}").COMMAND if " " not in command else None
    if not isinstance(found, StageCommand) or "..." in words or not words or not (ROOT / words[0]).is_file():
        return None
    try:
        _, theirs = parse_arguments(words, StageOptions, found.config_class)
        fill_config(found.config_class, ROOT / words[0], theirs)
    except ConfigError as error:
        return str(error)
    return None


def wrong_yaml(text: str, tree: type[BaseModel], folder: Path) -> list[str]:
    """Problems of a part of a configuration: what it leaves out is none."""
    (folder / "part.yaml").write_text(text, encoding="utf-8")
    needed = ["--data", "x"] if "data" in tree.model_fields and not re.search("^data:", text, re.M) else []
    try:
        load_config(tree, folder / "part.yaml", needed)
    except ConfigError as error:
        told = [line for line in str(error).splitlines() if not re.search(r": \d+ problems?$", line)]
        return [line for line in told if MISSING not in line]
    return []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_of_commands_are_there(page: Path) -> None:
    for command, words in srpo_lines(page):
        unknown = [flag for flag in flags_in(words) if not is_flag(flag, trees_of(command))]
        assert not unknown, f"srpo {command} {' '.join(words)}: no flag {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_command_lines_that_name_a_recipe_are_accepted(page: Path) -> None:
    for command, words in srpo_lines(page):
        wrong = wrong_line(command, words)
        assert wrong is None or MISSING in wrong, f"srpo {command} {' '.join(words)}: {wrong}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_that_stand_alone_are_some_commands(page: Path) -> None:
    everything = [tree for command in COMMANDS for tree in trees_of(command)]
    for span in spans(page):
        bare = flags_in(span.split()) if span.startswith("--") else []
        ours = (flag for flag in bare if "-" not in flag and flag not in THEIRS | script_flags())
        unknown = [flag for flag in ours if not is_flag(flag, everything)]
        assert not unknown, f"{span}: no command or script has {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_yaml_blocks_are_settings(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        assert page.name in YAML_OF, f"{block.place}: whose fields are these? YAML_OF says so"
        assert wrong_yaml(block.text, YAML_OF[page.name], tmp_path) == [], block.place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_in_the_text_are_there(page: Path, tmp_path: Path) -> None:
    known = fields(*TREES.values())
    inner = {path.rpartition(".")[2] for path in known}
    tops = {path.partition(".")[0] for path in known if "." in path}
    for span in spans(page):
        if (dotted := re.fullmatch(r"([a-z]\w*)\.[a-z][\w.]*", span)) and dotted[1] in tops:
            ending = span.rpartition(".")[2]
            assert is_flag(span, list(TREES.values())) or ending in {"txt", "md", "py", "json", "yaml"}, span
        if given := re.fullmatch(r"([a-z][a-z_.]*): \S.*", span):
            assert given[1].rpartition(".")[2] in inner, f"{span}: no setting of this name"


def unknown_imports(source: str) -> list[str]:
    """What a piece of Python imports from srpo that is not there."""
    wanted = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return [
        f"{node.module}.{name.name}"
        for node in wanted
        if node.module is not None and node.module.partition(".")[0] == "srpo"
        for name in node.names
        if not hasattr(import_module(node.module), name.name)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks_import_what_is_there(page: Path) -> None:
    for block in blocks(page, "python"):
        assert unknown_imports(block.text) == [], block.place


def test_what_is_not_there_is_seen(tmp_path: Path) -> None:
    assert srpo_words("srpo show A --x 'a < b' --fip > y --z  # w") == ("show", ["A", "--x", "a < b", "--fip"])
    assert not is_flag("num_promts", trees_of("rl"))
    assert is_flag("weights.short", trees_of("rl"))
    assert is_flag("no_symbolic", trees_of("score"))
    assert wrong_line("rl", ["recipes/tiny/rl.yaml", "--loss.variant", "gpro"])
    assert wrong_line("rl", ["recipes/tiny/rl.yaml", "--loss.variant", "grpo"]) is None
    (problem,) = wrong_yaml("optim: {lr: 1.0e-5, leraning_rate: 1}\n", RlConfig, tmp_path)
    assert "leraning_rate" in problem
    assert unknown_imports("from srpo import Problem, Promblem\n") == ["srpo.Promblem"]
