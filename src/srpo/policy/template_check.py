"""Whether a chat template ends: it is a program, and comes with checkpoints from anywhere.

Templates that only walk through messages and their parts are let pass as they are. Others (ranges, products, macros,
texts that grow in loops) render a short conversation in a process of their own first, with limits on its CPU time and
memory. Jinja's sandbox bounds neither: two ranges of 100,000 inside of each other are 10^10 turns.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2.nodes import Node

CPU_S = 2
MEMORY_BYTES = 2**30
_MOST_NESTED = 3
_WORD = "measure "
_NUM_TURNS = 24
_NODES = frozenset({
    "Template", "Output", "TemplateData", "For", "If", "Continue", "Break", "Assign", "Name", "NSRef",
    "Const", "Getattr", "Getitem", "Slice", "Compare", "Operand", "And", "Or", "Not", "Test", "CondExpr", "Filter",
    "Call", "Keyword", "Add", "Sub", "Neg", "Concat",
})  # fmt: skip
_CALLED = frozenset({"namespace", "raise_exception", "strip", "lstrip", "rstrip", "split", "startswith", "endswith"})
_FILTERS = frozenset(
    {"trim", "length", "count", "tojson", "string", "first", "last", "default", "lower", "upper", "int"}
)


@cache
def check_template(template: str) -> None:
    """Raise ValueError where rendering a short conversation takes more than a few seconds or a gigabyte."""
    if _is_plain(template):
        return
    parts = [{"type": "image"}, {"type": "text", "text": _WORD * 20}]
    turns = [{"role": ("user", "assistant")[turn % 2], "content": parts} for turn in range(_NUM_TURNS - 1)]
    child = subprocess.run(  # noqa: S603  our own file
        [sys.executable, "-I", str(Path(__file__).with_name("template_child.py")), str(CPU_S), str(MEMORY_BYTES)],
        input=json.dumps({"template": template, "messages": turns}),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        raise ValueError(
            f"the chat template takes more than {CPU_S} s of CPU time or {MEMORY_BYTES >> 30} GiB for {len(turns)} "
            "short messages; take chat_template.jinja from the original checkpoint"
        )


def _is_plain(template: str) -> bool:
    """Whether a template does no more than to walk through what it is given."""
    from jinja2 import Environment, TemplateSyntaxError

    try:
        tree = Environment(autoescape=True, extensions=["jinja2.ext.loopcontrols"]).parse(template)
    except TemplateSyntaxError:  # of a dialect, or none: rendering says which
        return False
    return _walks(tree, loops=0)


def _walks(node: "Node", *, loops: int) -> bool:
    """Whether nothing in a tree takes more than its part of the conversation, some levels deep."""
    from jinja2 import nodes

    match node:
        case nodes.For():
            loops += 1
            if loops > _MOST_NESTED or node.recursive:
                return False
        case nodes.Call():
            called = node.node
            name = called.name if isinstance(called, nodes.Name) else getattr(called, "attr", "")
            if name not in _CALLED:
                return False
        case nodes.Filter() if node.name not in _FILTERS:
            return False
        case nodes.Assign() if loops and any(map(_joins, node.find_all((nodes.Add, nodes.Concat)))):
            return False  # a text that is joined to itself doubles at every turn
    return type(node).__name__ in _NODES and all(_walks(inner, loops=loops) for inner in node.iter_child_nodes())


def _joins(node: "Node") -> bool:
    """Whether a sum is none of numbers: counters are common."""
    from jinja2 import nodes

    sides = [node.left, node.right] if isinstance(node, nodes.Add) else []
    return not any(isinstance(side, nodes.Const) and isinstance(side.value, int) for side in sides)
