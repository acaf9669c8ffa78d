"""Which examples form which batch: shuffled, and sorted by length inside windows so that little is padded.

The batches are a pure function of lengths, seed and sizes; a resumed run plans them again and skips what is done.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from srpo.policy.prompts import identity_of
from srpo.runs.progress import note
from srpo.runs.reader import TORN, has_torn_trace, load_traces, trace_file
from srpo.runs.rejects import fingerprint
from srpo.sft.config import SftConfig
from srpo.sft.examples import Examples, make_examples, prompt_of
from srpo.sft.first_answers import HELD_BACK, HeldOut, hold_out

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


class SftPlan(NamedTuple):
    """What a run is going to do."""

    examples: Examples
    batches: list[list[int]]
    """Indices of the examples of every optimizer step."""
    digest: str
    """Hash of the targets, and its prompt, by which a resumed run notices that they changed."""
    held_out: HeldOut | None = None
    """What is asked before and after, where the config wants that."""


def plan_sft(config: SftConfig, policy: "Policy") -> SftPlan:
    """Read the traces and decide on every batch of the run."""
    traces = load_traces(*config.traces)
    check = config.check_first_answer
    held_out = hold_out(traces, check, config) if check is not None else None
    examples = make_examples(held_out.traces if held_out else traces, policy, config)
    if held_out and (num_held_back := len(traces) - len(held_out.traces)):
        examples = examples._replace(dropped=examples.dropped | {HELD_BACK: num_held_back})
    if num_torn := sum(has_torn_trace(trace_file(place)) for place in config.traces):
        examples = examples._replace(dropped={**examples.dropped, TORN: num_torn})
    for reason, count in examples.dropped.items():
        note(f"sft: {count} traces left out: {reason}")
    batches = plan_batches(
        [len(example.tokens) for example in examples.kept],
        batch_size=config.batch_size,
        sort_window=config.sort_window,
        epochs=config.epochs,
        seed=config.seed,
    )
    digest = hashlib.sha256(repr([example.tokens for example in examples.kept]).encode())
    if held_out:
        digest.update(fingerprint(held_out.problems).encode())
    identity = identity_of(digest.hexdigest(), prompt_of(config))
    return SftPlan(examples, batches[: config.max_steps], identity, held_out)


def plan_batches(
    lengths: Sequence[int], *, batch_size: int, sort_window: int, epochs: int, seed: int
) -> list[list[int]]:
    """Indices of the examples of every batch of a run, in order.

    Every epoch visits each example exactly once in its own order. A window of `sort_window` batches is sorted by
    length, cut, and its batches are shuffled again, so that neither short nor long examples come first. The last
    batch of an epoch may be smaller.
    """
    batches: list[list[int]] = []
    for epoch in range(epochs):
        rng = random.Random(f"sft/{seed}/{epoch}")
        order = list(range(len(lengths)))
        rng.shuffle(order)
        window = batch_size * sort_window
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda index: lengths[index])
            if sort_window == 1:
                near = order[start : start + window]
            cut = [near[at : at + batch_size] for at in range(0, len(near), batch_size)]
            rng.shuffle(cut)
            batches += cut
    return batches
