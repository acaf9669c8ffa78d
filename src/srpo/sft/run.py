"""`srpo sft`: the cold start (stage 1b). Teach the reflective format, and what a reflection is for, from traces.

    with RunDir.open("runs/sft", config, "sft") as run_dir:
        summary = run(config, run_dir)

A stopped or killed run goes on from its last checkpoint and ends with the same metrics and weights.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from srpo.core.records import Record
from srpo.core.statistics import mean
from srpo.policy.optim import Optimizer, describe_longer
from srpo.policy.prompts import PromptEncoder, save_model
from srpo.policy.team import Team, carried_out
from srpo.policy.trained import load_trained
from srpo.runs.best import BestModel
from srpo.runs.checkpoint import Checkpoint
from srpo.runs.directory import RunDir
from srpo.runs.origin import check_same_data
from srpo.runs.progress import note
from srpo.runs.trackers import check_trackers
from srpo.runs.watch import watching
from srpo.sft.batches import SftPlan, plan_sft
from srpo.sft.config import SftConfig
from srpo.sft.examples import prompt_of
from srpo.sft.first_answers import Answers, FirstAnswers, answer_first, compare_answers
from srpo.sft.train import SftTrainer, train

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

_BEFORE = "first_answers"
"""What a checkpoint calls the start model's answers: the run that goes on from it has that model no more."""
_HELD_OUT = "sft/held_out/first_accuracy"
_ADVICE = (
    "a lower optim.lr, fewer epochs, first_attempt_loss: right, or `balance: family` and a lower wrong_share in "
    "`srpo reflect` unlearn less"
)


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
    first_answers: FirstAnswers | None = None
    """The first answer before and after, with `check_first_answer`."""
    best: BestModel | None = None
    """The best model, where `keep_best` asks for it."""
    ended: str = ""
    """Why the run ended before its steps did, if it did."""


def run(config: SftConfig, run_dir: RunDir) -> SftSummary:
    """Train, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: the model or the traces cannot be read, or no trace can be learned from.
        Stopped: the user asked to stop; the state is saved.
    """
    return carried_out(config, run_dir, _run, SftSummary)


def _run(config: SftConfig, run_dir: RunDir, team: Team) -> SftSummary | None:
    check_trackers(config.trackers)
    checkpoint = run_dir.latest_checkpoint()
    policy = load_trained(config, checkpoint.path if checkpoint else None)
    plan = plan_sft(config, policy)
    if checkpoint:
        check_same_data(checkpoint.extra, plan.digest, ", ".join(config.traces))
    # One process asks while the others wait: these problems are few.
    before = team.told(answers_before(config, policy, plan, checkpoint) if team.leads else None)
    if before is not None and not checkpoint:
        run_dir.log(0, {_HELD_OUT: mean(one for one in before if one is not None)})
    optimizer = Optimizer(policy.model, config.optim, len(plan.batches), team)
    if checkpoint:
        optimizer.load(checkpoint.path)
    trainer = SftTrainer(
        config=config,
        policy=policy,
        optimizer=optimizer,
        encoder=_encoder(config, policy),
        plan=plan,
        state={"data": plan.digest, "total": len(plan.batches)} | ({_BEFORE: before} if before is not None else {}),
    )
    run_dir.total_steps = len(plan.batches)
    if checkpoint and run_dir.grown:
        lengths = checkpoint.extra.get("total", checkpoint.step), len(plan.batches)
        note(f"sft: goes on: {describe_longer(config.optim, *lengths, 'steps', optimizer.lr)}")

    def save(path: Path) -> None:
        save_model(policy, trainer.encoder.prompt, path)

    with closing(trainer.encoder), watching(run_dir, config, save) as watch:
        reached = train(trainer, run_dir, checkpoint.step if checkpoint else 0, watch)
    if not team.leads:
        return None
    run_dir.save_model(save)
    row = list(run_dir.metrics())[-1]
    first_answers = None
    if before is not None:
        first_answers = compare_with(before, config, policy, plan)
        run_dir.log(reached.step, {_HELD_OUT: first_answers.after})
    summary = SftSummary(
        model=str(run_dir.model_path),
        steps=reached.step,
        tokens=reached.tokens,
        seconds=row.pop("time_s"),
        num_examples=len(plan.examples.kept),
        dropped=plan.examples.dropped,
        metrics=row,
        first_answers=first_answers,
        best=watch.best,
        ended=watch.ended or "",
    )
    run_dir.finish(summary.model_dump())
    return summary


def _encoder(config: SftConfig, policy: "Policy") -> PromptEncoder:
    return PromptEncoder(
        policy,
        prompt_of(config),
        size=config.prompt_cache,
        max_pixels=config.max_pixels,
        workers=config.picture_workers,
    )


def answers_before(config: SftConfig, policy: "Policy", plan: SftPlan, checkpoint: Checkpoint | None) -> Answers | None:
    """The start model's first answers: asked now, or kept by the checkpoint; None when nobody wants them."""
    check, held_out = config.check_first_answer, plan.held_out
    if check is None or held_out is None:
        return None
    if checkpoint:
        kept: Answers = checkpoint.extra[_BEFORE]
        return kept
    note(f"sft: asking the start model {len(held_out.problems)} problems that it will not learn from")
    return answer_first(policy, held_out.problems, held_out.prompt_before, check, config)


def compare_with(before: Answers, config: SftConfig, policy: "Policy", plan: SftPlan) -> FirstAnswers:
    """Ask the result the same problems, and say what changed: aloud, when it is for the worse."""
    check, held_out = config.check_first_answer, plan.held_out
    assert check is not None
    assert held_out is not None
    after = answer_first(policy, held_out.problems, prompt_of(config), check, config)
    found = compare_answers(held_out.problems, before, after, held_out.prompt_before)
    if found.harmed:
        note(f"sft: warning: the cold start harms what the model could do: {found.tell()}; {_ADVICE}")
    return found
