"""`srpo rl --engine verl`: the same configuration on many GPUs, its steps in the same run directory.

    with RunDir.open("runs/rl", config, "rl") as run_dir:
        summary = run(config, run_dir)

Problems are written for verl, verl is started with our reward and our estimator, and what it logs becomes rows and
traces as they come. Ctrl-C ends it; the same command goes on from its last checkpoint.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from srpo.core.prompts import Prompt
from srpo.core.records import Sampling, Trace
from srpo.engines.verl.data import DATA, EVAL, TRAIN, PreparedData, RlData, look_at_rl, prepare_rl
from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.follow import Follower, engine_folder, link_model, new_launch, package_in
from srpo.engines.verl.frozen import check_frozen
from srpo.engines.verl.gaps import refuse, rl_differences, rl_gaps, stays_frozen
from srpo.engines.verl.hydra import overrides
from srpo.engines.verl.journal import PaidTrace
from srpo.engines.verl.launch import Launch, interpreter
from srpo.engines.verl.merge import RL_NAMES, Step, chosen_traces, rl_row
from srpo.engines.verl.model import ModelFacts, read_model
from srpo.engines.verl.rl_settings import RL_ENTRY, rl_settings
from srpo.engines.verl.settings import PluginSettings
from srpo.policy.prompts import read_prompt
from srpo.rl.cards import cards_of
from srpo.rl.checks import check_format_rate
from srpo.rl.config import RlConfig
from srpo.rl.problems import load_rl_problems
from srpo.rl.reward import load_function
from srpo.rl.run import RlSummary, rl_alarms
from srpo.runs.directory import RunDir
from srpo.runs.origin import make_origin
from srpo.runs.progress import note
from srpo.runs.trackers import check_trackers
from srpo.runs.watch import Watch, watching

_MOST_DRAWS = 10
"""Times that a step may draw what `max_refills` allows, before the run ends: verl itself has no bound."""


class Ready(NamedTuple):
    """A run that can be started."""

    model: ModelFacts
    prompt: Prompt
    data: RlData


def run(config: RlConfig, run_dir: RunDir) -> RlSummary:
    """Train on verl, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: verl cannot do what the configuration asks for, or failed; the first format rate is too low.
        Stopped: the user asked to stop.
    """
    if run_dir.finished:
        return RlSummary.model_validate(run_dir.summary())
    assert config.engine is not None, "asked of runs on an engine alone"
    assert config.steps is not None or rl_gaps(config), "gaps say so"
    refuse(rl_gaps(config), "this run")
    check_trackers(config.trackers)
    interpreter(config.engine)  # before the pictures are processed
    engine = engine_folder(run_dir).resolve()
    ready = look_at_run(config)
    data = prepare_rl(ready.data, engine)
    for difference in rl_differences(config):
        note(f"rl: on verl: {difference}")
    total = config.steps or 0
    run_dir.total_steps = total
    with watching(run_dir, config, _no_model, rl_alarms(config, run_dir)) as watch:
        taker = _Taker(config, run_dir, watch)
        follower = Follower(run_dir, engine, RL_NAMES, taker.take, save_every=config.checkpoint_every)
        taker.tokens = int(follower.extra.get("tokens", 0))
        taker.follower = follower
        follower.catch_up()
        if follower.reached < total:
            follower.follow(config.engine, _launch(config, run_dir, engine, ready, data), total, taker.look)
    final = engine / "checkpoints" / f"global_step_{total}" / "actor" / "huggingface"
    link_model(run_dir, final, ready.prompt)
    if stays_frozen(config):
        check_frozen(ready.model.root, final, ready.model.vision)
    row = list(run_dir.metrics())[-1]
    summary = RlSummary(
        model=str(run_dir.model_path),
        steps=total,
        tokens=taker.tokens,
        seconds=row.pop("time_s"),
        seconds_by_part={},
        num_problems=data.num_train,
        num_ungradable=data.num_ungradable,
        metrics=row,
        rejected=data.rejected,
    )
    run_dir.finish(summary.model_dump())
    return summary


class _Taker:
    """Logs the steps of verl as `srpo rl` logs its own."""

    def __init__(self, config: RlConfig, run_dir: RunDir, watch: Watch) -> None:
        self._config, self._run_dir, self._watch = config, run_dir, watch
        self.tokens = 0
        self.follower: Follower | None = None
        self._knows_format = False

    def look(self, step: int, paid: Sequence[PaidTrace]) -> None:
        """Look at the responses of a step that is under way; ValueError where it would never end, or in vain."""
        config = self._config
        # The groups that were drawn first, each whole: what is done early is short, and no fair sample.
        first = set(list(dict.fromkeys(one.uid for one in paid))[: config.num_prompts])
        traces = [one.trace for one in paid if one.uid in first]
        if step == 1 and len(traces) == config.num_prompts * config.group_size:
            self._check_format(traces)
        most = _MOST_DRAWS * (1 + config.max_refills) * config.num_prompts
        if len(paid) > most * config.group_size:
            drawn = len({one.uid for one in paid})
            raise ValueError(
                f"step {step} has drawn {drawn} groups and has not found {config.num_prompts} to learn from: "
                f"online_filter {config.online_filter!r} leaves out those whose responses are all alike. "
                "Start from a model that is right at times, choose problems that are harder or easier for it, or set "
                "online_filter to off"
            )

    def take(self, step: Step) -> None:
        """Write a step down; ValueError where the run is to end."""
        all_traces = [one.trace for one in step.train]
        if step.number == 1:
            self._check_format(all_traces)
        traces = chosen_traces(step, self._config)
        self._run_dir.append_traces(traces)
        self.tokens += _num_tokens(all_traces)
        assert self.follower is not None, "set before steps are taken"
        self.follower.extra["tokens"] = self.tokens
        row = rl_row(step, self._config)
        if all_traces:
            row["rl/tokens"] = float(self.tokens)
        self._watch.log(step.number, row, complete=bool(all_traces))
        if step.number % self._config.cards_every == 0:
            self._watch.show(step.number, partial(cards_of, traces))
        if self._watch.stops:
            raise ValueError(f"stopped after step {step.number}; {self._watch.stops}. --alarms.stop decides")
        if "rl/reward/mean" in row:
            note(
                f"rl: step {step.number} of {self._config.steps}: reward {row['rl/reward/mean']:.3f}, first "
                f"{row['rl/first_accuracy']:.1%}, final {row['rl/final_accuracy']:.1%}"
            )

    def _check_format(self, traces: Sequence[Trace]) -> None:
        if not self._knows_format:
            check_format_rate(traces, self._config.style, self._config.min_format_rate)
        self._knows_format = True


def _num_tokens(traces: Sequence[Trace]) -> int:
    return sum(trace.tokens.total for trace in traces if trace.tokens is not None)


def look_at_run(config: RlConfig) -> Ready:
    """Read model, prompt and problems; nothing is written.

    Raises:
        ValueError: one of them is of no use to verl.
    """
    if config.reward is not None:
        load_function(config.reward)
    model = read_model(config.model, config.lora)
    prompt = read_prompt(config.prompt, config.system, config.model)
    return Ready(model, prompt, look_at_rl(config, model, prompt, load_rl_problems(config)))


def _launch(config: RlConfig, run_dir: RunDir, engine: Path, ready: Ready, data: PreparedData) -> Launch:
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens, seed=config.seed)
    origin = make_origin(run_dir, "rl", config.model, ready.prompt, sampling)
    folder = new_launch(engine, plugin_settings(config, ready.model), origin)
    facts = rl_facts(run_dir.path.resolve(), folder, ready.model, data)
    return Launch(folder, package_in(engine, config.reward), RL_ENTRY, overrides(*rl_settings(config, facts)))


def plugin_settings(config: RlConfig, model: ModelFacts) -> PluginSettings:
    """What verl's processes are told beside their configuration."""
    return PluginSettings(
        banned_ids=model.banned_ids,
        frozen=model.vision if config.freeze_vision else (),
        optim=config.optim,
        total_steps=config.steps or 0,
        updates=config.loss.minibatches * config.loss.inner_epochs,
        lora=config.lora,
    )


def rl_facts(run: Path, launch: Path, model: ModelFacts, data: PreparedData) -> RunFacts:
    """What the settings are made from, beside the configuration."""
    folder = run / "engine" / DATA
    return RunFacts(
        model=model.root,
        run=run,
        launch=launch,
        train_file=folder / TRAIN,
        num_train=data.num_train,
        eval_file=folder / EVAL if data.num_eval else None,
        prompt_tokens=data.prompt_tokens,
        patch_size=model.patch_size,
        adapted=model.adapted,
        vision=model.vision,
    )


def _no_model(path: Path) -> None:
    raise AssertionError(f"{path}: keep_best is refused")
