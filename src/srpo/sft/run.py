"""`srpo sft`: the cold start (stage 1b). Teach the reflective format, and what a reflection is for, from traces.

    with RunDir.open("runs/sft", config, "sft") as run_dir:
        summary = run(config, run_dir)

A stopped or killed run goes on from its last checkpoint and ends with the same metrics and weights.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from srpo.core.records import Record
from srpo.policy.load import load_policy, save_policy
from srpo.policy.optim import Optimizer
from srpo.policy.prompts import PromptEncoder
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal
from srpo.runs.origin import check_same_data
from srpo.runs.progress import note, progress
from srpo.sft.batches import plan_batches
from srpo.sft.config import SftConfig
from srpo.sft.examples import Examples, load_traces, make_examples
from srpo.sft.train import train_step

if TYPE_CHECKING:
    from srpo.policy.policy import Policy


class SftSummary(Record):
    """What `srpo sft` did; `summary.json` holds the same."""

    stage: str = "sft"
    model: str
    """Checkpoint directory of the result."""
    steps: int
    tokens: int
    """Target tokens that carried loss, over all epochs."""
    seconds: float
    """Time of work, over all processes of a resumed run."""
    num_examples: int
    dropped: dict[str, int]
    """Traces that were not learned from, by reason."""
    metrics: dict[str, float]
    """The last step's row."""


class SftPlan(NamedTuple):
    """What a run is going to do."""

    examples: Examples
    batches: list[list[int]]
    digest: str
    """Hash of the targets, by which a resumed run notices that its traces changed."""


def run(config: SftConfig, run_dir: RunDir) -> SftSummary:
    """Train, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: the model or the traces cannot be read, or no trace can be learned from.
        Stopped: the user asked to stop; the state is saved.
    """
    if run_dir.finished:
        return SftSummary.model_validate(run_dir.summary())
    checkpoint = run_dir.latest_checkpoint()
    start = checkpoint.step if checkpoint else 0
    policy = load_policy(
        checkpoint.path if checkpoint else config.model,
        device=config.device,
        dtype=config.dtype,
        autocast=config.autocast,
        freeze_vision=config.freeze_vision,
    )
    plan = plan_sft(config, policy)
    optimizer = Optimizer(policy.model, config.optim, len(plan.batches))
    if checkpoint:
        optimizer.load(checkpoint.path)
        check_same_data(checkpoint.extra, plan.digest, ", ".join(config.traces))
    tokens = _train(config, run_dir, policy, optimizer, plan, start)
    run_dir.save_model(lambda path: save_policy(policy, path))
    row = list(run_dir.metrics())[-1]
    summary = SftSummary(
        model=str(run_dir.model_path),
        steps=len(plan.batches),
        tokens=tokens,
        seconds=row.pop("time_s"),
        num_examples=len(plan.examples.kept),
        dropped=plan.examples.dropped,
        metrics=row,
    )
    run_dir.finish(summary.model_dump())
    return summary


def plan_sft(config: SftConfig, policy: "Policy") -> SftPlan:
    """Read the traces and decide on every batch of the run."""
    examples = make_examples(load_traces(config.traces), policy, config)
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


def _train(
    config: SftConfig, run_dir: RunDir, policy: "Policy", optimizer: Optimizer, plan: SftPlan, start: int
) -> int:
    """Run the batches from `start` on; returns the loss tokens of the whole run."""
    encoder = PromptEncoder(policy, config.prompt, size=config.prompt_cache, max_pixels=config.max_pixels)
    total = len(plan.batches)
    run_dir.total_steps = total
    kept = plan.examples.kept
    seen = sum(map(len, plan.batches[:start]))
    tokens = sum(kept[index].num_loss_tokens for batch in plan.batches[:start] for index in batch)
    with stop_signal() as stop, progress(total, "sft", done=start) as bar:
        for step in range(start + 1, total + 1):
            batch = [kept[index] for index in plan.batches[step - 1]]
            metrics = train_step(policy, optimizer, encoder, batch, config.micro_batch_size)
            seen += len(batch)
            tokens += sum(example.num_loss_tokens for example in batch)
            run_dir.log(step, metrics | {"sft/tokens": tokens, "sft/epoch": seen / len(kept)})
            bar.advance(1, loss=metrics["sft/loss"])
            if stop.requested or (step % config.checkpoint_every == 0 and step < total):
                run_dir.checkpoint(step, _saver(policy, optimizer), {"data": plan.digest})
            if stop.requested:
                raise Stopped(f"after step {step} of {total}")
    return tokens


def _saver(policy: "Policy", optimizer: Optimizer) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        save_policy(policy, path)
        optimizer.save(path)

    return save
