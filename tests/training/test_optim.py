"""The optimizer: low precision trains, moments come back, and files of other weights are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from srpo.policy.adamw8 import AdamW8
from srpo.policy.config import OptimConfig
from srpo.policy.load import load_policy
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.prefix import completion_logprobs

SLOW = OptimConfig(lr=1e-6, schedule="constant", warmup_steps=0)
EIGHT = SLOW.model_copy(update={"name": "adamw8bit"})


def learn(policy: Policy, optimizer: Optimizer, steps: int) -> None:
    prompt = policy.encode("How many?", [])
    targets = [[policy.encode_text(f"<answer>{number}</answer>") for number in (3, 4)]]
    for _ in range(steps):
        (-completion_logprobs(policy, [prompt], targets).logprobs_B_T.sum()).backward()
        optimizer.step()


def test_bfloat16_weights_train_at_the_learning_rate_of_the_paper(tiny_checkpoint: Callable[[str], Path]) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), dtype="bfloat16")
    optimizer = Optimizer(policy.model, SLOW, None)
    hidden = [master for _, master in optimizer._masters if master.ndim == 2 and len(master) < policy.vocab_size]
    start = [master.detach().clone() for master in hidden]
    learn(policy, optimizer, 20)
    moved = [float((now != before).float().mean()) for now, before in zip(hidden, start, strict=True)]
    assert sum(moved) / len(moved) > 0.9
    for weight, master in optimizer._masters:
        assert torch.equal(weight, master.to(torch.bfloat16))
        assert master.dtype == torch.float32


def test_masters_take_the_steps_that_float32_weights_take() -> None:
    torch.manual_seed(0)
    whole = nn.Linear(8, 8)
    half = nn.Linear(8, 8).to(torch.bfloat16)
    with torch.no_grad():
        for ours, theirs in zip(whole.parameters(), half.parameters(), strict=True):
            theirs.copy_(ours)
            ours.copy_(theirs)
    in_float32, with_masters = Optimizer(whole, SLOW, None), Optimizer(half, SLOW, None)
    random = torch.Generator().manual_seed(0)
    for _ in range(50):
        for one, other in zip(whole.parameters(), half.parameters(), strict=True):
            other.grad = torch.randn(one.shape, generator=random).to(torch.bfloat16)
            one.grad = other.grad.float()
        in_float32.step()
        with_masters.step()
    for weight, (_, master) in zip(whole.parameters(), with_masters._masters, strict=True):
        torch.testing.assert_close(master, weight, atol=1e-9, rtol=0)


def test_bfloat16_weights_move_on_average_as_far_as_float32_ones_when_they_are_rounded_at_random() -> None:
    torch.manual_seed(0)
    start = torch.randn(300, 300).to(torch.bfloat16)
    whole, half, plain = (
        nn.Parameter(start.to(kind, copy=True)) for kind in (torch.float32, torch.bfloat16, torch.bfloat16)
    )
    in_float32, rounded = (
        torch.optim.AdamW([one], lr=1e-6, betas=(0.9, 0.99), weight_decay=0.0) for one in (whole, plain)
    )
    at_random = AdamW8([half], lr=1e-6, betas=(0.9, 0.99))
    for _ in range(100):
        whole.grad = torch.randn(300, 300) * 0.1 + 0.1
        half.grad = plain.grad = whole.grad.to(torch.bfloat16)
        for optimizer in (in_float32, rounded, at_random):
            optimizer.step()
    wanted, found = ((one.detach().float() - start.float()).mean() for one in (whole, half))
    assert abs(found / wanted - 1) < 0.1
    # What rounding to nearest makes of it: only weights near 0, whose last digits are small, move at all.
    assert abs((plain.detach().float() - start.float()).mean() / wanted) < 0.1


@pytest.mark.parametrize(("spread", "most"), [(0.0, 0.05), (0.3, 0.05), (1.0, 0.2)])
def test_eight_bit_moments_take_almost_the_steps_of_float32_ones(spread: float, most: float) -> None:
    torch.manual_seed(0)
    start = torch.randn(200, 130)
    exact, packed = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    eight = AdamW8([packed], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    optimizers = (torch.optim.AdamW([exact], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1), eight)
    # At spread 1 some weights have gradients a thousand times smaller than others of their block.
    size = 10 ** (torch.randn(200, 130) * spread)
    for _ in range(50):
        exact.grad = packed.grad = torch.randn(200, 130) * size + size
        for optimizer in optimizers:
            optimizer.step()
    moved = exact.detach() - start
    apart = (packed - exact).detach()
    assert apart.norm() / moved.norm() < most
    assert apart.abs().max() < 2 * moved.abs().max(), "a second moment that became 0 would explode its step"
    state = eight.state[packed]
    num_bytes = sum(value.numel() * value.element_size() for value in state.values() if isinstance(value, torch.Tensor))
    assert num_bytes / start.numel() < 2.05


def test_pieces_of_a_batch_add_up_in_low_precision() -> None:
    weight = nn.Linear(64, 64, bias=False).to(torch.bfloat16)
    with_masters = Optimizer(weight, SLOW, None)
    inputs = torch.ones(1, 64, dtype=torch.bfloat16)
    for _ in range(1000):
        (weight(inputs).sum() * 2.0**-3).backward()
    assert weight.weight.grad is None
    assert with_masters.step() == pytest.approx(1000 * 2.0**-3 * 64)
    eight = nn.Linear(64, 64, bias=False).to(torch.bfloat16)
    optimizer = Optimizer(eight, EIGHT, None)
    for _ in range(1000):
        (eight(inputs).sum() * 2.0**-3).backward()
    # Plain bfloat16 addition stops at 32, where 1/8 is half of the last digit.
    assert optimizer.step() == pytest.approx(1000 * 2.0**-3 * 64, rel=0.02)


@pytest.mark.parametrize("config", [SLOW, EIGHT])
def test_a_resumed_low_precision_run_goes_on_as_if_nothing_had_happened(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, config: OptimConfig
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), dtype="bfloat16")
    optimizer = Optimizer(policy.model, config, None)
    learn(policy, optimizer, 3)
    optimizer.save(tmp_path)
    state = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    learn(policy, optimizer, 3)
    again = load_policy(tiny_checkpoint("qwen2_5_vl"), dtype="bfloat16")
    again.model.load_state_dict(state)
    resumed = Optimizer(again.model, config, None)
    resumed.load(tmp_path)
    learn(again, resumed, 3)
    for ours, theirs in zip(optimizer._stepped, resumed._stepped, strict=True):
        assert torch.equal(ours, theirs)
    for (name, ours), theirs in zip(policy.model.named_parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def saved(folder: Path, size: int) -> Path:
    layer = nn.Linear(size, size)
    optimizer = Optimizer(layer, OptimConfig(), None)
    layer(torch.ones(1, size)).sum().backward()
    optimizer.step()
    optimizer.save(folder)
    return folder / "optimizer.pt"


def test_moments_of_another_shape_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    message = r"moments \(exp_avg of weight 0 has shape \(3, 3\), not \(4, 4\)"
    with pytest.raises(ValueError, match=message):
        Optimizer(nn.Linear(4, 4), OptimConfig(), None).load(tmp_path)
    with pytest.raises(ValueError, match="it is of 1 optimizers, the config asks for 2"):
        Optimizer(nn.Linear(3, 3), OptimConfig(name="muon"), None).load(tmp_path)
    with pytest.raises(ValueError, match="it has masters of 0 weights, the model needs 2"):
        Optimizer(nn.Linear(3, 3).to(torch.bfloat16), OptimConfig(), None).load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_torn_moments_are_a_named_error(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, 3)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match="does not hold this model's moments"):
        Optimizer(nn.Linear(3, 3), OptimConfig(), None).load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_foreign_files_are_a_named_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "optimizer.pt").write_bytes(content)
    with pytest.raises(ValueError, match="does not hold this model's moments"):
        Optimizer(nn.Linear(3, 3), OptimConfig(), None).load(tmp_path)
