"""Renders a chat template under limits; run by `template_check` as a script of its own, so that it imports no torch.

It ends with 0 where rendering ends, be it in an error (the caller meets it again, and names it).
"""

import contextlib
import json
import resource
import sys
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser

_TOO_LARGE = 3


class _Generation(Extension):
    """`{% generation %}`, which marks what an assistant wrote."""

    tags = {"generation"}  # noqa: RUF012  jinja's way

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_as_it_is"), [], [], body).set_lineno(line)

    def _as_it_is(self, caller: Any) -> Any:
        return caller()


def render_under_limits() -> int:
    """Limits from the command line, template and messages from standard input."""
    cpu_s, memory_bytes = map(int, sys.argv[1:])
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    with contextlib.suppress(ValueError, OSError):  # some systems have none
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = str
    environment.filters["tojson"] = json.dumps
    size = 0
    try:
        template = environment.from_string(asked["template"])
        for piece in template.generate(messages=asked["messages"], add_generation_prompt=True, tools=None):
            size += len(piece)
            if size > memory_bytes // 16:
                return _TOO_LARGE
    except MemoryError:
        return _TOO_LARGE
    except Exception:
        return 0
    return 0


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


if __name__ == "__main__":
    sys.exit(render_under_limits())
