"""`srpo rl`: reflection-aware GRPO (stage 2), or plain GRPO with `style: single` and `preset: grpo`.

    with RunDir.open("runs/rl", config, "rl") as run_dir:
        summary = run(config, run_dir)

A stopped or killed run goes on from its last checkpoint and ends with the same metrics and weights: the order of the
problems and every sampling seed are functions of `seed` and of the place in the run, so a checkpoint holds weights,
optimizer moments, the position in the stream of problems and the token count, and no generator state.
"""

from pathlib import Path
from typing import NamedTuple

from srpo.core.records import Problem, Record, Sampling
from srpo.data.sources import load_problems
from srpo.data.usable import check_usable
from srpo.grading import Grader
from srpo.policy.load import load_policy, save_policy
from srpo.policy.optim import Optimizer
from srpo.policy.prompts import PromptEncoder
from srpo.rl.batches import Collected, ProblemStream
from srpo.rl.checks import check_format_rate, check_image_effect, gradable
from srpo.rl.config import RlConfig
from srpo.rl.rollout import Judge
from srpo.rl.train import Clock, Session, evaluate, learn_from, sample_groups
from srpo.runs.checkpoint import Checkpoint
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stop, Stopped, stop_signal
from srpo.runs.origin import check_same_data, make_origin
from srpo.runs.progress import Bar, note, progress
from srpo.runs.rejects import fingerprint


class RlSummary(Record):
    """What `srpo rl` did; `summary.json` holds the same."""

    stage: str = "rl"
    model: str
    """Checkpoint directory of the result."""
    steps: int
    tokens: int
    """Generated tokens, dropped groups included, evaluation left out."""
    seconds: float
    """Time of work, over all processes of a resumed run."""
    seconds_by_part: dict[str, float]
    """Where the last process spent its time: encode, sample, grade, learn; held-out evaluation is part of them."""
    num_problems: int
    num_ungradable: int
    """Problems that were left out because their gold answer cannot be graded."""
    metrics: dict[str, float]
    """The last step's row."""


class Data(NamedTuple):
    """The problems of a run."""

    train: tuple[Problem, ...]
    num_ungradable: int
    held_out: tuple[Problem, ...]
    digest: str


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    tokens: int


def run(config: RlConfig, run_dir: RunDir) -> RlSummary:
    """Train, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: model or data cannot be used, the first format rate is too low, or pictures have no effect.
        Stopped: the user asked to stop; the state is saved.
    """
    if run_dir.finished:
        return RlSummary.model_validate(run_dir.summary())
    data = load_data(config)
    checkpoint = run_dir.latest_checkpoint()
    with Grader(symbolic=config.symbolic) as grader:
        session = open_session(config, run_dir, data, checkpoint, grader)
        reached = _train(session, run_dir, data, checkpoint)
    run_dir.save_model(lambda path: save_policy(session.policy, path))
    row = list(run_dir.metrics())[-1]
    summary = RlSummary(
        model=str(run_dir.model_path),
        steps=reached.step,
        tokens=reached.tokens,
        seconds=row.pop("time_s"),
        seconds_by_part={part: round(seconds, 3) for part, seconds in session.clock.seconds.items()},
        num_problems=len(data.train),
        num_ungradable=data.num_ungradable,
        metrics=row,
    )
    run_dir.finish(summary.model_dump())
    return summary


def load_data(config: RlConfig) -> Data:
    """Read the problems, leave out those that cannot be graded, and say so."""
    found = load_problems(config.data)
    check_usable(found, config.data.label)
    train = gradable(found.problems, config.data.label)
    if train.ungradable:
        first_id, reason = train.ungradable[0]
        note(f"rl: {len(train.ungradable)} problems left out, their gold cannot be graded, e.g. {first_id!r}: {reason}")
    held_out: tuple[Problem, ...] = ()
    if config.eval is not None:
        held_out = gradable(load_problems(config.eval.data).problems, config.eval.data.label).problems
    return Data(train.problems, len(train.ungradable), held_out, fingerprint([*train.problems, *held_out]))


def open_session(
    config: RlConfig,
    run_dir: RunDir,
    data: Data,
    checkpoint: Checkpoint | None,
    grader: Grader,
) -> Session:
    """Load models and optimizer, at the checkpoint if there is one."""
    extra = checkpoint.extra if checkpoint else {}
    check_same_data(extra, data.digest, config.data.label)
    policy = load_policy(
        checkpoint.path if checkpoint else config.model,
        device=config.device,
        dtype=config.dtype,
        autocast=config.autocast,
        freeze_vision=config.freeze_vision,
    )
    reference = None
    if config.loss.kl_coef > 0:
        reference = load_policy(
            config.model, device=config.device, dtype=config.dtype, autocast=config.autocast, trainable=False
        )
    # One rollout is several optimizer steps, each of which the warm-up counts.
    updates = config.loss.inner_epochs * config.loss.minibatches
    optimizer = Optimizer(policy.model, config.optim, config.steps and config.steps * updates)
    if checkpoint:
        optimizer.load(checkpoint.path)
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    origin = make_origin(run_dir, "rl", config.model, config.prompt, sampling)
    return Session(
        config=config,
        policy=policy,
        reference=reference,
        optimizer=optimizer,
        encoder=PromptEncoder(policy, config.prompt, size=config.prompt_cache, max_pixels=config.max_pixels),
        judge=Judge(policy, config, origin, grader),
        stream=ProblemStream(data.train, config.seed, extra.get("position", 0)),
        clock=Clock(),
    )


def _train(session: Session, run_dir: RunDir, data: Data, checkpoint: Checkpoint | None) -> Progress:
    """Step until steps or tokens are used up."""
    config = session.config
    step, tokens = (checkpoint.step, checkpoint.extra["tokens"]) if checkpoint else (0, 0)
    run_dir.total_steps = config.steps
    total, done = (config.steps, step) if config.steps is not None else (config.token_budget, tokens)
    with stop_signal() as stop, progress(total, "rl", done=done) as bar:
        if step == 0:
            _log_evaluation(session, run_dir, data, 0, {})
        while not is_over(config, Progress(step, tokens)):
            session.optimizer.progress = share_done(config, Progress(step, tokens))
            step += 1
            collected = sample_groups(session, step)
            if step == 1:
                _check_start(session, collected)
            result = learn_from(session, collected, step)
            tokens += result.num_tokens
            run_dir.append_traces(result.traces)
            _log_evaluation(session, run_dir, data, step, result.metrics | {"rl/tokens": tokens})
            _show(bar, config, result.metrics, result.num_tokens)
            _save_if_due(session, run_dir, stop, data, Progress(step, tokens))
    return Progress(step, tokens)


def is_over(config: RlConfig, reached: Progress) -> bool:
    """Whether steps or tokens are used up."""
    steps_left = config.steps is None or reached.step < config.steps
    tokens_left = config.token_budget is None or reached.tokens < config.token_budget
    return not (steps_left and tokens_left)


def share_done(config: RlConfig, reached: Progress) -> float:
    """How much of the run is over, between 0 and 1: of its steps or its tokens, whichever end sooner."""
    by_steps = reached.step / config.steps if config.steps else 0.0
    by_tokens = reached.tokens / config.token_budget if config.token_budget else 0.0
    return max(by_steps, by_tokens)


def _check_start(session: Session, collected: Collected) -> None:
    config = session.config
    traces = [sample.trace for group in collected.sampled for sample in group.samples_G]
    if not traces:
        raise ValueError(f"no picture of the first {config.num_prompts} problems can be read; see `srpo data check`")
    check_format_rate(traces, config.style, config.min_format_rate)
    if config.check_images:
        check_image_effect(session.policy, collected.sampled)


def _log_evaluation(session: Session, run_dir: RunDir, data: Data, step: int, metrics: dict[str, float]) -> None:
    """Log one row, with the held-out accuracies when they are due."""
    config = session.config
    if config.eval is not None and step % config.eval.every == 0:
        size = min(config.prompt_cache, len(data.held_out))
        encoder = PromptEncoder(session.policy, config.prompt, size=size, max_pixels=config.max_pixels)
        metrics = metrics | evaluate(session, encoder, data.held_out)
    if metrics:
        run_dir.log(step, metrics)


def _save_if_due(session: Session, run_dir: RunDir, stop: Stop, data: Data, reached: Progress) -> None:
    """Save at every `checkpoint_every` steps and when the user wants to stop; raises Stopped then."""
    config = session.config

    def save(path: Path) -> None:
        save_policy(session.policy, path)
        session.optimizer.save(path)

    if stop.requested or (reached.step % config.checkpoint_every == 0 and not is_over(config, reached)):
        extra = {"position": session.stream.position, "tokens": reached.tokens, "data": data.digest}
        run_dir.checkpoint(reached.step, save, extra)
    if stop.requested:
        raise Stopped(f"after step {reached.step}")


def _show(bar: Bar, config: RlConfig, metrics: dict[str, float], num_tokens: int) -> None:
    shown = {"reward": "rl/reward/mean", "first": "rl/first_accuracy", "final": "rl/final_accuracy"}
    fields = {name: metrics[key] for name, key in shown.items() if key in metrics}
    bar.advance(1 if config.steps is not None else num_tokens, **fields)
