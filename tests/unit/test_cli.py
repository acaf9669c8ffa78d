"""The `srpo` command itself, in real processes, and the helper of the stages."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from srpo import __version__
from srpo.cli import main as main_module
from srpo.cli.main import COMMANDS, main
from srpo.cli.stage import StageCommand, StageOptions, default_out
from srpo.config.fields import Spelling, fields_of
from srpo.config.flags import parse_arguments
from srpo.config.load import ConfigError
from srpo.core.records import Record
from srpo.runs.directory import RunDir

STAGES = ("reflect", "sft", "rl", "eval")
HEAVY = ("torch", "transformers", "plotly", "pyarrow", "jinja2", "numpy", "sympy", "rich", "pydantic", "yaml")


def srpo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "srpo", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_is_light_and_complete() -> None:
    code = (
        "import sys, time, srpo.cli.main as m\n"
        "assert m.main(['--help']) == 0\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        "print(time.process_time())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = result.stdout.splitlines()
    assert [name for name in COMMANDS if not any(line.startswith(f"  {name} ") for line in lines)] == []
    assert float(lines[-1]) < 0.4


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = import_module(f"srpo.cli.{name.replace(' ', '_')}").COMMAND
    assert main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: srpo {name} ")
    trees: list[type[BaseModel]] = [StageOptions, command.config_class] if name in STAGES else [command.options]
    for field in (field for tree in trees for field in fields_of(tree)):
        assert field.doc, field.path
        assert re.search(rf"^  (--)?{re.escape(field.positional or field.flags[0])}[: ]", text, re.M), field.path


def test_the_commands_of_a_group_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main(["data"]), main(["data", "--help"])) == (2, 0)
    assert capsys.readouterr().out.count("  data check  ") == 2
    assert main(["data", "chekc"]) == 2


def test_version_unknown_command_and_nothing() -> None:
    assert srpo("--version").stdout == f"srpo {__version__}\n"
    unknown = srpo("evla")
    assert (unknown.returncode, unknown.stderr) == (2, "srpo: error: unknown command 'evla'; did you mean 'eval'?\n")
    assert "see `srpo --help`" in srpo("xyzzy").stderr
    nothing = srpo()
    assert (nothing.returncode, nothing.stdout.split("\n")[0]) == (2, "usage: srpo COMMAND ...")


def failing(error: BaseException) -> Callable[[list[str]], int]:
    def dispatch(_: list[str]) -> int:
        raise error

    return dispatch


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("lr is -1; use more"), 2, "srpo: error: lr is -1; use more\n"),
        (KeyboardInterrupt(), 130, "\nsrpo: interrupted\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.jsonl"),
            2,
            "error: 'x.jsonl': No such file or directory\n",
        ),
        (ModuleNotFoundError("no", name="torch"), 2, "install the extra: pip install 'srpo[train]' (or 'srpo[all]')\n"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main_module, "run_command", failing(error))
    assert main([]) == code
    assert capsys.readouterr().err.endswith(message)


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError("no file name"), ModuleNotFoundError("x", name="mine")])
def test_unexpected_errors_keep_their_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "run_command", failing(error))
    with pytest.raises(type(error)):
        main([])


def test_the_traceback_of_a_user_error_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "run_command", failing(ValueError("x")))
    monkeypatch.setenv("SRPO_TRACEBACK", "1")
    with pytest.raises(ValueError, match="x"):
        main([])


def test_a_closed_pipe_is_not_an_error() -> None:
    code = (
        "import sys, srpo.cli.main as m; m.run_command = lambda _: print('line\\n' * 100000) or 0; sys.exit(m.main([]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


class Inner(Record):
    count: int = 3


class Toy(Record):
    """A toy stage."""

    model: str
    """What it plays with."""
    data: Inner = Inner()
    quick: bool = False
    steps: Annotated[int, Spelling("steps", "limit")] = 4


def toy(argv: list[str], seen: list[Toy] | None = None) -> int:
    def work(config: Toy, run: RunDir) -> None:
        if seen is not None:
            seen.append(config)
        run.finish({"model": config.model})

    return StageCommand("toy", Toy, work).run("srpo toy", argv)


def test_a_stage_from_its_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes" / "tiny").mkdir(parents=True)
    (tmp_path / "recipes" / "tiny" / "toy.yaml").write_text("model: m\n")
    seen: list[Toy] = []
    assert toy(["--quick", "recipes/tiny/toy.yaml", "--limit", "5"], seen) == 0
    assert capsys.readouterr().out == "runs/tiny/toy\n"
    assert toy(["recipes/tiny/toy.yaml", "--quick", "--steps=5", "--json"], seen) == 0
    captured = capsys.readouterr()
    assert captured.out == '{\n "model": "m"\n}\n'
    assert "runs/tiny/toy is finished already" in captured.err
    assert toy(["--model", "n", "--out=here"], seen) == 0
    assert RunDir.read("here").summary() == {"model": "n"}
    assert seen == [Toy(model="m", quick=True, steps=5), Toy(model="n")]


def test_dry_run_prints_the_configuration_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert toy(["--model", "m", "--dry_run"]) == 0
    assert capsys.readouterr().out == "model: m\ndata:\n  count: 3\nquick: false\nsteps: 4\n"
    assert toy(["--model", "m", "--dry-run", "--json"]) == 0
    assert '"count": 3' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_stage_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert toy(["--help"]) == toy(["-h"]) == toy(["--unknown", "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: srpo toy [CONFIG.yaml]" in text
    assert "A toy stage." in text
    assert "--steps int  (default: 4; also --limit)" in text
    assert "--json true|false  (default: false)\n        Print the result as JSON; while" in text
    assert "--model text  (required)\n        What it plays with." in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["a.yaml", "b.yaml"], "'b.yaml' is one argument too many"),
        (["--model", "m", "--limit"], "--limit: needs a value"),
        (["--model", "m", "--out", "--json"], "--out: needs a value"),
        (["--model", "m", "--limit", "x"], "--limit: steps: 'x' is not allowed"),
        (["--modle", "m"], "--modle: unknown field; did you mean 'model'"),
        (["--model", "m", "--jsno"], "--jsno: unknown field; did you mean 'json'"),
        (["--dry-rum"], "--dry-rum: unknown field; did you mean 'dry_run'"),
        (["-v"], "'-v' is not a flag"),
    ],
)
def test_stage_errors(argv: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        toy(argv)
    assert message in str(caught.value)


def test_a_flag_value_that_looks_like_the_file_is_not_lost() -> None:
    options, toy = parse_arguments(["tiny", "--model", "tiny"], StageOptions, Toy)
    assert [(flag.keys, flag.node.value) for flag in (*options, *toy)] == [(("config",), "tiny"), (("model",), "tiny")]


def test_default_run_directories() -> None:
    assert default_out("sft", Path("recipes/tiny/sft.yaml")) == Path("runs/tiny/sft")
    assert default_out("sft", Path("mine.yaml")) == Path("runs/mine")
    assert default_out("sft", None) == Path("runs/sft")
