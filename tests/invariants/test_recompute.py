"""Layers computed again, responses in pieces: the numbers of the plain forward in a fraction of its memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from srpo.policy.config import LoraConfig
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs, plain_logprobs
from srpo.policy.processor import EncodedPrompt
from srpo.policy.recompute import logprobs_in_pieces, recompute_layers
from tests.invariants.test_shared_prefix import cases, tokens
from tests.support.training import about

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "qwen3_5", "windows"]
TOLERANCE = 1e-5
CASES = ["mixed prompts, different G and lengths", "one completion each", "text only", "one group"]
Learned = tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor | None]]


def weights_of(size: int, length: int) -> torch.Tensor:
    return torch.randn((size, length), generator=torch.Generator().manual_seed(0)) / (size * length)


def gradients(policy: Policy) -> dict[str, torch.Tensor | None]:
    return {name: p.grad for name, p in policy.model.named_parameters() if p.requires_grad}


def plainly(policy: Policy, case: str) -> Learned:
    result = plain_logprobs(policy, *cases(policy)[case], temperature=0.7, entropy=True)
    (result.logprobs_B_T * weights_of(*result.logprobs_B_T.shape)).sum().backward()
    return result.logprobs_B_T.detach(), result.entropy_B_T, gradients(policy)


def in_pieces(policy: Policy, case: str, micro_responses: int | None) -> Learned:
    prompts, completions = cases(policy)[case]
    rows = [one for group in completions for one in group]
    logprobs, entropies = (torch.zeros(len(rows), max(map(len, rows))) for _ in range(2))
    weights = weights_of(*logprobs.shape)
    for part, result in logprobs_in_pieces(
        policy, prompts, completions, micro_responses=micro_responses, temperature=0.7, entropy=True
    ):
        size = result.logprobs_B_T.shape[1]
        (result.logprobs_B_T * weights[part, :size]).sum().backward()
        logprobs[part, :size] = result.logprobs_B_T.detach()
        assert result.entropy_B_T is not None
        entropies[part, :size] = result.entropy_B_T
    return logprobs, entropies, gradients(policy)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("micro_responses", [1, 3, None])
def test_logprobs_and_gradients_equal_the_plain_forward(
    tiny_checkpoint: Callable[[str], Path], family: str, case: str, micro_responses: int | None
) -> None:
    plain = plainly(load_policy(tiny_checkpoint(family), freeze_vision=False), case)
    policy = load_policy(tiny_checkpoint(family), freeze_vision=False)
    recompute_layers(policy.model)
    pieces = in_pieces(policy, case, micro_responses)
    torch.testing.assert_close(pieces[0], plain[0], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(pieces[1], plain[1], atol=TOLERANCE, rtol=0)
    for name, gradient in plain[2].items():
        other = pieces[2][name]
        if gradient is None or other is None:
            assert gradient is None or not gradient.any(), name
            assert other is None or not other.any(), name
        else:
            torch.testing.assert_close(other, gradient, atol=TOLERANCE, rtol=0, msg=about(name))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4), LoraConfig(rank=4, vision=True)])
def test_layers_that_are_computed_again_change_no_bit(
    tiny_checkpoint: Callable[[str], Path], family: str, lora: LoraConfig | None
) -> None:
    found = []
    for again in (False, True):
        policy = load_policy(tiny_checkpoint(family), lora=lora)
        for name, weight in policy.model.named_parameters():
            if ".lora_B." in name:
                weight.data.normal_(generator=torch.Generator().manual_seed(0))
        if again:
            recompute_layers(policy.model)
        found.append(in_pieces(policy, CASES[0], 2)[2])
    assert found[0]
    for name, gradient in found[0].items():
        assert gradient is not None
        other = found[1][name]
        assert other is not None
        assert torch.equal(other, gradient), name


def test_without_gradients_pieces_are_the_same_numbers(tiny_policy: Policy) -> None:
    prompts, completions = cases(tiny_policy)[CASES[0]]
    with torch.no_grad():
        whole = completion_logprobs(tiny_policy, prompts, completions).logprobs_B_T
        recompute_layers(tiny_policy.model)
        pieces = list(logprobs_in_pieces(tiny_policy, prompts, completions, micro_responses=2))
    for part, result in pieces:
        size = result.logprobs_B_T.shape[1]
        torch.testing.assert_close(result.logprobs_B_T, whole[part, :size], atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def wide() -> Policy:
    """Two layers of Qwen2.5-VL-3B's language model with random weights, text alone."""
    from srpo.policy.load import shipped_base

    tiny = load_policy("tiny-base", trainable=False)
    config = transformers.Qwen2_5_VLConfig.from_pretrained(shipped_base())
    for name, value in {"hidden_size": 2048, "intermediate_size": 11008, "num_attention_heads": 16,
                        "num_key_value_heads": 2, "num_hidden_layers": 2}.items():  # fmt: skip
        setattr(config.text_config, name, value)
    config.text_config.rope_parameters["mrope_section"] = [16, 24, 24]
    config.vision_config.out_hidden_size = 2048
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).eval()
    model.model.visual.requires_grad_(False)
    return Policy(model, tiny.processor, name="wide")


def saved_bytes(policy: Policy, work: Callable[[], Iterator[Any]]) -> int:
    """Most bytes that autograd keeps at one time beside the weights while `work` goes forward and backward."""
    weights = {p.untyped_storage().data_ptr() for p in policy.model.parameters()}
    kept: dict[int, int] = {}
    counts: dict[int, int] = {}
    most = 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal most
            self.tensor, self.key = tensor, tensor.untyped_storage().data_ptr()
            if self.key not in weights:
                counts[self.key] = counts.get(self.key, 0) + 1
                kept[self.key] = tensor.untyped_storage().nbytes()
                most = max(most, sum(kept.values()))

        def __del__(self) -> None:
            if self.key in counts:
                counts[self.key] -= 1
                if not counts[self.key]:
                    del counts[self.key], kept[self.key]

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda one: one.tensor):
        for loss in work():
            loss.backward()
    return most


def test_what_is_kept_falls_to_an_eighth_at_the_width_of_a_3b_model(wide: Policy) -> None:
    prompt = EncodedPrompt(input_ids=torch.tensor(tokens(wide, 0, 256)[0]))
    group = tokens(wide, 1, *[96] * 8)

    def whole() -> Iterator[torch.Tensor]:
        yield completion_logprobs(wide, [prompt], [group]).logprobs_B_T.sum()

    def pieces() -> Iterator[torch.Tensor]:
        for _, result in logprobs_in_pieces(wide, [prompt], [group], micro_responses=1):
            yield result.logprobs_B_T.sum()

    before = saved_bytes(wide, whole)
    wide.model.zero_grad(set_to_none=True)
    recompute_layers(wide.model)
    after = saved_bytes(wide, pieces)
    assert before > 200e6, "too little to measure"
    assert before / after > 8, (before, after)
