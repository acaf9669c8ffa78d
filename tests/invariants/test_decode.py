"""Sampler == HF generate (greedy), its log-probs == the trainer's, and batching changes nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pytest
import torch

from srpo.core.records import Sampling
from srpo.policy import decode
from srpo.policy.caches import SharedLayer
from srpo.policy.config import LoraConfig
from srpo.policy.decode import SampledCompletion, sample
from srpo.policy.draw import draw
from srpo.policy.lean import lean_step
from srpo.policy.load import load_policy
from srpo.policy.policy import Policy
from srpo.policy.prefix import batch_prompts, completion_logprobs
from srpo.policy.processor import EncodedPrompt
from tests.support.pictures import picture

FAMILIES = ["qwen2_5_vl", "qwen3_vl", "internvl", "qwen3_5", "windows"]
MEMORIES = ["qwen2_5_vl", "qwen3_5", "windows"]
"""A prompt that is shared, and models that cannot share one."""


def prompts_of(policy: Policy) -> list[EncodedPrompt]:
    return [
        policy.encode("How many bars?", [picture(0)]),
        policy.encode("Which two bars add up to 12? red=5", [picture(1), picture(2, 60, 120)]),
        policy.encode("5+3="),
    ]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(groups: list[list[SampledCompletion]]) -> list[SampledCompletion]:
    return [completion for group in groups for completion in group]


def likely_to_end(policy: Policy, chance: float = 0.1) -> Policy:
    """Let rows end at random points, about one in ten tokens: otherwise an untrained model hardly ever does."""
    head = policy.model.lm_head

    def raise_end(_module: torch.nn.Module, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        others = logits.masked_fill(policy.banned_V, -torch.inf).logsumexp(-1)
        end = others + float(np.log(chance))
        return logits.index_copy(-1, torch.tensor([policy.end_id]), end[..., None])

    head.register_forward_hook(raise_end)
    return policy


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate_with_the_same_banned_tokens(
    tiny_checkpoint: Callable[[str], Path], family: str
) -> None:
    policy = load_policy(tiny_checkpoint(family))
    prompts = prompts_of(policy)
    ours = sample(policy, prompts, num_samples=1, sampling=Sampling(temperature=0, max_tokens=24), generator=seeded())
    for prompt, (completion,) in zip(prompts, ours, strict=True):
        ids = prompt.input_ids[None]
        pictures = dict(batch_prompts(policy, [prompt]).pictures)
        if "image_grid_thw" in pictures:
            pictures["mm_token_type_ids"] = (ids == policy.image_token_id).int()
        theirs = policy.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **pictures,
            do_sample=False,
            max_new_tokens=24,
            suppress_tokens=list(policy.banned_ids),
        )[0, prompt.num_tokens :]
        assert list(completion.token_ids) == theirs.tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_sampler_and_trainer_agree_on_log_probs(
    tiny_checkpoint: Callable[[str], Path], family: str, temperature: float
) -> None:
    policy = likely_to_end(load_policy(tiny_checkpoint(family)))
    prompts = prompts_of(policy)
    sampling = Sampling(temperature=temperature, max_tokens=30)
    groups = sample(policy, prompts, num_samples=8, sampling=sampling, generator=seeded())
    with torch.no_grad():
        scored = completion_logprobs(
            policy, prompts, [[c.token_ids for c in group] for group in groups], temperature=temperature or 1.0
        )
    for row, completion in enumerate(rows(groups)):
        torch.testing.assert_close(
            torch.tensor(completion.logprobs), scored.logprobs_B_T[row, : len(completion.token_ids)], atol=1e-4, rtol=0
        )


def test_nothing_follows_the_end_and_truncation_is_told(tiny_policy: Policy) -> None:
    policy = likely_to_end(tiny_policy)
    groups = sample(policy, prompts_of(policy), num_samples=40, sampling=Sampling(max_tokens=12), generator=seeded())
    assert [len(group) for group in groups] == [40, 40, 40]
    endings = Counter(completion.truncated for completion in rows(groups))
    assert min(endings[True], endings[False]) > 10, "the test needs both kinds"
    for completion in rows(groups):
        assert policy.end_id not in completion.token_ids[:-1]
        assert (completion.token_ids[-1] == policy.end_id) != completion.truncated
        assert len(completion.logprobs) == len(completion.token_ids)
        if completion.truncated:
            assert len(completion.token_ids) == 12


@pytest.mark.parametrize("family", MEMORIES)
def test_results_do_not_depend_on_batching(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    policy = likely_to_end(load_policy(tiny_checkpoint(family)))
    prompts = prompts_of(policy)
    sampling = Sampling(max_tokens=40)

    def tokens(max_bytes: int | None = None) -> list[tuple[int, ...]]:
        generator = seeded()
        groups = sample(policy, prompts, num_samples=20, sampling=sampling, generator=generator, max_bytes=max_bytes)
        return [c.token_ids for c in rows(groups)]

    reference = tokens()
    for max_bytes in (2**20, 2**18, 1):
        assert tokens(max_bytes) == reference
    monkeypatch.setattr(decode, "MIN_FINISHED_SHARE", 2.0)  # never drop a row
    assert tokens() == reference
    monkeypatch.setattr(decode, "MIN_FINISHED_SHARE", 0.0)
    assert tokens() == reference


@pytest.mark.parametrize("max_bytes", [2**18, 2**20, 2**24])
def test_keys_and_values_stay_below_their_share_of_the_bytes(
    tiny_policy: Policy, monkeypatch: pytest.MonkeyPatch, max_bytes: int
) -> None:
    monkeypatch.setattr(decode, "SHARED_FROM", 10**9)  # what is allowed is enough for copies
    sizes: list[tuple[int, int]] = []
    run = decode._Decoder.run

    def measured(decoder: Any) -> Any:
        tensors = [states for layer in decoder.layers for states in (layer.keys, layer.values)]
        sizes.append((len(decoder.row_R), sum(one.untyped_storage().nbytes() for one in tensors)))
        return run(decoder)

    monkeypatch.setattr(decode._Decoder, "run", measured)
    sample(
        tiny_policy, prompts_of(tiny_policy), num_samples=16, sampling=Sampling(max_tokens=30), generator=seeded(),
        max_bytes=max_bytes,
    )  # fmt: skip
    assert sum(rows for rows, _ in sizes) == 16 * len(prompts_of(tiny_policy))
    assert len({rows for rows, _ in sizes[:-1]}) <= 1
    for _, num_bytes in sizes:
        assert num_bytes <= 0.75 * max_bytes
    if len(sizes) > 1:
        # One row more would not have fitted: what choosing tokens takes is bounded, too.
        row = max(num_bytes / rows for rows, num_bytes in sizes) + 32 * tiny_policy.vocab_size
        assert (sizes[0][0] + 1) * row > 0.7 * max_bytes


def test_the_generator_state_decides_everything(tiny_policy: Policy) -> None:
    prompts = prompts_of(tiny_policy)
    sampling = Sampling(max_tokens=10)
    generator = seeded()
    first = sample(tiny_policy, prompts, num_samples=4, sampling=sampling, generator=generator)
    state = generator.get_state()
    torch.manual_seed(123)
    second = sample(tiny_policy, prompts, num_samples=4, sampling=sampling, generator=generator)
    assert second != first
    resumed = torch.Generator()
    resumed.set_state(state)
    torch.manual_seed(456)
    assert sample(tiny_policy, prompts, num_samples=4, sampling=sampling, generator=resumed) == second


def test_samples_follow_the_distribution(tiny_policy: Policy) -> None:
    prompt = tiny_policy.encode("How many bars?", [picture(0)])
    count = 4000
    groups = sample(
        tiny_policy, [prompt], num_samples=count, sampling=Sampling(max_tokens=1), generator=seeded(), max_bytes=2**31
    )
    seen = Counter(completion.token_ids[0] for completion in groups[0])
    allowed = [i for i in range(tiny_policy.vocab_size) if i not in tiny_policy.banned_ids]
    with torch.no_grad():
        probabilities = completion_logprobs(tiny_policy, [prompt], [[[i] for i in allowed]]).logprobs_B_T[:, 0].exp()
    assert not set(seen) & set(tiny_policy.banned_ids)
    for token, probability in zip(allowed, probabilities.tolist(), strict=True):
        deviation = (probability * (1 - probability) / count) ** 0.5
        assert abs(seen[token] / count - probability) < 5 * deviation + 1e-3


@pytest.mark.parametrize("family", MEMORIES)
def test_forced_tokens_begin_the_completion_and_sampling_goes_on_as_if_they_had_been_sampled(
    tiny_checkpoint: Callable[[str], Path], family: str
) -> None:
    policy = likely_to_end(load_policy(tiny_checkpoint(family)))
    prompts = prompts_of(policy)
    sampling = Sampling(max_tokens=30)
    free = sample(policy, prompts, num_samples=12, sampling=sampling, generator=seeded())
    forced = [[c.token_ids[: i % len(c.token_ids)] for i, c in enumerate(group)] for group in free]
    assert {len(tokens) for group in forced for tokens in group} > {0, 1, 2}
    again = sample(policy, prompts, num_samples=12, sampling=sampling, generator=seeded(), forced=forced)
    for one, two in zip(rows(free), rows(again), strict=True):
        assert one.token_ids == two.token_ids
        assert one.truncated == two.truncated
        assert one.logprobs == pytest.approx(two.logprobs, abs=1e-4)


def test_groups_may_differ_in_size(tiny_policy: Policy) -> None:
    groups = sample(
        tiny_policy, prompts_of(tiny_policy), num_samples=[2, 0, 3], sampling=Sampling(max_tokens=3), generator=seeded()
    )
    assert [len(group) for group in groups] == [2, 0, 3]


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["plain weights", "adapters"])
def test_a_lean_step_computes_what_the_modules_compute(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, family: str, lora: LoraConfig | None
) -> None:
    policy = load_policy(tiny_checkpoint(family), lora=lora)
    for name, weight in policy.model.named_parameters():
        if ".lora_B." in name:  # Zero at the start, which would hide them.
            torch.nn.init.normal_(weight, std=0.2)
    arguments: Any = {"num_samples": 6, "sampling": Sampling(max_tokens=30)}
    lean = rows(sample(policy, prompts_of(policy), generator=seeded(), **arguments))
    assert lean_step(policy) is not None
    monkeypatch.setattr(decode, "lean_step", lambda _: None)
    plain = rows(sample(policy, prompts_of(policy), generator=seeded(), **arguments))
    assert [one.token_ids for one in lean] == [one.token_ids for one in plain]
    for ours, theirs in zip(lean, plain, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


def test_a_lean_step_knows_only_what_it_has_been_compared_with(tiny_policy: Policy) -> None:
    layer = tiny_policy.model.model.language_model.layers[1]
    layer.__class__ = type("AnotherDecoderLayer", (type(layer),), {})
    assert lean_step(tiny_policy) is None
    assert rows(sample(tiny_policy, prompts_of(tiny_policy), num_samples=1, sampling=Sampling(max_tokens=3),
                       generator=seeded()))  # fmt: skip


def test_a_lean_step_under_autocast_differs_by_its_rounding_alone(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(tiny_checkpoint("qwen2_5_vl"), autocast="bfloat16")
    allowed = [i for i in range(policy.vocab_size) if i not in policy.banned_ids and i != policy.end_id]
    arguments: Any = {"num_samples": 1, "sampling": Sampling(max_tokens=2, temperature=0.0)}
    forced = [[[token]] for token in allowed[: len(prompts_of(policy))]]
    lean = rows(sample(policy, prompts_of(policy), generator=seeded(), forced=forced, **arguments))
    monkeypatch.setattr(decode, "lean_step", lambda _: None)
    plain = rows(sample(policy, prompts_of(policy), generator=seeded(), forced=forced, **arguments))
    for ours, theirs in zip(lean, plain, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=0.05)


def test_drawing_by_blocks_is_drawing_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    probs = torch.rand((200, 1000), generator=generator) ** 20
    probs[torch.rand(probs.shape, generator=generator) < 0.5] = 0
    probs[:, 300:420] = 0  # whole blocks without any
    probs[:100, 990:] = 0
    uniform = torch.rand(200, generator=generator, dtype=torch.float64)
    uniform[:3] = torch.tensor([0.0, 1 - 2**-53, 0.5], dtype=torch.float64)
    whole = draw(probs, uniform)
    for size in (7, 64, 333):
        monkeypatch.setattr("srpo.policy.draw.DRAW_BLOCK", size)
        by_blocks = draw(probs, uniform)
        assert torch.equal(by_blocks, whole)
        assert bool((probs[torch.arange(200), by_blocks] > 0).all())


def test_draw_inverts_the_cumulative_distribution() -> None:
    probabilities = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    drawn = [int(draw(probabilities, torch.tensor([u], dtype=torch.float64))[0]) for u in (0, 0.2, 0.25, 0.7, 0.75)]
    assert drawn == [1, 1, 3, 3, 4]
    just_below_one = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert int(draw(probabilities, just_below_one)[0]) == 4
    nucleus = [int(draw(probabilities, torch.tensor([u], dtype=torch.float64), 0.6)[0]) for u in (0, 0.6, 0.99)]
    assert set(nucleus) <= {1, 3, 4}
    assert {int(draw(probabilities, torch.tensor([u], dtype=torch.float64), 0.5)[0]) for u in (0, 0.5, 0.99)} == {3}


class Settings(TypedDict, total=False):
    num_samples: int | list[int]
    sampling: Sampling
    forced: list[list[list[int]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampling": Sampling(temperature=-1)}, "temperature must be 0"),
        ({"sampling": Sampling(top_p=0)}, "top_p must be in"),
        ({"sampling": Sampling(max_tokens=0)}, "max_tokens must be at least 1"),
        ({"num_samples": [1, 2]}, "num_samples"),
        ({"forced": [[[5]]] * 2}, "rows per prompt"),
        ({"forced": [[[5] * 256]] * 3}, "256 forced tokens leave no room"),
    ],
)
def test_errors_name_the_value(tiny_policy: Policy, settings: Settings, message: str) -> None:
    arguments: Settings = {"num_samples": 1, "sampling": Sampling(), **settings}
    with pytest.raises(ValueError, match=message):
        sample(tiny_policy, prompts_of(tiny_policy), generator=seeded(), **arguments)
    with pytest.raises(ValueError, match=r"\['<\|im_end\|>'\], which may not stand within"):
        sample(
            tiny_policy, prompts_of(tiny_policy), num_samples=1, sampling=Sampling(), generator=seeded(),
            forced=[[[tiny_policy.end_id]]] * 3,
        )  # fmt: skip


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_a_prompt_that_its_rows_share_gives_the_completions_of_copies(
    tiny_checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    policy = likely_to_end(load_policy(tiny_checkpoint(family)), 0.05)
    made: list[SharedLayer] = []

    class Counted(SharedLayer):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr(decode, "SharedLayer", Counted)

    def completions(shared_from: int, num_samples: list[int]) -> list[SampledCompletion]:
        monkeypatch.setattr(decode, "SHARED_FROM", shared_from)
        arguments: Any = {"num_samples": num_samples, "sampling": Sampling(max_tokens=40)}
        return rows(sample(policy, prompts_of(policy), generator=seeded(3), **arguments))

    for num_samples in ([8, 8, 8], [1, 0, 9], [12, 1, 1]):
        made.clear()
        copies = completions(10**9, num_samples)
        assert not made
        shared = completions(0, num_samples)
        assert made, "nothing was shared"
        assert len({len(one.token_ids) for one in shared}) > 3, "no row was dropped before others"
        assert [one.token_ids for one in shared] == [one.token_ids for one in copies]
        for ours, theirs in zip(shared, copies, strict=True):
            assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
