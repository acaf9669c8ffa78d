"""The shims say what `srpo reward` says, in every trainer's own signature, and never turn an error into a 0."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from srpo.cli.reward import RewardRow, reward_row
from srpo.core.records import Problem, Reward
from srpo.core.response import first_attempt_end
from srpo.core.rewards import Preset
from srpo.data.jsonl import Located
from srpo.engines import easyr1, ms_swift, openrlhf, trl, verl
from srpo.engines.payer import Payer, encode, load_tokenizer, problem_of, unpacked
from srpo.export.problems import packed

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "src/srpo/assets/tiny-base")
FIVE = (
    "<think>red is 3, blue is 4</think><answer>{first}</answer><reflection>the red bar ends at 3</reflection>"
    "<think>3+4=7, again</think><answer>{final}</answer>"
)
TEXTS = (
    FIVE.format(first="7", final="7"),
    FIVE.format(first="5", final="B"),
    FIVE.format(first="7", final="5"),
    "<think>3+4</think><answer>7</answer><reflection>fine",
    "The answer is 7.",
    "",
)
PROBLEM = Problem(id="bars", question="How many?", answer="B", choices=("5", "7", "12"))
ROW = {"id": "bars", "question": "How many?", "gold": "B", "kind": None, "choices": ["5", "7", "12"]}


def told(text: str, preset: Preset = "paper") -> Reward:
    """What `srpo reward` says of a response of so many tokens."""
    tokenizer, ids = load_tokenizer(TINY), ids_of(text)
    end = first_attempt_end(text)
    first = 0 if end is None else len(encode(tokenizer, text[:end]))
    row = RewardRow(**ROW, response=text, num_tokens=len(ids), first_tokens=first)
    found = reward_row(Located(row, "f.jsonl", 1), preset, "reflective").reward
    assert found is not None
    return found


def total(text: str, preset: Preset = "paper") -> float:
    return told(text, preset).total


def without_length(text: str) -> float:
    return sum(term.value for term in told(text).terms if term.name != "length")


def ids_of(text: str) -> list[int]:
    """As a sampler writes it, end token included."""
    tokenizer = load_tokenizer(TINY)
    return [*encode(tokenizer, text), 0]


@pytest.mark.parametrize("text", TEXTS)
def test_every_shim_says_what_srpo_reward_says(text: str) -> None:
    ids, label = ids_of(text), packed(PROBLEM)
    columns = {name: [value] for name, value in ROW.items()}
    swift_class = ms_swift.ms_swift_reward(object, tokenizer=TINY)
    by_trl = trl.trl_reward(tokenizer=TINY)
    paid = {
        "trl": by_trl([[]], [[{"role": "assistant", "content": text}]], [ids], **columns, trainer_state=None)[0],
        "trl, plain texts": by_trl(["q"], [text], [ids], **columns)[0],
        "easyr1": easyr1.easyr1_reward(
            [{"response": text, "response_length": len(ids), "ground_truth": label}], tokenizer=TINY
        )[0]["overall"],
        "openrlhf": openrlhf.openrlhf_reward(tokenizer=TINY)([f"How?{text}<|im_end|>"], ["How?"], [label])["rewards"],
        "ms_swift": swift_class()([text], solution=[label], response_token_ids=[[ids]])[0],
        "ms_swift, no ids": swift_class()([text], solution=[label], prompt_id=["p"])[0],
        "verl": verl.compute_score("srpo", text, "B", {**ROW, "index": 3}, tokenizer=TINY)["score"],
    }
    assert paid == dict.fromkeys(paid, total(text))


@pytest.mark.parametrize("preset", ["paper", "release-openrlhf", "answer"])
def test_settings_reach_the_reward(preset: Preset) -> None:
    text = TEXTS[1]
    given = [{"response": text, "response_length": len(ids_of(text)), "ground_truth": packed(PROBLEM)}]
    found = easyr1.easyr1_reward(given, preset=preset, tokenizer=TINY)[0]
    assert found["overall"] == total(text, preset)
    heavier = easyr1.easyr1_reward(given, preset=preset, tokenizer=TINY, weights={"format": 2.5})[0]
    assert heavier["overall"] - found["overall"] == pytest.approx(2.0)


def test_every_term_is_logged_for_every_response() -> None:
    logged: list[tuple[str, float]] = []
    columns = {name: [value] * 2 for name, value in ROW.items()}
    reward = trl.trl_reward(tokenizer=TINY)
    reward(
        [[]] * 2,
        TEXTS[:2],
        [ids_of(text) for text in TEXTS[:2]],
        log_metric=lambda *pair: logged.append(pair),
        **columns,
    )
    assert reward.__name__ == "srpo"  # TRL names its metrics so
    values = {name: [value for other, value in logged if other == name] for name, _ in logged}
    assert {len(found) for found in values.values()} == {2}
    assert values["srpo/final_accuracy"] == values["srpo/format"] == [1.0, 1.0]
    assert (values["srpo/r2r"], values["srpo/w2r"], values["srpo/ungraded"]) == ([1, 0], [0, 1], [0, 0])
    assert {"srpo/accuracy", "srpo/effect", "srpo/reflection", "srpo/length"} <= values.keys()


def test_without_a_tokenizer_the_length_term_goes_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from srpo.engines import payer

    payer._say_without_length.cache_clear()
    for text in TEXTS:
        found = ms_swift.ms_swift_reward(object)()(
            [text], solution=[packed(PROBLEM)], response_token_ids=[[ids_of(text)]]
        )
        assert found[0] == pytest.approx(without_length(text))
        assert "length" not in Payer("paper").pay(PROBLEM, text, token_ids=ids_of(text)).metrics
    assert capsys.readouterr().err.count("without its length term") == 1
    Payer("answer")  # has no such term
    assert capsys.readouterr().err == ""


def test_a_missing_gold_is_an_error_that_names_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "essay", "gold": "", "question": "Why?"}
    for missing in (None, "", " "):
        with pytest.raises(ValueError, match=r"problem 'essay' has no 'gold'; the columns are gold, id, question"):
            problem_of({**row, "gold": missing})
    with pytest.raises(ValueError, match="has no 'gold'"):
        openrlhf.openrlhf_reward(tokenizer=TINY)(["q a"], ["q"], ["  "])
    assert "srpo: reward failed: problem '' has no 'gold'" in capsys.readouterr().err


def test_an_ungradable_gold_is_an_error_where_it_cannot_be_left_out() -> None:
    problem = Problem(id="broken", question="?", answer="A, or B", choices=("1", "2"), kind="choice")
    paid = Payer("paper", tokenizer=TINY).pay(problem, TEXTS[0])
    assert paid.reward is None
    assert paid.metrics == {}
    columns: dict[str, Any] = {"gold": [problem.answer], "kind": ["choice"], "choices": [["1", "2"]], "id": ["broken"]}
    assert trl.trl_reward(tokenizer=TINY)(["q"], [TEXTS[0]], [ids_of(TEXTS[0])], **columns) == [None]
    label = packed(problem)
    message = r"problem 'broken': its gold 'A, or B' is ungradable \(.*\), and this trainer cannot leave a response out"
    with pytest.raises(ValueError, match=message):
        ms_swift.ms_swift_reward(object, tokenizer=TINY)()([TEXTS[0]], solution=[label])
    with pytest.raises(ValueError, match=message):
        easyr1.easyr1_reward([{"response": "", "response_length": 1, "ground_truth": label}], tokenizer=TINY)
    with pytest.raises(ValueError, match=message):
        verl.compute_score("srpo", TEXTS[0], problem.answer, json.loads(label), tokenizer=TINY)


def test_what_is_wrong_with_the_settings_is_named() -> None:
    with pytest.raises(ValueError, match="has no setting 'presett'; it has preset, tokenizer, style"):
        easyr1.easyr1_reward([], presett="paper")
    with pytest.raises(ValueError, match="unknown preset 'papre'"):
        trl.trl_reward("papre")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tokenizer '/nowhere': there is no '/nowhere'"):
        openrlhf.openrlhf_reward(tokenizer="/nowhere")


def test_the_prompt_is_cut_off_whatever_pictures_became() -> None:
    prompt = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>How?<|im_end|>\n<|im_start|>assistant\n"
    query = prompt.replace("<|image_pad|>", "<|image_pad|>" * 64)
    assert openrlhf.response_of(query + TEXTS[0] + "<|im_end|>\n<|endoftext|>", prompt) == TEXTS[0]
    with pytest.raises(ValueError, match="does not begin with its prompt"):
        openrlhf.response_of("another", prompt)


def test_a_plain_gold_is_a_label_too() -> None:
    assert (unpacked("7").answer, unpacked("[1, 2]").answer, unpacked('{"a": 1}').answer) == ("7", "[1, 2]", '{"a": 1}')
    assert unpacked(packed(PROBLEM)) == PROBLEM


def load_example(name: str) -> ModuleType:
    """As the trainers load a file."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}_srpo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_of_files_that_trainers_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRPO_MODEL", TINY)
    swift = SimpleNamespace(ORM=object, orms={})
    monkeypatch.setitem(sys.modules, "swift", ModuleType("swift"))
    monkeypatch.setitem(sys.modules, "swift.rewards", swift)
    text, label = TEXTS[0], packed(PROBLEM)
    given = [{"response": text, "response_length": len(ids_of(text)), "ground_truth": label}]
    module = load_example("easyr1")
    assert (module.REWARD_TYPE, module.easyr1_reward(given, tokenizer=TINY)[0]["overall"]) == ("batch", total(text))
    assert load_example("openrlhf").reward_func(["q" + text], ["q"], [label])["rewards"] == total(text)
    load_example("ms_swift")
    assert swift.orms["srpo"]()([text], solution=[label]) == [total(text)]
