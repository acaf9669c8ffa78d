"""What a cluster's job left in the environment is told, and not waited for."""

import os
from pathlib import Path

import pytest

from srpo.rl.config import RL_MAY_CHANGE
from srpo.runs.directory import RunDir
from srpo.runs.processes import RunProcess, as_launched, launched_as, started_with
from tests.support.training import rl_config

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "SRPO_TEAM_PORT")


def _launched(patch: pytest.MonkeyPatch, **values: str) -> RunProcess | None:
    for name in NAMES:
        patch.delenv(name, raising=False)
    for name, value in values.items():
        patch.setenv(name, value)
    return launched_as()


def test_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _launched(monkeypatch) is None
    assert _launched(monkeypatch, RANK="0", WORLD_SIZE="many") is None
    assert _launched(monkeypatch, RANK="0", WORLD_SIZE="1") == RunProcess(0, 1, 0)


def test_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    assert _launched(monkeypatch, RANK="3", WORLD_SIZE="4", LOCAL_RANK="1", **where) == RunProcess(3, 4, 1)
    ours = {"RANK": "1", "WORLD_SIZE": "2", "SRPO_TEAM_PORT": f"29500 of {os.getppid()}"}
    assert _launched(monkeypatch, **ours) == (place := RunProcess(1, 2, 1))
    assert started_with(place) == 29500


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"RANK": "5", "WORLD_SIZE": "2"}, "RANK=5 is no process of WORLD_SIZE=2"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK=-1 is no process"),
        ({"RANK": "0", "WORLD_SIZE": "4"}, "no MASTER_ADDR and no MASTER_PORT says where"),
        ({"RANK": "1", "WORLD_SIZE": "2", "SRPO_TEAM_PORT": "29500"}, "no MASTER_ADDR and no MASTER_PORT says where"),
        ({"RANK": "1", "WORLD_SIZE": "2", "SRPO_TEAM_PORT": "29500 of 0"}, "no MASTER_ADDR and no MASTER_PORT says"),
        ({"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1"}, "but no MASTER_PORT says"),
    ],
)
def test_what_was_left_behind(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], found: str) -> None:
    with pytest.raises(ValueError, match=found) as error:
        _launched(monkeypatch, **values)
    assert "unset RANK and WORLD_SIZE" in str(error.value)


@pytest.mark.parametrize("port", ["", "29500", "many", "29500 of 0"])
def test_a_port_that_another_process_left_behind_is_nowhere_to_meet(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    place = _launched(monkeypatch, RANK="1", WORLD_SIZE="2", SRPO_TEAM_PORT=port, **where)
    assert place is not None
    assert started_with(place) is None


def test_so_many_processes_as_a_run_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    _launched(monkeypatch, RANK="0", WORLD_SIZE="4", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    with pytest.raises(ValueError, match="WORLD_SIZE=4 says") as error:
        as_launched(rl_config(Path("model"), num_prompts=2))
    assert "processes 4 is more than num_prompts 2 of a step; start all with torchrun, or unset" in str(error.value)
    assert "validation error" not in str(error.value)
    assert as_launched(rl_config(Path("model"), num_prompts=4)).processes == 4


@pytest.mark.parametrize("now", [None, 1, 3])
def test_a_run_goes_on_with_the_number_of_processes_that_it_began_with(tmp_path: Path, now: int | None) -> None:
    with RunDir.open(tmp_path, rl_config(Path("model"), processes=2), "rl") as run:
        run.log(1, {"rl/loss": 1.0})
        run.checkpoint(1, lambda folder: (folder / "weights").write_text("w"))
    with pytest.raises(ValueError, match=f"processes is 2 there and {now} now"):
        RunDir.open(tmp_path, rl_config(Path("model"), processes=now), "rl", may_change=RL_MAY_CHANGE)
