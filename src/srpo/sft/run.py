"""`srpo sft`: the cold start (stage 1b). Teach the reflective format, and what a reflection is for, from traces.

    with RunDir.open("runs/sft", config, "sft") as run_dir:
        summary = run(config, run_dir)

A stopped or killed run goes on from its last checkpoint and ends with the same metrics and weights.
"""

from srpo.core.records import Record
from srpo.policy.load import save_policy
from srpo.policy.optim import Optimizer
from srpo.policy.prompts import PromptEncoder
from srpo.policy.trained import load_trained
from srpo.runs.directory import RunDir
from srpo.runs.origin import check_same_data
from srpo.sft.batches import plan_sft
from srpo.sft.config import SftConfig
from srpo.sft.train import SftTrainer, train


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


def run(config: SftConfig, run_dir: RunDir) -> SftSummary:
    """Train, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: the model or the traces cannot be read, or no trace can be learned from.
        Stopped: the user asked to stop; the state is saved.
    """
    if run_dir.finished:
        return SftSummary.model_validate(run_dir.summary())
    checkpoint = run_dir.latest_checkpoint()
    policy = load_trained(config, checkpoint.path if checkpoint else None)
    plan = plan_sft(config, policy)
    optimizer = Optimizer(policy.model, config.optim, len(plan.batches))
    if checkpoint:
        optimizer.load(checkpoint.path)
        check_same_data(checkpoint.extra, plan.digest, ", ".join(config.traces))
    trainer = SftTrainer(
        config=config,
        policy=policy,
        optimizer=optimizer,
        encoder=PromptEncoder(policy, config.prompt, size=config.prompt_cache, max_pixels=config.max_pixels),
        plan=plan,
    )
    run_dir.total_steps = len(plan.batches)
    tokens = train(trainer, run_dir, checkpoint.step if checkpoint else 0)
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
