"""Prompts of one's own: from a file, with a system turn, saved with the model that was trained with them."""

import json
from pathlib import Path

import pytest

from srpo.config.load import load_config
from srpo.core.prompts import BARE, REFLECTIVE, SINGLE, own_prompt
from srpo.eval.config import EvalConfig
from srpo.policy.config import PromptFile
from srpo.policy.prompts import PROMPT_FILE, identity_of, read_prompt, saved_prompt


def write(folder: Path, text: str) -> PromptFile:
    path = folder / "mine.txt"
    path.write_text(text, encoding="utf-8")
    return PromptFile(file=path)


def test_a_prompt_file_may_hold_braces_that_are_text(tmp_path: Path) -> None:
    prompt = read_prompt(write(tmp_path, "Use \\boxed{}.\n\n{problem}\n"), "", None)
    assert prompt.around("What is {x}?") == "Use \\boxed{}.\n\nWhat is {x}?"
    assert prompt.turns("?") == [("user", "Use \\boxed{}.\n\n?")]


def test_the_version_of_a_prompt_is_a_hash_of_its_words(tmp_path: Path) -> None:
    first = read_prompt(write(tmp_path, "{problem} Think."), "", None)
    again = read_prompt(write(tmp_path, "{problem} Think!"), "", None)
    assert first.label.startswith("mine/")
    assert first.label != again.label
    assert identity_of("data", first) != identity_of("data", again)
    assert identity_of("data", REFLECTIVE) == "data", "the words of shipped prompts have versions"


@pytest.mark.parametrize("text", ["Think.", "{problem} {problem}"])
def test_a_prompt_has_one_place_for_the_problem(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"prompt 'mine' has \{problem\} [02] times; write it once"):
        read_prompt(write(tmp_path, text), "", None)


def test_a_prompt_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prompt\.file '.*none\.txt' cannot be read"):
        read_prompt(PromptFile(file=tmp_path / "none.txt"), "", None)


def test_a_system_turn_stands_first_and_makes_another_version() -> None:
    prompt = read_prompt("bare", "Be brief.", None)
    assert prompt.turns("3+4?") == [("system", "Be brief."), ("user", "3+4?")]
    assert prompt.name == "bare"
    assert prompt.label != BARE.label


def test_what_a_model_was_trained_with_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    mine = own_prompt("mine", "Look. {problem}", "Be brief.")
    assert saved_prompt(tmp_path) is None
    assert read_prompt(None, "", str(tmp_path)) == REFLECTIVE
    (tmp_path / PROMPT_FILE).write_text(json.dumps(mine._asdict()))
    assert read_prompt(None, "", str(tmp_path)) == mine
    assert read_prompt(None, "Be exact.", str(tmp_path)).turns("?")[0] == ("system", "Be exact.")
    assert read_prompt("single", "", str(tmp_path)) == SINGLE
    assert read_prompt(None, "", None) == REFLECTIVE, "a server says nothing"


def test_a_damaged_prompt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / PROMPT_FILE).write_text('{"nam": 1}')
    with pytest.raises(ValueError, match=r"srpo_prompt\.json' does not hold a prompt .*; name one with `prompt`"):
        saved_prompt(tmp_path)


def test_configs_take_a_name_or_a_file() -> None:
    flags = ["--model", "m", "--data", "d.jsonl"]
    assert load_config(EvalConfig, None, [*flags, "--prompt", "bare"]).prompt == "bare"
    assert load_config(EvalConfig, None, [*flags, "--prompt.file", "p.txt"]).prompt == PromptFile(file=Path("p.txt"))
    with pytest.raises(ValueError, match=r"'bear' is not allowed.*did you mean 'bare'"):
        load_config(EvalConfig, None, [*flags, "--prompt", "bear"])
