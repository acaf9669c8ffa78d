"""Prompts with pictures: kept, bounded, and a broken file does not end a run."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from srpo.core.records import Problem
from srpo.policy import prompts
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder
from srpo.rl.problems import readable


def problem(name: str, image: Path) -> Problem:
    return Problem(id="same", question=f"{name}?", answer="1", images=(str(image),))


def test_unreadable_pictures_are_named_and_left_out(
    tiny_policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    problems = [problem("a", tmp_path / "good.png"), problem("b", tmp_path / "bad.png")]
    encoder = PromptEncoder(tiny_policy, "bare", size=4, max_pixels=None)
    assert readable(encoder, problems) == problems[:1]
    assert "bad.png" in capsys.readouterr().err


def test_prompts_are_kept_up_to_a_bound_and_told_apart_by_content(tiny_policy: Policy, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "a.png")
    Image.new("RGB", (60, 60), "blue").save(tmp_path / "b.png")
    first, second = problem("x", tmp_path / "a.png"), problem("x", tmp_path / "b.png")
    encoder = PromptEncoder(tiny_policy, "bare", size=1, max_pixels=None)
    one, other = encoder.encode_all([first, second])
    assert one.pixel_values is not None
    assert other.pixel_values is not None
    assert not torch.equal(one.pixel_values, other.pixel_values), "equal ids must not be taken for equal problems"
    assert encoder.encode_all([second])[0] is other
    assert encoder.encode_all([first])[0] is not one, "only one prompt is kept"


def test_prompts_are_kept_up_to_a_number_of_bytes(
    tiny_policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [problem(name, tmp_path / f"{name}.png") for name in "abc"]
    for number, one in enumerate(few):
        Image.new("RGB", (60, 60), (number, 0, 0)).save(one.images[0])
    encoder = PromptEncoder(tiny_policy, "bare", size=100, max_pixels=None)
    first, *_ = encoder.encode_all(few)
    assert encoder.encode_all(few[:1])[0] is first
    monkeypatch.setattr(prompts, "MOST_KEPT_BYTES", 2 * first.num_bytes)
    encoder.encode_all(few[1:])
    assert encoder.encode_all(few[:1])[0] is not first, "two others have its place"
