"""Completions in one row without padding: the numbers of batches with padding, in many rows, types and settings."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srpo.policy import packed, prefix
from srpo.policy.config import LoraConfig
from srpo.policy.load import load_policy
from srpo.policy.packed import can_pack
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from tests.invariants.test_shared_prefix import cases, run
from tests.support.training import about

CASE = "mixed prompts, different G and lengths"
QWEN = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


def in_batches(policy: Policy) -> bool:
    """What `can_pack` says of a device without the kernels."""
    return False


@pytest.mark.parametrize("family", QWEN)
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["plain weights", "adapters"])
@pytest.mark.parametrize("case", [CASE, "one group", "a prompt without completions"])
def test_packed_equals_batches_in_log_probs_and_all_gradients(
    tiny_checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    lora: LoraConfig | None,
    case: str,
) -> None:
    policy = load_policy(tiny_checkpoint(family), lora=lora)
    for name, weight in policy.model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=0.2)
    assert can_pack(policy)
    row, row_gradients = run(policy, completion_logprobs, case)
    monkeypatch.setattr(packed, "PACK_TOKENS", 9)
    rows, rows_gradients = run(policy, completion_logprobs, case)
    monkeypatch.setattr(prefix, "can_pack", in_batches)
    plain, plain_gradients = run(policy, completion_logprobs, case)
    for found, gradients in ((row, row_gradients), (rows, rows_gradients)):
        torch.testing.assert_close(found.logprobs_B_T, plain.logprobs_B_T, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.entropy_B_T, plain.entropy_B_T, atol=1e-5, rtol=0)
        for name, gradient in plain_gradients.items():
            torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=0, msg=about(name))


def test_packed_under_autocast_differs_by_its_rounding_alone(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), autocast="bfloat16")
    row, gradients = run(policy, completion_logprobs, CASE)
    monkeypatch.setattr(prefix, "can_pack", in_batches)
    plain, plain_gradients = run(policy, completion_logprobs, CASE)
    torch.testing.assert_close(row.logprobs_B_T, plain.logprobs_B_T, atol=0.1, rtol=0)
    for name, gradient in plain_gradients.items():
        assert gradient is not None
        assert gradients[name] is not None
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradients[name], gradient, atol=0.05 * float(gradient.abs().max()), rtol=0)


def test_only_what_has_been_compared_is_packed(tiny_checkpoint: Callable[[str], Path], tiny_policy: Policy) -> None:
    assert not can_pack(load_policy(tiny_checkpoint("internvl")))
    assert can_pack(tiny_policy)
    layer = tiny_policy.model.model.language_model.layers[1]
    layer.__class__ = type("AnotherDecoderLayer", (type(layer),), {})
    assert not can_pack(tiny_policy)
    assert completion_logprobs(tiny_policy, *cases(tiny_policy)[CASE]).logprobs_B_T.any()
