"""A frozen tower that is asked once per picture and step: the same tokens, log-probs and gradients as if asked anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from srpo.core.records import Sampling
from srpo.grading import Grader
from srpo.policy.config import LoraConfig
from srpo.policy.decode import sample
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs, plain_logprobs
from srpo.policy.vision import features_bytes, see
from srpo.policy.vision_check import image_effect
from srpo.rl.problems import load_rl_problems
from srpo.rl.run import open_trainer
from srpo.rl.train import collect, update
from srpo.rl.trainer import RlTrainer
from srpo.runs.directory import RunDir
from tests.invariants.test_shared_prefix import FAMILIES, cases, tokens
from tests.support.training import about, rl_config

MIXED = "mixed prompts, different G and lengths"


@contextmanager
def counted(*policies: Policy) -> Iterator[list[int]]:
    """The number of pictures in every pass of the policies' towers."""
    passes: list[int] = []

    def count(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        grids = kwargs.get("grid_thw")
        passes.append(len(kwargs.get("pixel_values", args[0] if args else ()) if grids is None else grids))

    towers = {policy.family.vision_modules(policy.model)[0] for policy in policies}
    hooks = [tower.register_forward_pre_hook(count, with_kwargs=True) for tower in towers]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", [MIXED, "one completion each", "text only", "a prompt without completions"])
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "adapters"])
def test_seen_prompts_give_the_same_bits(
    tiny_checkpoint: Callable[[str], Path], family: str, case: str, lora: LoraConfig | None
) -> None:
    policy = load_policy(tiny_checkpoint(family), lora=lora)
    prompts, completions = cases(policy)[case]
    seen = see(policy, prompts)
    found = []
    for own in (prompts, seen):
        policy.model.zero_grad(set_to_none=True)
        with counted(policy) as passes:
            result = completion_logprobs(policy, own, completions, entropy=True)
        (result.logprobs_B_T.sin() * result.mask_B_T).sum().backward()
        assert (not passes) == (own is seen or case == "text only")
        gradients = {name: weight.grad for name, weight in policy.model.named_parameters() if weight.requires_grad}
        found.append((result, gradients))
    (plain, plain_gradients), (ours, our_gradients) = found
    assert torch.equal(plain.logprobs_B_T, ours.logprobs_B_T)
    assert plain.entropy_B_T is not None
    assert ours.entropy_B_T is not None
    assert torch.equal(plain.entropy_B_T, ours.entropy_B_T)
    assert any(one is not None and one.any() for one in plain_gradients.values())
    for name, gradient in plain_gradients.items():
        other = our_gradients[name]
        assert (gradient is None) == (other is None), name
        assert gradient is None or other is None or torch.equal(gradient, other), name
    reference = plain_logprobs(policy, seen, completions)
    torch.testing.assert_close(reference.logprobs_B_T, ours.logprobs_B_T, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_seen_prompts_are_sampled_and_learned_from(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    policy = load_policy(tiny_checkpoint(family))
    prompts = cases(policy)[MIXED][0]

    def sampled(own: Any) -> Any:
        generator = torch.Generator().manual_seed(3)
        return sample(policy, own, num_samples=3, sampling=Sampling(max_tokens=12), generator=generator)

    seen = see(policy, prompts)
    assert sampled(seen) == sampled(prompts)
    # Features that are seen in the sampler's inference mode can be learned from all the same.
    with torch.inference_mode():
        seen = see(policy, prompts)
    completions = cases(policy)[MIXED][1]
    completion_logprobs(policy, seen, completions).logprobs_B_T.sum().backward()


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_that_were_seen_mix_with_others_in_any_order(
    tiny_checkpoint: Callable[[str], Path], family: str
) -> None:
    policy = load_policy(tiny_checkpoint(family))
    prompts, completions = cases(policy)[MIXED]
    plain = completion_logprobs(policy, prompts, completions).logprobs_B_T
    one, two, text = see(policy, prompts)
    assert text.features is None
    for mixed in ([prompts[0], two, text], [one, prompts[1], text]):
        with counted(policy) as passes:
            ours = completion_logprobs(policy, mixed, completions).logprobs_B_T
        assert len(passes) == 1
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0, msg=about(family))
    order = [2, 1, 0]
    turned = completion_logprobs(policy, [(one, two, text)[i] for i in order], [completions[i] for i in order])
    assert turned.logprobs_B_T.shape == plain.shape
    torch.testing.assert_close(turned.logprobs_B_T.sum(), plain.sum(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tower_that_trains_is_asked_every_time(tiny_checkpoint: Callable[[str], Path], family: str) -> None:
    for policy in (
        load_policy(tiny_checkpoint(family), freeze_vision=False),
        load_policy(tiny_checkpoint(family), lora=LoraConfig(rank=2, vision=True)),
    ):
        prompts, _ = cases(policy)[MIXED]
        with counted(policy) as passes:
            assert see(policy, prompts) == prompts
        assert not passes


def test_what_was_seen_is_bounded_in_bytes(tiny_checkpoint: Callable[[str], Path]) -> None:
    policy = load_policy(tiny_checkpoint("qwen3_vl"))
    prompts, _ = cases(policy)[MIXED]
    first, second, _ = see(policy, prompts)
    size = features_bytes(first.features)
    layers = len(policy.model.model.visual.deepstack_visual_indexes)
    assert size == (1 + layers) * first.num_image_tokens * policy.model.config.text_config.hidden_size * 4
    bounded = see(policy, prompts, most=size)
    assert [one.features is not None for one in bounded] == [True, False, False]
    assert second.features is not None
    assert see(policy, prompts, most=0) == prompts


def test_exchanged_pictures_are_noticed_in_prompts_that_were_seen(tiny_checkpoint: Callable[[str], Path]) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"))
    prompts, _ = cases(policy)[MIXED]
    texts = [tokens(policy, i, 6) for i in range(3)]
    before, after = image_effect(policy, prompts, texts), image_effect(policy, see(policy, prompts), texts)
    assert before.max_abs > 1e-3
    assert abs(before.max_abs - after.max_abs) < 1e-5
    assert before.num_prompts == after.num_prompts == 2


def steps(trainer: RlTrainer, count: int) -> list[tuple[int, int]]:
    """Pictures that the towers were shown, and those that were sampled from, in each of some steps."""
    found = []
    for step in range(1, count + 1):
        assert trainer.reference is not None
        with counted(trainer.policy, trainer.reference) as passes:
            rollout = collect(trainer, step)
            own = [group for group in rollout.groups if not group.is_roll_in]
            update(trainer, rollout.groups, step)
        found.append((sum(passes), len(own)))
    return found


@pytest.mark.parametrize("changes", [{}, {"lora": {"rank": 2}}], ids=["full", "adapters"])
def test_the_tower_sees_every_picture_once_in_a_step(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = rl_config(
        tiny_checkpoint("qwen2_5_vl"), **changes, max_refills=2, online_filter="final", prompt_cache=0, max_tokens=6,
        loss={"kl_coef": 0.1, "minibatches": 3, "inner_epochs": 2}, micro_prompts=1, micro_responses=3,
    )  # fmt: skip
    problems = load_rl_problems(config)
    with RunDir.open(tmp_path / "run", config, "rl") as run_dir, Grader(symbolic=False) as grader:
        shown = steps(open_trainer(config, run_dir, problems, None, grader), 2)
    # An untrained model's groups are all alike, so that every step uses up its refills.
    assert shown == [(9, 9), (9, 9)]
