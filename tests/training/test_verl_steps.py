"""Steps of verl, merged over starts that were killed, as rows and traces of a run directory."""

import json
from pathlib import Path
from typing import Any

import pytest

from srpo.core.prompts import REFLECTIVE
from srpo.engines.verl.follow import Follower, link_model
from srpo.engines.verl.frozen import check_frozen
from srpo.engines.verl.merge import RL_NAMES, LaunchReader, Step, chosen_traces, earlier_steps, rl_row
from srpo.policy.prompts import saved_prompt
from srpo.rl.config import RlConfig
from srpo.runs.directory import RunDir
from tests.unit.test_verl_merge import begin, paid_trace, write_down

CONFIG = RlConfig.model_validate(
    {"model": "m", "data": "drawn", "steps": 4, "engine": "verl", "num_prompts": 1, "traces_per_step": 2}
)


def log(launch: Path, step: int, loss: float) -> None:
    with (launch / "metrics.jsonl").open("a") as out:
        out.write(
            json.dumps({"step": step, "data": {"actor/pg_loss": loss, "perf/throughput": 3, "other": "text"}}) + "\n"
        )


def work(launch: Path, steps: range, loss: float) -> None:
    for step in steps:
        final = ("5", "7", "5", "7")
        write_down(launch, *(paid_trace(step, place, final[place], uid=f"{launch.name}-{step}") for place in range(4)))
        log(launch, step, loss)


def save(engine: Path, step: int) -> None:
    (engine / "checkpoints" / f"global_step_{step}").mkdir(parents=True, exist_ok=True)
    (engine / "checkpoints/latest_checkpointed_iteration.txt").write_text(str(step))


def losses(steps: list[Step]) -> list[tuple[int, float]]:
    return [(step.number, step.metrics["rl/loss"]) for step in steps]


def test_a_step_counts_from_the_last_start_that_did_it(tmp_path: Path) -> None:
    for number, (after, steps) in enumerate([(0, range(1, 6)), (3, range(4, 7)), (2, range(3, 5))], 1):
        work(begin(tmp_path, number, after), steps, float(number))
    found = list(earlier_steps(tmp_path, RL_NAMES, after=-1, until=4))
    assert losses(found) == [(1, 1.0), (2, 1.0), (3, 3.0), (4, 3.0)]
    assert {one.uid for one in found[2].train} == {"launch-003-3"}
    assert losses(list(earlier_steps(tmp_path, RL_NAMES, after=2, until=3))) == [(3, 3.0)]


def test_a_step_that_was_saved_and_not_logged_is_told_by_its_rewards(tmp_path: Path) -> None:
    launch = begin(tmp_path, 1, 0)
    work(launch, range(1, 2), 1.0)
    write_down(launch, paid_trace(2, 0))
    found = list(earlier_steps(tmp_path, RL_NAMES, after=-1, until=2))
    assert [(step.number, len(step.train), step.metrics.get("rl/loss")) for step in found] == [
        (1, 4, 1.0),
        (2, 1, None),
    ]


def test_a_row_has_what_local_rl_logs(tmp_path: Path) -> None:
    launch = begin(tmp_path, 1, 0)
    work(launch, range(1, 2), 0.25)
    write_down(launch, paid_trace(2, 0, split="eval"))
    (step,) = LaunchReader(launch, RL_NAMES, after=-1).new()
    row = rl_row(step, CONFIG)
    assert (row["rl/loss"], row["verl/tokens_per_gpu_s"]) == (0.25, 3.0)
    assert (row["rl/groups/sampled"], row["rl/groups/kept"], row["rl/final_accuracy"]) == (1.0, 1.0, 0.5)
    assert {"rl/format/mean", "rl/effect/mean", "rl/length/mean", "rl/reward/mean", "rl/outcome/w2r"} <= row.keys()
    assert "rl/eval/final_accuracy" not in row
    (trace,) = chosen_traces(step, CONFIG)
    assert trace.sample == 1
    assert trace.advantage == pytest.approx(1.0)
    log(launch, 2, 0.0)
    (step,) = LaunchReader(launch, RL_NAMES, after=1).new()
    assert rl_row(step, CONFIG)["rl/eval/final_accuracy"] == 1.0


def test_a_run_that_was_killed_has_every_step_once(tmp_path: Path) -> None:
    def take(step: Step) -> None:
        run.append_traces(chosen_traces(step, CONFIG))
        run.log(step.number, rl_row(step, CONFIG))

    def follower() -> Follower:
        return Follower(run, engine, RL_NAMES, take, save_every=2)

    out = tmp_path / "run"
    engine = out / "engine"
    with RunDir.open(out, CONFIG, "rl") as run:
        work(begin(engine, 1, 0), range(1, 4), 1.0)
        save(engine, 2)
        follower().catch_up()
        assert [checkpoint.step for checkpoint in run.checkpoints()] == [2]
        # The process lives on for a step that is not saved, and is killed.
        run.log(3, {"rl/loss": 9.0})
    with RunDir.open(out, CONFIG, "rl") as run:
        work(begin(engine, 2, 2), range(3, 5), 2.0)
        save(engine, 4)
        second = follower()
        assert second.reached == 2
        second.catch_up()
        rows: list[dict[str, Any]] = list(run.metrics())
        assert [(row["step"], row["rl/loss"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
        assert [trace.origin.step for trace in run.traces()] == [1, 2, 3, 4]
        save(engine, 2)
        with pytest.raises(ValueError, match="ends at step 2, and the run at step 4; restore verl's checkpoints"):
            follower().catch_up()


def test_verls_last_model_is_the_runs(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "run", CONFIG, "rl") as run:
        model = run.path / "engine/checkpoints/global_step_4/actor/huggingface"
        with pytest.raises(ValueError, match="verl has left no model"):
            link_model(run, model, REFLECTIVE)
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        link_model(run, model, REFLECTIVE)
        link_model(run, model, REFLECTIVE)
        assert (run.model_path / "config.json").is_file()
        assert saved_prompt(run.model_path) == REFLECTIVE


def test_a_tower_that_moved_is_found(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    def write(name: str, tower: float) -> Path:
        (tmp_path / name).mkdir()
        weights = {"model.visual.a": torch.tensor([tower]), "model.language.b": torch.rand(2)}
        save_file(weights, tmp_path / name / "model.safetensors")
        return tmp_path / name

    start = write("start", 1.0)
    check_frozen(start, write("same", 1.0), ["visual"])
    with pytest.raises(ValueError, match=r"freeze_vision: 1 of 1 weights of the vision tower moved, e.g. 'visual.a'"):
        check_frozen(start, write("moved", 1.001), ["visual"])
    with pytest.raises(ValueError, match="are not the same model"):
        check_frozen(start, write("none", 1.0), ["vision_tower"])
