"""`srpo doctor`: what works is told, what is needed and does not work ends in exit code 1, keys never show."""

import json
import socket
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from srpo.cli import health
from srpo.cli.main import main
from tests.support.training import SOURCE

SECRET = "sk-doctor-1234567890abcdef"


def diagnose(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", *arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["works"] == (code == 0)
    return code, {one["about"]: one for one in found["findings"]}


def write(path: Path, **config: Any) -> str:
    path.write_text(json.dumps(config))  # JSON is YAML
    return str(path)


def test_a_machine_where_everything_works_says_so_and_keeps_its_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    code, found = diagnose(capsys)
    assert code == 0, found
    states = {name: found[name]["state"] for name in ("base", "extra train", "port", "grading", "generation")}
    assert set(states.values()) == {"fine"}, states
    assert "wrote 16 tokens about a picture" in found["generation"]["what"]
    assert "numpy" in found["base"]["what"]
    assert (found["key HF_TOKEN"]["what"], found["key WANDB_API_KEY"]["what"]) == ("set", "not set")
    assert main(["doctor", "--generate", "false"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("\nall that is needed works\n")
    assert SECRET not in text
    assert SECRET not in json.dumps(found)


def test_a_run_that_could_not_work_is_told_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCTOR_KEY", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        port = taken.getsockname()[1]
        server = {"model": "m", "base_url": f"https://127.0.0.1:{port}/v1", "api_key_env": "DOCTOR_KEY"}
        config = write(tmp_path / "eval.yaml", model=server, data=SOURCE)
        code, found = diagnose(capsys, config, "--generate", "false")
    assert code == 1
    assert (found["key DOCTOR_KEY"]["state"], found["key DOCTOR_KEY"]["what"]) == ("broken", "not set; export it")
    assert f"127.0.0.1:{port} cannot be reached" in found["server m"]["what"]
    assert main(["doctor", config, "--generate", "false"]) == 1
    assert "2 of " in capsys.readouterr().out


def test_a_server_of_ours_that_listens_needs_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        model = {"model": "m", "base_url": f"http://127.0.0.1:{server.getsockname()[1]}/v1"}
        config = write(tmp_path / "reflect.yaml", model="tiny-base", teacher={"model": model}, data=SOURCE)
        code, found = diagnose(capsys, config, "--generate", "false")
    assert code == 0, found
    assert "takes connections" in found["server m"]["what"]


@pytest.mark.parametrize("model", ["tiny-base", "gone/model"])
def test_the_memory_plan_of_a_configuration_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    config = write(tmp_path / "rl.yaml", model=model, data=SOURCE, steps=3, max_tokens=40, device="cpu")
    code, found = diagnose(capsys, config, "--generate", "false")
    plan = found["memory plan"]
    if model == "tiny-base":
        assert (code, plan["state"]) == (0, "fine")
        assert "GiB of this machine" in plan["what"]
    else:
        assert (code, plan["state"]) == (1, "broken")
        assert "there is no 'gone/model' on this machine" in plan["what"]


def test_a_folder_that_has_the_name_of_a_package_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bitsandbytes", "ray"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_spec("bitsandbytes") is not None
    code, found = diagnose(capsys, "--generate", "false")
    assert code == 0
    installed = {one.metadata["Name"] for one in distributions()}
    for name, extra in (("bitsandbytes", "qlora"), ("ray", "ray")):
        assert found[f"extra {extra}"]["state"] == ("fine" if name in installed else "note")


def test_an_extra_is_only_missed_where_it_is_needed() -> None:
    has_it = find_spec("bitsandbytes") is not None
    for needed, state in (((), "note"), (("qlora",), "broken")):
        found = {one.about: one.state for one in health.extras(needed)}
        assert found["extra qlora"] == ("fine" if has_it else state)
