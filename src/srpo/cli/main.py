"""`srpo`: find the subcommand, run it, turn errors into messages and exit codes.

Exit codes: 0 fine, 1 problems were found, 2 bad input or configuration, 130 interrupted. A subcommand is a module with
`HELP`, one line, and `run(argv) -> int`; it is imported only when it runs, so that `srpo --help` stays instant.
Set SRPO_TRACEBACK=1 to see the Python traceback behind an error message.
"""

import ast
import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

COMMANDS = ("demo", "reflect", "sft", "rl", "eval", "score", "compare", "grade", "reward", "data", "show", "report",
            "leaderboard", "export")  # fmt: skip
"""Each is the module `srpo.cli.<name>`; in the order of the help text."""
TRAINING = frozenset({"demo", "reflect", "sft", "rl", "eval"})
"""Commands that compute with torch, whose threads have to be configured before it is imported."""
TRAIN_EXTRA = frozenset({"torch", "transformers", "safetensors", "jaxtyping"})
"""Modules that a light installation does not have."""

OK, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run `srpo` with these arguments (by default the process's own) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        # What does not fit into a closed pipe must fail here, not in the interpreter's last breath.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stopped:
        return _interrupted(stopped, arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA:
            raise
        return _fail(f"this needs {error.name}, which is not installed; install the extra: pip install 'srpo[train]'")
    except (ValueError, OSError) as error:
        # An OSError without a file name is the machine's trouble or our bug; then the traceback helps.
        if os.environ.get("SRPO_TRACEBACK") or (isinstance(error, OSError) and error.filename is None):
            raise
        return _fail(f"{error.filename!r}: {error.strerror}" if isinstance(error, OSError) else str(error))


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_usage())
        return OK if arguments else BAD_INPUT
    name, rest = arguments[0], arguments[1:]
    if name in {"-V", "--version"}:
        from srpo import __version__

        print(f"srpo {__version__}")
        return OK
    if name not in COMMANDS:
        meant = difflib.get_close_matches(name, COMMANDS, n=1)
        return _fail(f"unknown command {name!r}; " + (f"did you mean {meant[0]!r}?" if meant else "see `srpo --help`"))
    if name in TRAINING:
        from srpo.policy.threads import configure_threads

        configure_threads()
    code = import_module(f"srpo.cli.{name}").run(rest)
    assert isinstance(code, int), f"srpo.cli.{name}.run returned {code!r}"
    return code


def _usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "usage: srpo COMMAND ...",
        "",
        "Teach a multimodal LLM to reason, reflect on its own answer and correct it.",
        "",
        *(f"  {name:<{width}}{_help_line(name)}" for name in COMMANDS),
        "",
        "`srpo COMMAND --help` explains a command, `srpo --version` prints the version.",
    ]
    return "\n".join(lines)


def _help_line(name: str) -> str:
    """The module's HELP, read without running the module: ten imports would cost more than the help is worth."""
    path = Path(__file__).with_name(f"{name}.py")
    for statement in ast.parse(path.read_bytes()).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and target.id == "HELP":
            return str(ast.literal_eval(statement.value))  # type: ignore[attr-defined]
    raise AssertionError(f"{path} has no HELP")


def _fail(message: str) -> int:
    print(f"srpo: error: {message}", file=sys.stderr)
    return BAD_INPUT


def _interrupted(stopped: KeyboardInterrupt, arguments: Sequence[str]) -> int:
    from srpo.runs.interrupt import Stopped, resume_command

    if isinstance(stopped, Stopped):
        print(f"srpo: stopped {stopped}; this goes on from there:\n  {resume_command()}", file=sys.stderr)
    else:
        resumable = bool(arguments) and arguments[0] in TRAINING
        hint = f"; this goes on from the last checkpoint:\n  {resume_command()}" if resumable else ""
        print(f"\nsrpo: interrupted{hint}", file=sys.stderr)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
