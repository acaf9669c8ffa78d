"""Encoding: bit-identical pixels, image tokens that match features, tokens that survive, errors that name the place."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.processor import Processor, load_processor, make_processor
from tests.support.pictures import picture


def equal(one: Tensor | None, two: Tensor | None) -> bool:
    return one is not None and two is not None and torch.equal(one, two)


@pytest.mark.parametrize("sizes", [[(84, 84)] * 5, [(84, 84), (30, 200), (84, 84), (640, 480), (28, 28)]])
@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"do_normalize": False},
        {"do_rescale": False},
    ],
)
def test_pixels_are_bit_identical_to_the_stock_processor(
    tiny_policy: Policy, sizes: list[tuple[int, int]], settings_: dict[str, object]
) -> None:
    stock = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 280 * 280}, **settings_)
    processor = make_processor(tiny_policy.tokenizer, stock, "here")
    images = [picture(i, *size) for i, size in enumerate(sizes)]
    expected = stock(images, return_tensors="pt")
    prompt = processor.encode([("user", "Compare.")], images)
    assert equal(prompt.pixel_values, expected["pixel_values"])
    assert equal(prompt.image_grid_thw, expected["image_grid_thw"])
    assert prompt.num_image_tokens == int(expected["image_grid_thw"].prod(1).sum()) // 4
    assert int((prompt.input_ids == processor.image_token_id).sum()) == prompt.num_image_tokens


def test_encoding_many_equals_encoding_each(tiny_policy: Policy) -> None:
    items = [
        ("How many bars?", [picture(0)]),
        ("5+3=", []),
        ("Which two?", [picture(1, 30, 200), picture(2)]),
        ("How many bars?", [picture(3)]),
    ]
    for prompt, (text, images) in zip(tiny_policy.encode_many(items), items, strict=True):
        alone = tiny_policy.encode(text, images)
        assert torch.equal(prompt.input_ids, alone.input_ids)
        if images:
            assert equal(prompt.pixel_values, alone.pixel_values)
            assert equal(prompt.image_grid_thw, alone.image_grid_thw)
        else:
            assert prompt.pixel_values is None
            assert prompt.image_grid_thw is None


def test_a_picture_of_84_pixels_is_9_tokens_before_the_text(tiny_policy: Policy) -> None:
    prompt = tiny_policy.encode("How many bars?", [picture(0)])
    assert prompt.num_image_tokens == 9
    assert prompt.num_tokens == len(prompt.input_ids)
    shown = tiny_policy.tokenizer.decode(prompt.input_ids)
    assert shown == (
        "<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * 9 + "<|vision_end|>How many bars?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_pictures_of_a_conversation_stand_in_the_first_user_turn(tiny_policy: Policy) -> None:
    turns = [("system", "Be brief."), ("user", "A"), ("assistant", "B"), ("user", "C")]
    shown = tiny_policy.processor.render(turns, num_images=1)
    assert shown.index("<|im_start|>user\n<|vision_start|>") < shown.index("A<|im_end|>")
    assert shown.count("<|image_pad|>") == 1
    with pytest.raises(ValueError, match=r"need a user turn.*'system'"):
        tiny_policy.processor.render([("system", "x")], num_images=1)


def test_image_tokens_in_a_users_text_are_refused(tiny_policy: Policy) -> None:
    with pytest.raises(ValueError, match="2 image placeholders for 1 pictures"):
        tiny_policy.encode("What is <|image_pad|>?", [picture(0)])
    with pytest.raises(ValueError, match=r"completion .*<\|image_pad\|>"):
        tiny_policy.encode_text("a <|image_pad|>")


def test_long_prompts_are_never_truncated(tiny_policy: Policy) -> None:
    prompt = tiny_policy.encode("5" * 10_000, [picture(0)])
    assert prompt.num_tokens > 10_000


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_every_picture_mode_is_read_as_rgb(tiny_policy: Policy, mode: str) -> None:
    image = picture(0).convert(mode)
    prompt = tiny_policy.encode("?", [image])
    assert equal(prompt.pixel_values, tiny_policy.encode("?", [image.convert("RGB")]).pixel_values)


TAGGED = "<think>a=3\nb=4</think>\n<answer>7</answer>\n<reflection>3 not 4</reflection>"


def test_tags_are_single_tokens_and_survive_decoding(tiny_policy: Policy) -> None:
    ids = tiny_policy.encode_text(TAGGED)
    assert ids[-1] == tiny_policy.end_id
    assert tiny_policy.decode(ids) == TAGGED
    for tag in ("<think>", "</think>", "<answer>", "</answer>", "<reflection>", "</reflection>"):
        assert len(tiny_policy.encode_text(tag)) == 2
    assert tiny_policy.tokenizer.padding_side == "left"


@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_round_trips(shared_processor: Processor, text: str) -> None:
    import unicodedata

    tokenizer = shared_processor.tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == unicodedata.normalize("NFC", text)


@pytest.fixture(scope="module")
def shared_processor(tiny_checkpoint: Callable[[str], Path]) -> Processor:
    return load_processor(tiny_checkpoint("qwen2_5_vl"))


def test_token_index_finds_the_token_that_reaches_a_character(tiny_policy: Policy) -> None:
    ids = tiny_policy.encode_text(TAGGED)
    offset = TAGGED.index("</answer>") + len("</answer>")
    index = tiny_policy.token_index(ids, offset)
    assert tiny_policy.decode(ids[:index]) == TAGGED[:offset]
    assert tiny_policy.token_index(ids, 0) == 0


def test_a_chat_template_in_its_own_file_is_found(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), tmp_path / "old")
    template = (tmp_path / "old/chat_template.jinja").read_text()
    (tmp_path / "old/chat_template.jinja").unlink()
    with pytest.raises(ValueError, match="no chat template"):
        load_processor(tmp_path / "old")
    (tmp_path / "old/chat_template.json").write_text(json.dumps({"chat_template": template}))
    policy = load_policy(tmp_path / "old")
    assert policy.encode("How?", [picture(0)]).num_image_tokens == 9
