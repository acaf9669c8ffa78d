"""Shared prefix == plain forward: log-probs, entropies and every parameter's gradient, in float32 to 1e-5."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from srpo.policy import head
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import Logprobs, completion_logprobs, plain_logprobs
from srpo.policy.processor import EncodedPrompt
from tests.support.pictures import picture
from tests.support.training import about

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "qwen3_5", "windows"]
TOLERANCE = 1e-5


def tokens(policy: Policy, seed: int, *lengths: int) -> list[list[int]]:
    allowed = [i for i in range(policy.vocab_size) if i not in policy.banned_ids]
    rng = np.random.default_rng(seed)
    return [rng.choice(allowed, size).tolist() for size in lengths]


def cases(policy: Policy) -> dict[str, tuple[list[EncodedPrompt], list[list[list[int]]]]]:
    one = policy.encode("How many bars?", [picture(0)])
    two = policy.encode("Which two bars add up to 12? red=5", [picture(1), picture(2, 60, 120)])
    text = policy.encode("5+3=")
    return {
        "mixed prompts, different G and lengths": (
            [one, two, text],
            [tokens(policy, 0, 5, 1, 20), tokens(policy, 1, 7, 9), tokens(policy, 2, 3, 3, 1, 12)],
        ),
        "one completion each": ([one, two, text], [tokens(policy, i, size) for i, size in enumerate((4, 1, 15))]),
        "text only": ([text, policy.encode("blue=3 red=")], [tokens(policy, 3, 2, 8), tokens(policy, 4, 6)]),
        "one group": ([two], [tokens(policy, 5, *range(1, 40))]),
        "a prompt without completions": ([one, two], [[], tokens(policy, 6, 3, 4, 5)]),
    }


def run(
    policy: Policy, function: Callable[..., Logprobs], case: str
) -> tuple[Logprobs, dict[str, torch.Tensor | None]]:
    policy.model.zero_grad(set_to_none=True)
    result = function(policy, *cases(policy)[case], temperature=0.7, entropy=True)
    weights = torch.randn(result.logprobs_B_T.shape, generator=torch.Generator().manual_seed(0))
    (result.logprobs_B_T * weights).mean().backward()
    return result, {name: p.grad for name, p in policy.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "case",
    [
        "mixed prompts, different G and lengths",
        "one completion each",
        "text only",
        "one group",
        "a prompt without completions",
    ],
)
def test_logprobs_and_all_gradients_equal_the_plain_forward(
    tiny_checkpoint: Callable[[str], Path], family: str, case: str
) -> None:
    policy = load_policy(tiny_checkpoint(family), freeze_vision=False)
    plain, plain_gradients = run(policy, plain_logprobs, case)
    shared, shared_gradients = run(policy, completion_logprobs, case)
    torch.testing.assert_close(shared.logprobs_B_T, plain.logprobs_B_T, atol=TOLERANCE, rtol=0)
    assert plain.entropy_B_T is not None
    torch.testing.assert_close(shared.entropy_B_T, plain.entropy_B_T, atol=TOLERANCE, rtol=0)
    assert torch.equal(shared.mask_B_T, plain.mask_B_T)
    assert plain.logprobs_B_T.min() < -5, "a flat model would hide errors"
    sizes = [g.abs().max() for g in plain_gradients.values() if g is not None]
    assert max(sizes) > 1e-2, "vanishing gradients would hide errors"
    # A prompt without completions still runs through the vision tower, whose gradient is then 0 and not None.
    for name, gradient in plain_gradients.items():
        other = shared_gradients[name]
        if gradient is None or other is None:
            assert gradient is None or not gradient.any()
            assert other is None or not other.any()
        else:
            torch.testing.assert_close(other, gradient, atol=TOLERANCE, rtol=0, msg=about(name))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_learns_and_a_frozen_vision_tower_does_not(
    tiny_checkpoint: Callable[[str], Path], family: str
) -> None:
    case = "mixed prompts, different G and lengths"
    policy = load_policy(tiny_checkpoint(family), freeze_vision=False)
    _, gradients = run(policy, completion_logprobs, case)
    assert all(g is not None and g.any() for g in gradients.values())
    frozen = load_policy(tiny_checkpoint(family))
    _, language_gradients = run(frozen, completion_logprobs, case)
    assert not any(".visual." in name for name in language_gradients)
    for name, gradient in language_gradients.items():
        torch.testing.assert_close(gradient, gradients[name])


def test_padding_and_groups_do_not_change_a_row(tiny_policy: Policy) -> None:
    prompts, groups = cases(tiny_policy)["mixed prompts, different G and lengths"]
    together = completion_logprobs(tiny_policy, prompts, groups)
    row = 0
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            alone = completion_logprobs(tiny_policy, [prompt], [[completion]]).logprobs_B_T[0]
            torch.testing.assert_close(together.logprobs_B_T[row, : len(completion)], alone, atol=TOLERANCE, rtol=0)
            assert not together.logprobs_B_T[row, len(completion) :].any()
            assert together.mask_B_T[row].sum() == len(completion)
            row += 1


@pytest.mark.parametrize("bias", [False, True], ids=["plain head", "head with a bias"])
@pytest.mark.parametrize("frozen", [False, True], ids=["head learns", "head is frozen"])
def test_slices_of_a_large_vocabulary_change_nothing(
    tiny_policy: Policy, monkeypatch: pytest.MonkeyPatch, bias: bool, frozen: bool
) -> None:
    case = "mixed prompts, different G and lengths"
    if bias:
        tiny_policy.model.lm_head.bias = torch.nn.Parameter(torch.linspace(-1, 1, tiny_policy.vocab_size))
    tiny_policy.model.lm_head.weight.requires_grad_(not frozen)
    whole, whole_gradients = run(tiny_policy, completion_logprobs, case)
    monkeypatch.setattr(head, "MAX_LOGITS", 7 * tiny_policy.vocab_size)
    monkeypatch.setattr(head, "SLICE_LOGITS", 3 * tiny_policy.vocab_size)
    sliced, sliced_gradients = run(tiny_policy, completion_logprobs, case)
    torch.testing.assert_close(sliced.logprobs_B_T, whole.logprobs_B_T, atol=1e-6, rtol=0)
    torch.testing.assert_close(sliced.entropy_B_T, whole.entropy_B_T, atol=5e-6, rtol=0)
    assert whole_gradients.keys() == sliced_gradients.keys()
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(sliced_gradients[name], gradient, atol=1e-6, rtol=0)


def test_slices_under_autocast_differ_by_its_rounding_alone(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), autocast="bfloat16")
    case = "mixed prompts, different G and lengths"
    whole, whole_gradients = run(policy, completion_logprobs, case)
    monkeypatch.setattr(head, "MAX_LOGITS", 7 * policy.vocab_size)
    monkeypatch.setattr(head, "SLICE_LOGITS", 3 * policy.vocab_size)
    sliced, sliced_gradients = run(policy, completion_logprobs, case)
    torch.testing.assert_close(sliced.logprobs_B_T, whole.logprobs_B_T, atol=1e-5, rtol=0)
    for name, gradient in whole_gradients.items():
        assert gradient is not None
        assert sliced_gradients[name] is not None
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(sliced_gradients[name], gradient, atol=0.02 * float(gradient.abs().max()), rtol=0)


def test_probabilities_sum_to_one_without_the_banned_tokens(tiny_policy: Policy) -> None:
    prompt = tiny_policy.encode("How many bars?", [picture(0)])
    allowed = [i for i in range(tiny_policy.vocab_size) if i not in tiny_policy.banned_ids]
    with torch.no_grad():
        result = completion_logprobs(tiny_policy, [prompt], [[[token] for token in allowed]], temperature=0.5)
    assert float(result.logprobs_B_T.exp().sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("function", [completion_logprobs, plain_logprobs])
def test_errors_name_the_value(tiny_policy: Policy, function: Callable[..., Logprobs]) -> None:
    prompt = tiny_policy.encode("5+3=")
    with pytest.raises(ValueError, match=r"<\|image_pad\|>"):
        function(tiny_policy, [prompt], [[[5, tiny_policy.image_token_id]]])
    with pytest.raises(ValueError, match="row 1 has no tokens"):
        function(tiny_policy, [prompt], [[[5], []]])
    with pytest.raises(ValueError, match="temperature must be positive"):
        function(tiny_policy, [prompt], [[[5]]], temperature=0.0)
    with pytest.raises(ValueError, match="1 prompts but completions for 2"):
        function(tiny_policy, [prompt], [[[5]], [[5]]])
    with pytest.raises(ValueError, match="no completions"):
        function(tiny_policy, [prompt], [[]])
