"""Which examples form which batch: shuffled, and sorted by length inside windows so that little is padded.

The batches are a pure function of lengths, seed and sizes; a resumed run plans them again and skips what is done.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from srpo.runs.progress import note
from srpo.runs.reader import load_traces
from srpo.sft.config import SftConfig
from srpo.sft.examples import Examples, make_examples

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


class SftPlan(NamedTuple):
    """What a run is going to do."""

    examples: Examples
    batches: list[list[int]]
    """Indices of the examples of every optimizer step."""
    digest: str
    """Hash of the targets, by which a resumed run notices that its traces changed."""


def plan_sft(config: SftConfig, policy: "Policy") -> SftPlan:
    """Read the traces and decide on every batch of the run."""
    examples = make_examples(load_traces(*config.traces), policy, config)
    for reason, count in examples.dropped.items():
        note(f"sft: {count} traces left out: {reason}")
    batches = plan_batches(
        [len(example.tokens) for example in examples.kept],
        batch_size=config.batch_size,
        sort_window=config.sort_window,
        epochs=config.epochs,
        seed=config.seed,
    )
    digest = hashlib.sha256(repr([example.tokens for example in examples.kept]).encode()).hexdigest()
    return SftPlan(examples, batches[: config.max_steps], digest)


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
