"""Command lines of trees with positional fields, lists and flags that are spelled otherwise."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from srpo.config.command import Command
from srpo.config.fields import Positional, Spelling
from srpo.config.load import ConfigError, load_config
from srpo.core.records import Record


class Judge(Record):
    model: str
    """Who judges."""
    body: dict[str, int] = Field(default_factory=dict)


class Options(Record):
    """Look at files.

    A second paragraph.
    """

    files: Annotated[tuple[Path, ...], Positional("FILE")]
    """What is looked at. In order."""
    formats: tuple[str, ...] = ()
    judge: Judge | None = None
    max_usd: float | None = None
    as_json: Annotated[bool, Spelling("json")] = False
    """Print JSON."""
    name: Annotated[str, Spelling("name", "model")] = ""


class Pair(Record):
    first: Annotated[int, Positional("A")]
    second: Annotated[str, Positional("B")] = "nothing"
    notes: tuple[str, ...] = ()


def read(*words: str) -> Options:
    return load_config(Options, None, words)


def refusal(cls: type[Record], *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(cls, None, words)
    return str(caught.value)


def test_words_without_a_flag_fill_the_positional_fields_in_order() -> None:
    assert load_config(Pair, None, ["1", "2"]) == Pair(first=1, second="2")
    assert load_config(Pair, None, ["1", "--notes", "b"]) == Pair(first=1, second="nothing", notes=("b",))
    assert load_config(Pair, None, ["1", "null"]).second == "null"
    assert read("a", "--json", "b").files == (Path("a"), Path("b"))
    assert read("--", "--json", "-x").files == (Path("--json"), Path("-x"))
    assert read("-").files == (Path("-"),)
    assert refusal(Pair, "1", "2", "3") == "'3' is one argument too many; settings look like --field value"
    assert refusal(Pair, "x").startswith("A: first: 'x' is not allowed")
    assert refusal(Options) == "command line: FILE: is missing, and it has no default. What is looked at."


def test_a_list_takes_all_words_once_the_positional_fields_have_theirs() -> None:
    assert read("a", "--formats", "trl", "hf", "--json").formats == ("trl", "hf")
    assert read("--formats", "trl", "a") == Options(files=(Path("a"),), formats=("trl",))
    assert read("a", "--formats", "trl", "--formats", "[hf, 3]").formats == ("trl", "hf", "3")
    assert read("a", "--formats=trl", "b") == Options(files=(Path("a"), Path("b")), formats=("trl",))


def test_a_field_may_have_another_flag_than_its_name() -> None:
    assert read("a", "--json").as_json
    assert not read("a", "--json", "--no_json").as_json
    assert read("a", "--model", "m").name == read("a", "--name", "m").name == "m"
    assert refusal(Options, "a", "--as_json") == "--as_json: unknown field; did you mean 'json'?"


@pytest.mark.parametrize("flag", ["--max_usd", "--max-usd"])
def test_dashes_and_underscores_in_flags_are_one_character(flag: str) -> None:
    assert read("a", flag, "2").max_usd == read("a", f"{flag}=2").max_usd == 2


def test_keys_that_the_user_chooses_keep_their_dashes() -> None:
    judge = read("a", "--judge.model", "m", "--judge.body.top-k", "5").judge
    assert judge == Judge(model="m", body={"top-k": 5})


def test_a_tree_may_be_the_name_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("judge.yaml").write_text("model: m\nbody: {a: 1}\n")
    assert read("a", "--judge", "judge.yaml").judge == Judge(model="m", body={"a": 1})
    Path("judge.yaml").write_text("model: m\nbdy: {a: 1}\n")
    assert (
        refusal(Options, "a", "--judge", "judge.yaml")
        == "judge.yaml:2:1: judge.bdy: unknown field; did you mean 'body'?"
    )
    assert "'none.yaml' cannot be read" in refusal(Options, "a", "--judge", "none.yaml")
    assert refusal(Options, "a", "--judge", "m").startswith("--judge: 'm' is not allowed")


def test_all_unknown_flags_are_told_at_once_and_before_their_values_are_missed() -> None:
    assert refusal(Options, "a", "--fromats", "x", "--jsno").splitlines() == [
        "command line: 2 problems",
        "  --fromats: unknown field; did you mean 'formats'?",
        "  --jsno: unknown field; did you mean 'json'?",
    ]


def test_help_begins_with_the_usage_and_what_stands_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(Options, lambda options: len(options.files))
    assert command.run("srpo look", ["a", "b", "c"]) == 3
    assert command.run("srpo look", ["--nonsense", "-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "usage: srpo look FILE... [--field value ...]",
        "",
        "Look at files.",
        "",
        "A second paragraph.",
        "",
    ]
    assert lines[6:8] == ["  FILE [path, ...]  (required)", "        What is looked at. In order."]
    assert "  --name text  (default: ''; also --model)" in lines
