"""`srpo rl`: reflection-aware GRPO (stage 2), or plain GRPO with `style: single` and `preset: answer`.

    with RunDir.open("runs/rl", config, "rl") as run_dir:
        summary = run(config, run_dir)

A stopped or killed run goes on from its last checkpoint and ends with the same metrics and weights: the order of the
problems and every sampling seed are functions of `seed` and of the place in the run, so a checkpoint holds weights,
optimizer moments, the position in the stream of problems, the token count and what `roll_in_buffer` holds, and no
generator state.
"""

from contextlib import closing
from functools import partial
from pathlib import Path

from pydantic import Field

from srpo.core.records import Record, Sampling
from srpo.grading import Grader
from srpo.policy.load import load_policy
from srpo.policy.optim import Optimizer, describe_longer
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder, identity_of, read_prompt, save_model
from srpo.policy.team import ALONE, Team, carried_out
from srpo.policy.threads import usable_cpus
from srpo.policy.trained import load_trained
from srpo.rl.alarms import find_alarms
from srpo.rl.checks import without_signal
from srpo.rl.config import RlConfig
from srpo.rl.memory import with_planned_tokens
from srpo.rl.metrics import PhaseTimer
from srpo.rl.problems import ProblemStream, RlProblems, leave_out_long, load_rl_problems, write_rejected
from srpo.rl.reward import reward_function
from srpo.rl.roll_ins import AttemptBuffer
from srpo.rl.sampler import LocalSampler, PolicySampler
from srpo.rl.train import train
from srpo.rl.trainer import Progress, RlTrainer
from srpo.runs.best import BestModel
from srpo.runs.checkpoint import Checkpoint
from srpo.runs.directory import RunDir
from srpo.runs.origin import check_same_data, make_origin
from srpo.runs.progress import note
from srpo.runs.rejects import count_rejected
from srpo.runs.trackers import check_trackers
from srpo.runs.watch import Alarms, watching

MOST_GRADERS = 8
"""Processes that compare formulas at the same time. What they find depends on CPU time alone, not on their number."""


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
    rejected: dict[str, dict[str, int]] = Field(default_factory=dict)
    """What was left out of the data: {where: {reason: number}}."""
    best: BestModel | None = None
    """The best model, where `keep_best` asks for it."""
    ended: str = ""
    """Why the run ended before its steps did, if it did."""


def run(config: RlConfig, run_dir: RunDir) -> RlSummary:
    """Train, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: model or data cannot be used, the first format rate is too low, or pictures have no effect.
        Stopped: the user asked to stop; the state is saved.
    """
    return carried_out(config, run_dir, _run, RlSummary)


def _run(config: RlConfig, run_dir: RunDir, team: Team) -> RlSummary | None:
    check_trackers(config.trackers)
    problems = load_rl_problems(config)
    checkpoint = run_dir.latest_checkpoint()
    run_dir.total_steps = config.steps
    workers = max(1, min(MOST_GRADERS, usable_cpus() // team.size))
    with Grader(symbolic=config.symbolic, rounded=config.rounded, num_workers=workers) as grader:
        trainer = open_trainer(config, run_dir, problems, checkpoint, grader, team)
        start = Progress(checkpoint.step, checkpoint.extra["tokens"]) if checkpoint else Progress(0, 0)

        def save(path: Path) -> None:
            save_model(trainer.policy, trainer.encoder.prompt, path)

        with (
            closing(trainer.sampler),
            closing(trainer.encoder),
            watching(run_dir, config, save, rl_alarms(config, run_dir)) as watch,
        ):
            reached = train(trainer, run_dir, start, watch)
    if not team.leads:
        return None
    run_dir.save_model(save)
    rows = list(run_dir.metrics())
    if (said := without_signal(rows)) is not None:
        note(f"rl: {said}")
    row = rows[-1]
    summary = RlSummary(
        model=str(run_dir.model_path),
        steps=reached.step,
        tokens=reached.tokens,
        seconds=row.pop("time_s"),
        seconds_by_part={part: round(seconds, 3) for part, seconds in trainer.timer.seconds.items()},
        num_problems=len(trainer.problems.train),
        num_ungradable=problems.num_ungradable,
        metrics=row,
        rejected=count_rejected(trainer.problems.rejected),
        best=watch.best,
        ended=watch.ended or "",
    )
    run_dir.finish(summary.model_dump())
    return summary


def open_trainer(
    config: RlConfig,
    run_dir: RunDir,
    problems: RlProblems,
    checkpoint: Checkpoint | None,
    grader: Grader,
    team: Team = ALONE,
) -> RlTrainer:
    """Load models and optimizer, at the checkpoint if there is one."""
    extra = checkpoint.extra if checkpoint else {}
    prompt = read_prompt(config.prompt, config.system, config.model)
    check_same_data(extra, identity_of(problems.digest, prompt), config.data.label)
    policy = load_trained(config, checkpoint.path if checkpoint else None)
    encoder = PromptEncoder(
        policy, prompt, size=config.prompt_cache, max_pixels=config.max_pixels, workers=config.picture_workers
    )
    problems = leave_out_long(problems, encoder, config.max_prompt_tokens)
    if team.leads:
        write_rejected(problems, run_dir.path)
    reference = None
    if config.loss.kl_coef > 0 and config.lora is not None:
        reference = policy  # with its adapters off it is the model that the run began with
    elif config.loss.kl_coef > 0:
        reference = load_policy(
            config.model,
            device=config.device,
            dtype=config.dtype,
            autocast=config.autocast,
            attention=config.attention,
            trainable=False,
        )
    # One rollout is several optimizer steps, each of which the warm-up counts.
    updates = config.loss.inner_epochs * config.loss.minibatches
    optimizer = Optimizer(policy.model, config.optim, config.steps and config.steps * updates, team)
    if checkpoint:
        optimizer.load(checkpoint.path)
        _say_longer(config, run_dir, optimizer, Progress(checkpoint.step, extra["tokens"]))
    earlier = AttemptBuffer(config.roll_in_buffer, problems.train)
    if checkpoint:
        earlier.load(checkpoint.path)
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    return RlTrainer(
        config=with_planned_tokens(config, policy.device),
        policy=policy,
        reference=reference,
        sampler=make_sampler(config, policy, run_dir),
        optimizer=optimizer,
        encoder=encoder,
        grader=grader,
        reward=reward_function(config),
        problems=problems,
        stream=ProblemStream(problems.train, config.seed, extra.get("position", 0)),
        earlier=earlier,
        origin=make_origin(run_dir, "rl", config.model, prompt, sampling),
        timer=PhaseTimer(),
        team=team,
    )


def make_sampler(config: RlConfig, policy: Policy, run_dir: RunDir) -> PolicySampler:
    """What the config says; a server is started by its first use."""
    if config.sampler.kind == "local":
        return LocalSampler(policy)
    from srpo.rl.vllm.sampler import VllmSampler

    return VllmSampler(config.sampler, policy, base=config.model, max_pixels=config.max_pixels, run=run_dir.path)


def rl_alarms(config: RlConfig, run_dir: RunDir) -> Alarms:
    """The alarms of a run that begins or goes on."""
    steps = [row for row in run_dir.metrics() if "rl/groups/sampled" in row]
    num_responses = config.num_prompts * config.group_size
    found = partial(find_alarms, responses_per_step=num_responses)
    return Alarms("rl", config.alarms.window, found, steps, config.alarms.stop)


def _say_longer(config: RlConfig, run_dir: RunDir, optimizer: Optimizer, start: Progress) -> None:
    """What becomes of the learning rate where a run was given more steps or tokens."""
    optimizer.progress = start.share(config)
    for field, growth in run_dir.grown.items():
        if (unit := {"steps": "steps", "token_budget": "tokens"}.get(field)) is not None:
            note(f"rl: goes on: {describe_longer(config.optim, *growth, unit, optimizer.lr)}")
