"""SFT without a model where possible: the plan of batches, the schedule, which tokens carry loss."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from srpo.core.records import Attempt, FormatError, Grade, Origin, Parsed, Problem, Response, Trace
from srpo.core.response import render, render_attempt
from srpo.policy.config import OptimConfig
from srpo.policy.optim import Optimizer, lr_scale
from srpo.policy.policy import Policy
from srpo.policy.prompts import split
from srpo.runs.reader import load_traces
from srpo.sft.batches import plan_batches
from srpo.sft.config import SftConfig
from srpo.sft.examples import Example, make_examples
from srpo.sft.train import loss_mask

PROBLEM = Problem(id="1", question="How many bars?", answer="3")
RESPONSE = Response(
    first=Attempt(think="a", answer="2"), reflection="look again", second=Attempt(think="b", answer="3")
)


class CharPolicy(Policy):
    """The text side of a policy, without a model: one token per character, 0 ends."""

    def __init__(self) -> None:
        """No model is loaded."""

    def encode_text(self, completion: str) -> list[int]:
        if "\x07" in completion:
            raise ValueError("a banned token")
        return [*map(ord, completion), 0]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(token) for token in token_ids if token)


def grade(right: bool) -> Grade:
    return Grade(verdict="correct" if right else "incorrect", extracted=None, reason="")


def trace(parsed: Parsed = RESPONSE, *, right: bool = False) -> Trace:
    return Trace(
        origin=Origin(stage="reflect", model="m"),
        problem=PROBLEM,
        style="single" if isinstance(parsed, Attempt) else "reflective",
        text="the raw text is never the target",
        parsed=parsed,
        first_grade=grade(right),
        final_grade=grade(True),
    )


def config(**changes: object) -> SftConfig:
    return SftConfig.model_validate({"model": "m", "traces": ("t",), **changes})


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    batch_size=st.integers(1, 9),
    sort_window=st.integers(1, 4),
    epochs=st.integers(1, 3),
)
def test_every_epoch_visits_every_example_once(
    lengths: list[int], batch_size: int, sort_window: int, epochs: int
) -> None:
    plan = plan_batches(lengths, batch_size=batch_size, sort_window=sort_window, epochs=epochs, seed=0)
    assert Counter(index for batch in plan for index in batch) == dict.fromkeys(range(len(lengths)), epochs)
    assert max(map(len, plan)) <= batch_size
    per_epoch = len(plan) // epochs
    first = Counter(index for batch in plan[:per_epoch] for index in batch)
    assert set(first.values()) == {1}
    assert len(first) == len(lengths)


def test_sorting_inside_windows_pads_less_and_keeps_the_order_shuffled() -> None:
    lengths = [10 + (index * 7919) % 90 for index in range(640)]

    def padded(sort_window: int) -> int:
        plan = plan_batches(lengths, batch_size=16, sort_window=sort_window, epochs=1, seed=0)
        return sum(len(batch) * max(lengths[index] for index in batch) for batch in plan)

    assert padded(8) < 0.7 * padded(1)
    plan = plan_batches(lengths, batch_size=16, sort_window=8, epochs=1, seed=0)
    means = [sum(lengths[index] for index in batch) / len(batch) for batch in plan]
    assert means != sorted(means)


def test_another_seed_is_another_order_and_the_same_seed_the_same() -> None:
    def plan(seed: int) -> list[list[int]]:
        return plan_batches([5] * 40, batch_size=8, sort_window=2, epochs=2, seed=seed)

    assert plan(0) == plan(0)
    assert plan(0) != plan(1)


def test_split_cuts_without_loss() -> None:
    assert split([3, 1, 4, 1, 5], 2) == [[3, 1], [4, 1], [5]]
    assert split([3, 1, 4], None) == [[3, 1, 4]]


def test_schedule_warms_up_and_falls_to_zero() -> None:
    cosine = OptimConfig(warmup_share=0.1)
    scales = [lr_scale(step, 100, cosine) for step in range(100)]
    assert scales[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(scales) == 1.0
    assert scales[10:] == sorted(scales[10:], reverse=True)
    assert scales[-1] < 0.001
    # Where the run is measured in tokens, its progress places the cosine, however many steps that takes.
    by_tokens = OptimConfig(warmup_steps=2)
    assert [
        lr_scale(step, None, by_tokens, share) for step, share in ((1, 0.5), (9, 0.5), (900, 1.0))
    ] == pytest.approx([1.0, 0.5, 0.0])
    constant = OptimConfig(schedule="constant", warmup_steps=2)
    assert [lr_scale(step, None, constant) for step in (0, 1, 2, 1000)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizer_saved_and_loaded_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = OptimConfig.model_validate({"name": name, "lr": 0.01, "warmup_steps": 2, "weight_decay": 0.1})
    inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))

    def network() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))

    def learn(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
        for _ in range(steps):
            model(inputs).square().mean().backward()
            optimizer.step()

    whole = network()
    learn(whole, Optimizer(whole, settings, 6), 6)
    first = network()
    optimizer = Optimizer(first, settings, 6)
    learn(first, optimizer, 3)
    optimizer.save(tmp_path)
    second = network()
    second.load_state_dict(first.state_dict())
    resumed = Optimizer(second, settings, 6)
    resumed.load(tmp_path)
    learn(second, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_gradient_that_is_not_finite_changes_no_weight() -> None:
    model = nn.Linear(2, 1)
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = Optimizer(model, OptimConfig(lr=0.1), 4)
    (model(torch.ones(1, 2)) * torch.inf).sum().backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert optimizer.num_steps == 1


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Optimizer(nn.Linear(2, 1).requires_grad_(False), OptimConfig(), 4)


@pytest.mark.parametrize(
    ("choice", "right", "skips"),
    [("all", False, False), ("right", False, True), ("right", True, False), ("none", True, True)],
)
def test_which_first_attempts_carry_loss(choice: str, right: bool, skips: bool) -> None:
    examples = make_examples([trace(right=right)], CharPolicy(), config(first_attempt_loss=choice))
    (example,) = examples.kept
    first = len("<think>a</think>\n<answer>2</answer>")
    assert CharPolicy().decode(list(example.tokens)) == render(RESPONSE)
    assert example.first_tokens == first
    assert example.skipped_tokens == (first if skips else 0)


def test_traces_that_cannot_be_learned_from_are_counted() -> None:
    attempt = Attempt(think="a", answer="3")
    banned = RESPONSE.model_copy(update={"reflection": "\x07"})
    longer = RESPONSE.model_copy(update={"reflection": "x" * 500})
    traces = [trace(), trace(attempt), trace(FormatError(where=0, what="no think")), trace(banned), trace(longer)]
    examples = make_examples(traces, CharPolicy(), config(max_tokens=200))
    assert len(examples.kept) == 1
    assert examples.dropped == {
        "not of style 'reflective'": 1,
        "format does not parse": 1,
        "a banned token": 1,
        "longer than max_tokens 200": 1,
    }
    (single,) = make_examples(traces, CharPolicy(), config(style="single")).kept
    assert CharPolicy().decode(list(single.tokens)) == render_attempt(attempt)
    assert single.skipped_tokens == 0
    with pytest.raises(ValueError, match="none of the 1 traces in t can be learned from"):
        make_examples([trace(FormatError(where=0, what="no think"))], CharPolicy(), config())


def test_loss_mask_covers_the_target_after_what_is_skipped() -> None:
    examples = [
        Example(problem=PROBLEM, tokens=(1, 2, 3), first_tokens=2, skipped_tokens=2),
        Example(problem=PROBLEM, tokens=(1, 2), first_tokens=1, skipped_tokens=0),
    ]
    assert loss_mask(examples, torch.zeros(2, 3)).tolist() == [[False, False, True], [True, True, False]]


def test_traces_of_several_runs_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "traces.jsonl").write_text(trace().model_dump_json() + "\n", encoding="utf-8")
    other = tmp_path / "other.jsonl"
    other.write_text(trace().model_dump_json() + "\n" + trace(right=True).model_dump_json() + "\n", encoding="utf-8")
    assert len(load_traces(str(run), other)) == 3
    other.write_text(trace().model_dump_json() + "\n" + trace(right=True).model_dump_json(), encoding="utf-8")
    assert len(load_traces(other)) == 2, "an editor that writes no last line end loses no trace"
    other.write_text(trace().model_dump_json() + '\n{"a": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.jsonl:2: not a trace"):
        load_traces(other)
    with pytest.raises(ValueError, match="neither a run directory"):
        load_traces(tmp_path / "nowhere")


def test_config_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="no meaning for style 'single'"):
        config(style="single", first_attempt_loss="none")
    with pytest.raises(ValueError, match="at least 1"):
        config(traces=())
