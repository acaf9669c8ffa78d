"""Completions in one row without padding: the numbers of batches with padding, in many rows, types and settings."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch.nn.attention import flex_attention

from srpo.policy import packed, packed_flex, prefix
from srpo.policy.config import LoraConfig
from srpo.policy.load import load_policy
from srpo.policy.packed import can_pack
from srpo.policy.packed_flex import FlexLooks, flex_looks, works_on
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs
from tests.invariants.test_shared_prefix import cases, run
from tests.support.training import about

CASE = "mixed prompts, different G and lengths"
QWEN = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


# Torch warns that it is not compiled here, and looks at gradients that it does not need.
flex_warns = pytest.mark.filterwarnings("ignore::UserWarning")


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


@pytest.fixture
def flex_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention computes gradients on a CPU too, in its plain form, but refuses to be asked for them."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    works_on.cache_clear()


@flex_warns
@pytest.mark.usefixtures("flex_on_cpu")
@pytest.mark.parametrize(
    ("family", "case"), [*((family, CASE) for family in QWEN), ("qwen2_5_vl", "a prompt without completions")]
)
def test_flex_attention_equals_batches_in_log_probs_and_all_gradients(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, family: str, case: str
) -> None:
    policy = load_policy(tiny_checkpoint(family))
    with monkeypatch.context() as patch:
        patch.setattr(prefix, "can_pack", in_batches)
        plain, plain_gradients = run(policy, completion_logprobs, case)
    asked: list[int] = []

    def looks(
        policy: Policy, prompt_B: Sequence[int], length_B: Sequence[int], sizes: Sequence[int], padded: int
    ) -> FlexLooks:
        asked.append(1)
        return flex_looks(prompt_B, length_B, sizes, padded, policy.device)

    monkeypatch.setattr(prefix, "looks_of", looks)
    for row_tokens in (9, 8192):
        monkeypatch.setattr(packed, "PACK_TOKENS", row_tokens)
        found, gradients = run(policy, completion_logprobs, case)
        torch.testing.assert_close(found.logprobs_B_T, plain.logprobs_B_T, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.entropy_B_T, plain.entropy_B_T, atol=1e-5, rtol=0)
        for name, gradient in plain_gradients.items():
            torch.testing.assert_close(gradients[name], gradient, atol=1e-5, rtol=0, msg=about(name))
    assert len(asked) >= 2


@flex_warns
def test_flex_attention_is_trusted_where_it_says_what_plain_attention_does(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = (torch.device("cpu"), 4, 2, 16, torch.float32)
    works_on.cache_clear()
    assert not works_on(*case)
    assert "FlexAttention does not run here (NotImplementedError)" in capsys.readouterr().err
    request.getfixturevalue("flex_on_cpu")
    assert works_on(*case), capsys.readouterr().err
    assert not capsys.readouterr().err
    works_on.cache_clear()
    right = packed_flex.flex_attend
    monkeypatch.setattr(packed_flex, "flex_attend", lambda *given: 2 * right(*given))
    assert not works_on(*case)
    assert "off plain attention here" in capsys.readouterr().err
    works_on.cache_clear()


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
