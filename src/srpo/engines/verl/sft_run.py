"""`srpo sft --engine verl`: the cold start on many GPUs, its steps in the same run directory (`rl_run` for RL)."""

from pathlib import Path

from srpo.engines.verl.data import DATA, TRAIN, PreparedData, look_at_sft, prepare_sft
from srpo.engines.verl.facts import RunFacts
from srpo.engines.verl.follow import Follower, engine_folder, link_model, new_launch, package_in
from srpo.engines.verl.frozen import check_frozen
from srpo.engines.verl.gaps import refuse, sft_differences, sft_gaps, stays_frozen
from srpo.engines.verl.hydra import overrides
from srpo.engines.verl.launch import Launch, interpreter
from srpo.engines.verl.merge import SFT_NAMES, Step
from srpo.engines.verl.model import ModelFacts, read_model
from srpo.engines.verl.settings import PluginSettings
from srpo.engines.verl.sft_order import tokens_by_step
from srpo.engines.verl.sft_settings import SFT_ENTRY, num_steps, sft_settings
from srpo.policy.load import load_outline
from srpo.runs.directory import RunDir
from srpo.runs.progress import note
from srpo.runs.trackers import check_trackers
from srpo.runs.watch import watching
from srpo.sft.config import SftConfig
from srpo.sft.examples import prompt_of
from srpo.sft.run import SftSummary


def run(config: SftConfig, run_dir: RunDir) -> SftSummary:
    """Train on verl, and leave the model in `run_dir.model_path`; a finished run returns its stored summary.

    Raises:
        ValueError: verl cannot do what the configuration asks for, or failed.
        Stopped: the user asked to stop.
    """
    if run_dir.finished:
        return SftSummary.model_validate(run_dir.summary())
    assert config.engine is not None, "asked of runs on an engine alone"
    refuse(sft_gaps(config), "this run")
    check_trackers(config.trackers)
    interpreter(config.engine)
    engine = engine_folder(run_dir).resolve()
    model = read_model(config.model, config.lora)
    found = look_at_sft(config, load_outline(config.model))
    data = prepare_sft(found, engine)
    for difference in sft_differences(config):
        note(f"sft: on verl: {difference}")
    total = run_dir.total_steps = num_steps(config, data.num_train)
    tokens = tokens_by_step([one.num_loss_tokens for one in found.examples], config.batch_size, total)
    with watching(run_dir, config, _no_model) as watch:

        def take(step: Step) -> None:
            epoch = step.number * config.batch_size / data.num_train
            watch.log(step.number, step.metrics | {"sft/tokens": float(tokens[step.number]), "sft/epoch": epoch})

        follower = Follower(run_dir, engine, SFT_NAMES, take, save_every=config.checkpoint_every)
        follower.catch_up()
        if follower.reached < total:
            folder = new_launch(engine, sft_plugin_settings(config, model, data), None)
            facts = sft_facts(run_dir.path.resolve(), folder, model, data)
            launch = Launch(folder, package_in(engine), SFT_ENTRY, overrides(*sft_settings(config, facts)))
            follower.follow(config.engine, launch, total)
    final = engine / "checkpoints" / f"global_step_{total}" / "huggingface"
    link_model(run_dir, final, prompt_of(config))
    if stays_frozen(config):
        check_frozen(model.root, final, model.vision)
    row = list(run_dir.metrics())[-1]
    summary = SftSummary(
        model=str(run_dir.model_path),
        steps=total,
        tokens=tokens[total],
        seconds=row.pop("time_s"),
        num_examples=data.num_train,
        dropped={reason: number for reasons in data.rejected.values() for reason, number in reasons.items()},
        metrics=row,
    )
    run_dir.finish(summary.model_dump())
    return summary


def sft_plugin_settings(config: SftConfig, model: ModelFacts, data: PreparedData) -> PluginSettings:
    """What verl's processes are told beside their configuration."""
    return PluginSettings(
        banned_ids=model.banned_ids,
        frozen=model.vision if config.freeze_vision else (),
        optim=config.optim,
        total_steps=num_steps(config, data.num_train),
        lora=config.lora,
    )


def sft_facts(run: Path, launch: Path, model: ModelFacts, data: PreparedData) -> RunFacts:
    """What the settings are made from, beside the configuration."""
    return RunFacts(
        model=model.root,
        run=run,
        launch=launch,
        train_file=run / "engine" / DATA / TRAIN,
        num_train=data.num_train,
        prompt_tokens=data.prompt_tokens,
        target_tokens=data.target_tokens,
        patch_size=model.patch_size,
        adapted=model.adapted,
        vision=model.vision,
    )


def _no_model(path: Path) -> None:
    raise AssertionError(f"{path}: keep_best is refused")
