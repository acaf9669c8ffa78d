"""`srpo`: find the command, run it, turn errors into messages and exit codes.

Exit codes: 0 fine, 1 problems were found, 2 bad input or configuration, 130 interrupted. A command is a module with a
`COMMAND`; it is imported only when it runs, so that `srpo --help` stays instant. Set SRPO_TRACEBACK=1 to see the Python
traceback behind an error message.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from srpo.config.hints import suggest
from srpo.core.visible import visible
from srpo.runs.extras import what_is_missing
from srpo.runs.interrupt import Stopped, resume_command, signals_interrupt
from srpo.runs.secrets import hiding_stderr

COMMANDS = {
    "demo": "the whole method on a laptop CPU: reflect, sft, rl, eval, report",
    "reflect": "make reflection data: first attempts, a teacher's reflections, verified and selected",
    "sft": "teach a model the reflective format from the traces of `srpo reflect` (stage 1b)",
    "rl": "train with GRPO and a reflection-aware reward (stage 2)",
    "eval": "answer problems or a benchmark with a checkpoint or a server; accuracy of first and final answer",
    "doctor": "look at the environment: packages, GPU, disk, keys, ports, grading, a short generation",
    "plan": "whether a run of sft, rl or eval fits into a GPU's memory, before anything is loaded",
    "score": "grade recorded responses of any model to a benchmark; accuracy, official tables, self-correction",
    "compare": "compare two evaluation runs, problem by problem (difference, interval, exact test)",
    "grade": "grade predictions against gold answers (JSONL in, verdicts out)",
    "reward": "what recorded responses earn under a reward preset, term by term",
    "data check": "gold answers that do not grade themselves, broken pictures, duplicates, test problems",
    "show": "print the traces of a run: question, first attempt, reflection, second attempt, reward",
    "regrade": "grade and reward the traces of a run again, by today's rules or another preset; nothing is overwritten",
    "view": "every trace of runs in a browser: filters, groups, word by word; follows a run that is at work",
    "report": "write one self-contained HTML report from run directories or a demo directory",
    "leaderboard": "rank the benchmark results of runs among published ones: one HTML file, Markdown or JSON",
    "export": "write traces for other trainers: LLaMA-Factory, TRL, verl, plain datasets; predictions for VLMEvalKit",
    "engines install": "the commands that install verl into an environment of its own, for runs on many GPUs",
    "push": "push the model of a run to the Hugging Face hub, with a card of what its run says",
}
"""Name -> line in the help text. `data check` is the module `srpo.cli.data_check`."""
TRAINING = frozenset({"demo", "reflect", "sft", "rl", "eval", "plan", "doctor"})
"""Commands that compute with torch, whose threads have to be configured before it is imported."""
GO_ON = TRAINING | {"score"}
"""Commands that use what an interrupted one left: its checkpoints, and answers that it paid for."""

OK, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run `srpo` with these arguments (by default the process's own) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with hiding_stderr(), signals_interrupt():
        return _main(arguments)


def _main(arguments: Sequence[str]) -> int:
    try:
        code = run_command(arguments)
        # What does not fit into a closed pipe must fail here, not in the interpreter's last breath.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stopped:
        return _interrupted(stopped, arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if (missing := what_is_missing(error)) is None:
            raise
        return _fail(missing)
    except (ValueError, OSError) as error:
        if os.environ.get("SRPO_TRACEBACK"):
            raise
        return _fail(str(error)) if isinstance(error, ValueError) else _fail_by_the_system(error)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; what is wrong is raised."""
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_usage(COMMANDS))
        return OK if arguments else BAD_INPUT
    if arguments[0] in {"-V", "--version"}:
        from srpo import __version__

        print(f"srpo {__version__}")
        return OK
    num_words = 2 if " ".join(arguments[:2]) in COMMANDS else 1
    name, rest = " ".join(arguments[:num_words]), arguments[num_words:]
    if name not in COMMANDS:
        return _no_command(name, rest)
    if name in TRAINING:
        from srpo.policy.threads import configure_threads

        configure_threads()
    code = import_module(f"srpo.cli.{name.replace(' ', '_')}").COMMAND.run(f"srpo {name}", rest)
    assert isinstance(code, int), f"`srpo {name}` returned {code!r}"
    return code


def _no_command(name: str, rest: Sequence[str]) -> int:
    """Name what is alike, or list the commands that begin so."""
    if begun := [command for command in COMMANDS if command.startswith(f"{name} ")]:
        print(_usage(begun))
        return BAD_INPUT if {"-h", "--help"}.isdisjoint(rest) else OK
    return _fail(f"unknown command {name!r}; {suggest(name, COMMANDS, otherwise='see `srpo --help`')}")


def _usage(names: Iterable[str]) -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [
        "usage: srpo COMMAND ...",
        "",
        "Teach a multimodal LLM to reason, reflect on its own answer and correct it.",
        "",
        *(f"  {name:<{width}}{COMMANDS[name]}" for name in names),
        "",
        "`srpo COMMAND --help` explains a command, `srpo --version` prints the version.",
    ]
    return "\n".join(lines)


def _fail(message: str) -> int:
    print(f"srpo: error: {visible(message)}", file=sys.stderr)
    return BAD_INPUT


def _fail_by_the_system(error: OSError) -> int:
    from srpo.runs.files import NO_ROOM

    where = f"{error.filename!r}: " if error.filename is not None else ""
    if error.errno in NO_ROOM:
        return _fail(f"{where}{error.strerror}; make room, and the same command goes on with what is saved")
    if not where:
        # The machine's trouble, or our bug; then the traceback helps.
        raise error
    return _fail(f"{where}{error.strerror}")


def _interrupted(stopped: KeyboardInterrupt, arguments: Sequence[str]) -> int:
    if isinstance(stopped, Stopped):
        print(f"srpo: stopped {stopped}; this goes on from there:\n  {resume_command()}", file=sys.stderr)
    else:
        resumable = bool(arguments) and arguments[0] in GO_ON
        hint = f"; what is saved or paid is kept, and this goes on with it:\n  {resume_command()}" if resumable else ""
        print(f"\nsrpo: interrupted{hint}", file=sys.stderr)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
