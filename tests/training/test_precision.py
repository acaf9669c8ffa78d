"""Which attention a policy is held with: what is asked for, what can run, and that numbers do not depend on it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers.utils

from srpo.policy import load
from srpo.policy.load import load_policy
from srpo.policy.precision import pick_attention
from srpo.policy.prefix import completion_logprobs
from tests.invariants.test_shared_prefix import FAMILIES, cases


def test_flash_attention_is_taken_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: True)
    assert pick_attention("auto", "cuda:0", "bfloat16") == "flash_attention_2"
    assert pick_attention("flash_attention_2", "cuda", "float16") == "flash_attention_2"
    assert pick_attention("sdpa", "cuda:0", "bfloat16") == "sdpa"
    assert pick_attention("auto", "cuda:0", "float32") == "sdpa"
    assert pick_attention("auto", "cpu", "bfloat16") == "sdpa"


@pytest.mark.parametrize(
    ("device", "computed", "installed", "why"),
    [
        ("cpu", "bfloat16", True, "it runs on a CUDA GPU, and device is 'cpu'"),
        ("cuda:1", "float32", True, "it computes in bfloat16 or float16, not in float32; set dtype or autocast"),
        ("cuda:1", "bfloat16", False, "it is not installed: pip install flash-attn"),
    ],
)
def test_flash_attention_that_cannot_run_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, device: str, computed: str, installed: bool, why: str
) -> None:
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: installed)
    with pytest.raises(ValueError, match=re.escape(f"attention 'flash_attention_2': {why}; take sdpa, or auto")):
        pick_attention("flash_attention_2", device, computed)
    assert pick_attention("auto", device, computed) == "sdpa"


def test_a_policy_on_a_cpu_refuses_it(tiny_checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="it runs on a CUDA GPU"):
        load_policy(tiny_checkpoint("qwen2_5_vl"), device="cpu", attention="flash_attention_2")


@pytest.mark.parametrize("family", FAMILIES)
def test_another_kernel_is_the_towers_alone_and_gives_the_same_numbers(
    tiny_checkpoint: Callable[[str], Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = load_policy(tiny_checkpoint(family))
    # Flash attention cannot run here; transformers' own goes the same way to the same place.
    monkeypatch.setattr(load, "pick_attention", lambda *_: "eager")
    other = load_policy(tiny_checkpoint(family))
    assert (usual.picture_kernel, other.picture_kernel) == ("sdpa", "eager")
    assert "pictures by eager" in other.describe()
    assert "pictures by" not in usual.describe()
    for policy in (usual, other):
        layers = policy.model.model.language_model.layers
        kernels = {one.self_attn.config._attn_implementation for one in layers if hasattr(one, "self_attn")}
        assert kernels == {"sdpa"}
    prompts, completions = cases(usual)["mixed prompts, different G and lengths"]
    with torch.no_grad():
        found = [completion_logprobs(policy, prompts, completions).logprobs_B_T for policy in (usual, other)]
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=0)
    assert not torch.equal(found[0], found[1]), "the tower's kernel was another one"
