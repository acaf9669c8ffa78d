"""A command: a tree of options with a docstring under each field, and the function that takes it.

class CountOptions(Record):
    files: Annotated[tuple[Path, ...], Positional("FILE")]
    as_json: Annotated[bool, Spelling("json")] = False

COMMAND = Command(CountOptions, count_lines)
COMMAND.run("srpo count", ["a.txt", "b.txt", "--json"])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel

from srpo.config.help import render_doc, render_fields, usage_line
from srpo.config.load import load_config

_T = TypeVar("_T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Command(Generic[_T]):
    """What a command line means."""

    options: type[_T]
    function: Callable[[_T], int]
    """Does the work and returns the exit code."""

    def run(self, program: str, argv: Sequence[str]) -> int:
        """Run with these arguments, or print the help if they ask for it; `program` is how the command is called.

        Raises:
            ConfigError: everything that is wrong with the arguments.
        """
        if asks_for_help(argv):
            print(f"{usage_line(program, self.options)}\n\n{render_doc(self.options)}\n\n{render_fields(self.options)}")
            return 0
        return self.function(load_config(self.options, None, argv))


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whoever asks for help may not know yet how to write the rest."""
    return not {"-h", "--help"}.isdisjoint(argv)
