"""The one cleaning that everybody who reads a response shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srpo.core.cleaning import answer_in_json, clean_response, spoken, tags_of, unwrapped, without_end_token
from srpo.core.records import Attempt, FormatError, Problem, Response
from srpo.core.response import first_attempt_end, parse, parse_attempt, pieces
from srpo.grading import grade
from srpo.models.structured import ATTEMPT_BLOCKS, TEACHER_BLOCKS, blocks_in_tags

FAMILIES = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Thought>", "</Thought>"),
    ("<REASONING>", "</REASONING>"),
    ("< think >", "</ think >"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ('<think duration="3">', "</think>"),
    ("＜think＞", "＜/think＞"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
]


@pytest.mark.parametrize(("opening", "closing"), FAMILIES)
def test_the_thinking_of_every_family_is_thinking(opening: str, closing: str) -> None:
    text = f"{opening}is it 11?{closing}\n\n12"
    assert clean_response(text).replace("\n", "") in ("<think>is it 11?</think>12", "<think> is it 11?</think>12")
    assert spoken(text).strip() == "12"
    assert spoken(f"{opening}is it 11?") == "", "an open thinking says nothing"
    assert spoken(f"is it 11?{closing}12") == "12", "a template has opened it"


END_TOKENS = [
    "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end|>", "<|return|>", "</s>", "<eos>", "<end_of_turn>", "[EOS]",
    "<｜end▁of▁sentence｜>", "<|im_end|>\n<|endoftext|>", "<pad><pad>",
]  # fmt: skip


@pytest.mark.parametrize("token", END_TOKENS)
def test_end_tokens_are_no_text_of_the_model(token: str) -> None:
    assert without_end_token(f"<answer>7</answer>{token}\n") == "<answer>7</answer>"
    assert parse_attempt(f"<think>3+4</think><answer>7</answer>{token}") == Attempt(think="3+4", answer="7")
    problem = Problem(id="p", question="", answer="7")
    for text in (f"7{token}", f"<answer>7{token}</answer>", rf"\boxed{{7}}{token}"):
        assert grade(problem, text).is_correct, text


def test_what_follows_the_end_of_a_turn_is_somebody_elses() -> None:
    assert clean_response("It is 7.<|im_end|>\n<|im_start|>user\nAnd 8?") == "It is 7."


@pytest.mark.parametrize(
    "text", ["x < y > z", "a<b", "[3, 4]", "{1, 2}", "<Answer>: <<B>>", "5 <| 6", "I think> so", "s> 3", "<thinker>"]
)
def test_what_only_looks_like_a_mark_stays(text: str) -> None:
    assert clean_response(text) == text


def test_blocks_inside_of_finished_thinking_are_drafts() -> None:
    text = (
        "<think>maybe <answer>12</answer>, no</think><answer>11</answer><reflection>r</reflection><answer>13</answer>"
    )
    assert pieces(text).first_answer == "11"
    assert text[: first_attempt_end(text)].endswith("<answer>11</answer>")
    unfinished = "<think>so<answer>7</answer> <reflection>fine</reflection>"
    assert pieces(unfinished).first_answer == "7", "a think that never closes hides nothing"
    assert [tag.name for tag in tags_of("<think>a <think>b <answer>1</answer></think> c</think>")] == ["think", "think"]


def test_a_template_may_have_opened_the_first_thinking() -> None:
    text = "3+4</think><answer>7</answer><reflection>again</reflection><think>4+3</think><answer>7</answer>"
    response = parse(text)
    assert isinstance(response, Response)
    assert response.first.think == "3+4"
    assert isinstance(parse(text.replace("3+4</think>", "3+4")), FormatError)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer": 12}', "12"),
        ('{"answer": 12.50, "unit": "cm"}', "12.50"),
        ("{'answer': 'B'}", "B"),
        ('```json\n{"final_answer": "12"}\n```', "12"),
        ('{"reasoning": "5+7", "answer": ["A", "C"]}', "A, C"),
        ("```\n12\n```", "12"),
        ("```latex\n\\frac{1}{2}\n```", "\\frac{1}{2}"),
        ("{1, 2}", "{1, 2}"),
        ('{"x": 3}', '{"x": 3}'),
        ("{" * 500 + "}" * 500, "{" * 500 + "}" * 500),
    ],
)
def test_fences_and_json_come_off_an_answer(text: str, answer: str) -> None:
    assert unwrapped(text) == answer


TEACHER = "<reflection>The 6 is a 7.</reflection>\n<think>5+7</think>\n<answer>12</answer>"


@pytest.mark.parametrize(
    "reply",
    [
        TEACHER,
        f"<think>They want a review. <reflection>draft</reflection></think>\n{TEACHER}",
        f"◁think▷Hm.◁/think▷{TEACHER}",
        f"They want a review.</think>\n\n{TEACHER}",
        f"Here is my review:\n{TEACHER}\nLet me know if you need more.",
        f"```xml\n{TEACHER}\n```",
        TEACHER.replace("<", "**<").replace(">", ">**"),
        TEACHER.replace("reflection", "Reflection").replace("answer", "ANSWER"),
        f"<think>5+6</think><answer>11</answer>{TEACHER}",
        f"{TEACHER}<|im_end|>",
    ],
)
def test_a_teacher_may_say_more_than_its_blocks(reply: str) -> None:
    found = blocks_in_tags(reply, TEACHER_BLOCKS)
    assert [line.strip() for line in found.splitlines()] == TEACHER.splitlines()


@pytest.mark.parametrize("reply", ["<reflection>only</reflection>", "nothing", "<think>a</think><answer>b", "{}"])
def test_a_reply_without_its_blocks_stays_as_it_is(reply: str) -> None:
    assert blocks_in_tags(reply, TEACHER_BLOCKS) == reply


def test_the_own_thinking_of_a_policy_is_its_think_block() -> None:
    assert blocks_in_tags("<think>5+7</think>\n\nSo: <answer>12</answer>.", ATTEMPT_BLOCKS) == (
        "<think>5+7</think>\n<answer>12</answer>"
    )
    twice = "<think>a</think><answer>1</answer> <think>b</think><answer>2</answer>"
    assert blocks_in_tags(twice, ATTEMPT_BLOCKS) == twice, "which of two attempts is meant, nobody knows"


def test_the_last_object_with_an_answer_counts() -> None:
    assert answer_in_json('First {"answer": 1}, then {"answer": 2}. {"note": 3}') == "2"
    assert answer_in_json('{"note": "no answer"}') is None


PIECES = [
    "<",
    ">",
    "/",
    "think",
    "answer",
    " ",
    "[THINK]",
    "<|",
    "|>",
    "◁",
    "▷",
    "s",
    "x",
    "```",
    "\n",
    "<think>",
    "</s>",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_a_cleaned_text_has_nothing_left_to_read_as_tags(text: str) -> None:
    once = clean_response(text)
    assert [tag.name for tag in tags_of(clean_response(once))] == [tag.name for tag in tags_of(once)]
