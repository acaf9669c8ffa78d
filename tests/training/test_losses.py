import math
from typing import TypedDict, Unpack, get_args

import pytest
import torch
from torch import Tensor

from srpo.rl.config import LossVariant
from srpo.rl.losses import Loss, Normalizer, clipped_surrogate, k3, normalizer, policy_loss

VARIANTS: tuple[LossVariant, ...] = get_args(LossVariant)
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
OLD = torch.log(torch.tensor([[0.5, 0.4, 0.3, 0.2], [0.6, 0.5, 0.1, 0.1], [0.9, 0.1, 0.1, 0.1]]))
ADVANTAGES = torch.tensor([1.0, -0.5, 2.0])


class Options(TypedDict, total=False):
    clip_low: float
    clip_high: float
    normalizer_of_batch: Normalizer
    reference_logprobs_B_T: Tensor
    kl_coef: float
    sampler_logprobs_B_T: Tensor
    importance_cap: float


def loss_of(
    variant: LossVariant,
    logprobs: Tensor,
    *,
    advantages: Tensor = ADVANTAGES,
    mask: Tensor = MASK,
    old: Tensor = OLD,
    **options: Unpack[Options],
) -> Loss:
    return policy_loss(
        variant,
        logprobs_B_T=logprobs,
        old_logprobs_B_T=old,
        advantages=advantages,
        mask_B_T=mask,
        max_tokens=8,
        **options,
    )


def gradient(of: Tensor) -> Tensor:
    assert of.grad is not None
    return of.grad


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("grpo", -(1.0 - 0.5 + 2.0) / 3),
        ("dr_grpo", -(4 * 1.0 - 2 * 0.5 + 2.0) / (3 * 8)),
        ("dapo", -(4 * 1.0 - 2 * 0.5 + 2.0) / 7),
        ("gspo", -(1.0 - 0.5 + 2.0) / 3),
        (
            "cispo",
            -(math.log(0.5 * 0.4 * 0.3 * 0.2) * 1.0 - 0.5 * math.log(0.6 * 0.5) + 2.0 * math.log(0.9)) / 7,
        ),
    ],
)
def test_on_policy_value_and_statistics(variant: LossVariant, expected: float) -> None:
    loss, stats = loss_of(variant, OLD.clone())
    assert loss.item() == pytest.approx(expected)
    assert (stats.num_tokens, stats.ratio, stats.ratio_max, stats.clip_fraction) == (7, 1.0, 1.0, 0.0)
    assert (stats.old_kl, stats.reference_kl) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("variant", "weights"),
    [
        ("grpo", [1 / 12, 1 / 6, 1 / 3]),
        ("dr_grpo", [1 / 24] * 3),
        ("dapo", [1 / 7] * 3),
        ("gspo", [1 / 12, 1 / 6, 1 / 3]),
        ("cispo", [1 / 7] * 3),
    ],
)
def test_on_policy_gradient_is_the_policy_gradient(variant: LossVariant, weights: list[float]) -> None:
    """At ratio 1 a token's gradient is its advantage times the weight that the variant gives it."""
    logprobs = OLD.clone().requires_grad_()
    loss_of(variant, logprobs).loss.backward()
    expected = -(ADVANTAGES * torch.tensor(weights))[:, None] * MASK
    torch.testing.assert_close(gradient(logprobs), expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_outside_the_mask_is_read(variant: LossVariant) -> None:
    logprobs = OLD.clone().requires_grad_()
    reference = OLD - 0.1
    value = loss_of(variant, logprobs, reference_logprobs_B_T=reference, kl_coef=0.1).loss
    for junk in (-math.inf, math.nan, 50.0):
        dirty = torch.where(MASK, OLD, junk).requires_grad_()
        spoiled = torch.where(MASK, ADVANTAGES[:, None].expand_as(OLD), math.nan)
        old, ref = (torch.where(MASK, values, junk) for values in (OLD, reference))
        loss = loss_of(variant, dirty, advantages=spoiled, old=old, reference_logprobs_B_T=ref, kl_coef=0.1).loss
        loss.backward()
        assert loss.item() == pytest.approx(value.item())
        assert torch.isfinite(gradient(dirty)).all()
        assert (gradient(dirty)[~MASK] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_pieces_add_up_to_the_whole(variant: LossVariant) -> None:
    torch.manual_seed(0)
    whole = (OLD + 0.3 * torch.randn_like(OLD)).requires_grad_()
    loss = loss_of(variant, whole).loss
    loss.backward()
    batch = normalizer(MASK)
    assert batch == Normalizer(num_responses=3, num_tokens=7)
    pieces = whole.detach().clone().requires_grad_()
    total = 0.0
    for rows in (slice(0, 1), slice(1, 3)):
        piece = loss_of(
            variant,
            pieces[rows],
            advantages=ADVANTAGES[rows],
            mask=MASK[rows],
            old=OLD[rows],
            normalizer_of_batch=batch,
        ).loss
        piece.backward()
        total += piece.item()
    assert total == pytest.approx(loss.item())
    torch.testing.assert_close(gradient(pieces), gradient(whole))


def test_clipping_is_one_sided() -> None:
    ratio = torch.tensor([[1.5, 0.5, 1.5, 0.5]])
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    surrogate, clipped = clipped_surrogate(ratio, advantages, 0.2, 0.3)
    torch.testing.assert_close(surrogate, torch.tensor([[1.3, 0.5, -1.5, -0.8]]))
    assert clipped.tolist() == [[True, False, False, True]]


def test_clipped_tokens_get_no_gradient_and_are_counted() -> None:
    logprobs = (OLD + torch.log(torch.tensor(1.5))).requires_grad_()
    loss, stats = loss_of("dapo", logprobs, clip_high=0.28)
    loss.backward()
    # Advantages of rows 0 and 2 are positive, so their 5 of 7 tokens are clipped; row 1 still wants down.
    assert stats.clip_fraction == pytest.approx(5 / 7)
    assert stats.ratio == pytest.approx(1.5)
    assert (gradient(logprobs)[0] == 0).all()
    assert (gradient(logprobs)[1][MASK[1]] > 0).all()
    assert loss.item() == pytest.approx(-(4 * 1.28 - 2 * 0.5 * 1.5 + 2 * 1.28) / 7)


def test_gspo_has_one_ratio_per_response() -> None:
    shift = torch.tensor([[0.2, -0.2, 0.1, 0.1], [0.3, 0.1, 9.0, 9.0], [-0.1, 9.0, 9.0, 9.0]])
    logprobs = (OLD + shift).requires_grad_()
    loss, stats = loss_of("gspo", logprobs, clip_low=0.5, clip_high=0.5)
    ratios = torch.exp(torch.tensor([0.05, 0.2, -0.1]))
    assert loss.item() == pytest.approx(-(ratios * ADVANTAGES).mean().item())
    loss.backward()
    # d/dlogprob of exp(mean) is exp(mean) / length at each token.
    expected = -(ratios * ADVANTAGES / torch.tensor([4.0, 2.0, 1.0]) / 3)[:, None] * MASK
    torch.testing.assert_close(gradient(logprobs), expected)
    assert stats.ratio_max == pytest.approx(math.exp(0.2))


def test_cispo_clips_the_weight_of_a_token_and_keeps_its_gradient() -> None:
    """MiniMax-M1, eq. 4: the gradient of a token is sg(clip(ratio)) x advantage / number of tokens."""
    shift = torch.log(torch.tensor([[1.5, 1.1, 0.5, 1.0], [1.5, 0.5, 9.0, 9.0], [0.1, 9.0, 9.0, 9.0]]))
    logprobs = (OLD + shift).requires_grad_()
    loss, stats = loss_of("cispo", logprobs, clip_low=0.2, clip_high=0.3)
    loss.backward()
    weights = torch.tensor([[1.3, 1.1, 0.8, 1.0], [1.3, 0.8, 0.0, 0.0], [0.8, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(gradient(logprobs), -weights * ADVANTAGES[:, None] / 7)
    assert stats.clip_fraction == pytest.approx(5 / 7)
    assert loss.item() == pytest.approx(float(-(weights * ADVANTAGES[:, None] * logprobs.detach())[MASK].sum() / 7))


def test_a_clip_low_of_1_sets_cispo_no_lower_bound() -> None:
    logprobs = (OLD - 3.0).requires_grad_()
    loss, stats = loss_of("cispo", logprobs, clip_low=1.0)
    loss.backward()
    torch.testing.assert_close(gradient(logprobs), -math.exp(-3.0) * ADVANTAGES[:, None] * MASK / 7)
    assert stats.clip_fraction == 0


def test_importance_weights_are_the_trainers_over_the_samplers_up_to_the_cap() -> None:
    sampler = OLD - torch.log(torch.tensor([[1.5, 0.5, 4.0, 1.0], [1.0, 8.0, 9.0, 9.0], [0.25, 9.0, 9.0, 9.0]]))
    weights = torch.tensor([[1.5, 0.5, 2.0, 1.0], [1.0, 2.0, 0.0, 0.0], [0.25, 0.0, 0.0, 0.0]])
    logprobs = OLD.clone().requires_grad_()
    loss, stats = loss_of("dapo", logprobs, sampler_logprobs_B_T=sampler, importance_cap=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(float(-(weights * ADVANTAGES[:, None]).sum() / 7))
    torch.testing.assert_close(gradient(logprobs), -weights * ADVANTAGES[:, None] / 7)
    assert stats.importance == pytest.approx(8.25 / 7)
    assert stats.importance_capped == pytest.approx(2 / 7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sampler_that_agrees_weighs_nothing(variant: LossVariant) -> None:
    logprobs = OLD + 0.1
    weighted = loss_of(variant, logprobs, sampler_logprobs_B_T=OLD, importance_cap=2.0)
    assert weighted.loss == loss_of(variant, logprobs).loss
    assert (weighted.stats.importance, weighted.stats.importance_capped) == (1.0, 0.0)


def test_importance_weights_leave_the_kl_alone() -> None:
    reference, far = OLD - 0.5, OLD - 5.0
    zero = torch.zeros(3)
    plain = loss_of("grpo", OLD, advantages=zero, reference_logprobs_B_T=reference, kl_coef=0.1).loss
    weighted = loss_of(
        "grpo",
        OLD,
        advantages=zero,
        reference_logprobs_B_T=reference,
        kl_coef=0.1,
        sampler_logprobs_B_T=far,
        importance_cap=2.0,
    ).loss
    assert weighted == plain


def test_advantages_per_token() -> None:
    per_token = torch.tensor([[1.0, 1.0, -1.0, -1.0], [0.5, 0.5, 9, 9], [0.0, 9, 9, 9]])
    logprobs = OLD.clone().requires_grad_()
    loss_of("grpo", logprobs, advantages=per_token).loss.backward()
    assert gradient(logprobs)[0].sign().tolist() == [-1, -1, 1, 1]
    assert (gradient(logprobs)[2] == 0).all()
    same = ADVANTAGES[:, None].expand_as(OLD)
    assert loss_of("grpo", OLD, advantages=same).loss == loss_of("grpo", OLD).loss


def test_k3_is_an_unbiased_nonnegative_estimate() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.3, 0.2])
    estimate = k3(p.log(), q.log())
    assert (estimate >= 0).all()
    assert (p * estimate).sum().item() == pytest.approx((p * (p / q).log()).sum().item(), abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_kl_pulls_back_to_the_reference(variant: LossVariant) -> None:
    logprobs = OLD.clone().requires_grad_()
    zero = torch.zeros(3)
    loss, stats = loss_of(variant, logprobs, advantages=zero, reference_logprobs_B_T=OLD - 0.5, kl_coef=0.1)
    loss.backward()
    kl = math.exp(-0.5) + 0.5 - 1
    assert stats.reference_kl == pytest.approx(kl)
    assert loss.item() == pytest.approx(0.1 * kl * (7 / 24 if variant == "dr_grpo" else 1.0))
    assert (gradient(logprobs)[MASK] > 0).all()


def test_a_response_without_tokens_is_harmless() -> None:
    mask = MASK.clone()
    mask[2] = False
    for variant in VARIANTS:
        loss, stats = loss_of(variant, OLD.clone().requires_grad_(), mask=mask)
        assert torch.isfinite(loss)
        assert stats.num_tokens == 6


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("dr_grpo", {}, "give max_tokens"),
        ("grpo", {"kl_coef": 0.1}, "kl_coef 0.1 needs the reference"),
        ("grpo", {"importance_cap": 2.0}, "importance_cap 2.0 needs the sampler"),
        ("ppo", {}, "unknown loss 'ppo'; use one of grpo, dr_grpo, dapo, gspo, cispo"),
    ],
)
def test_impossible_settings(variant: LossVariant, options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy_loss(variant, logprobs_B_T=OLD, old_logprobs_B_T=OLD, advantages=ADVANTAGES, mask_B_T=MASK, **options)
