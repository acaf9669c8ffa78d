r"""What the adapters share when they read a row: columns under several names, options, pictures, damaged golds.

>>> labelled_options("What is it? Options: A: a cat, B: a dog, C: none of these")
('a cat', 'a dog', 'none of these')
>>> repair_escapes("\x0crac{36}{13}")
'\\frac{36}{13}'
"""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from pydantic import JsonValue

from srpo.core.records import Problem
from srpo.data.config import SourceConfig
from srpo.data.fields import RowError, to_answer, to_level, to_question, to_text
from srpo.data.pictures import to_images
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import Item

MAX_PICTURES = 9
"""Numbered picture columns that are looked at: MMMU has seven, OlympiadBench nine."""


def first(values: Mapping[str, Any], *columns: str) -> Any:
    """The first of these columns that holds something; None when none does."""
    return next((values[name] for name in columns if values.get(name) not in (None, "", [], ())), None)


def text(row: Row, *columns: str) -> str:
    """The first of these columns that holds something, as text without white space around it."""
    return to_text(first(row.values, *columns), columns[0]).strip()


def needed(row: Row, *columns: str) -> str:
    """As `text`; RowError when there is nothing."""
    found = text(row, *columns)
    if not found:
        raise RowError(f"column {columns[0]!r}: empty")
    return found


def whole(row: Row, column: str) -> int | None:
    """A whole number, however it is written (`1`, `"1"`, `1.0`); None when there is none."""
    found = text(row, column)
    return to_level(found.removesuffix(".0")) if found else None


def gold(row: Row, *columns: str) -> str:
    """The gold answer, a list of one as its element, with LaTeX that lost its backslashes repaired."""
    value = first(row.values, *columns)
    # First of all: to Python a form feed is white space, and would be stripped.
    return to_answer(repair_escapes(value) if isinstance(value, str) else value, columns[0])


def question(row: Row, *columns: str) -> str:
    """The question without picture placeholders at its ends."""
    return to_question(first(row.values, *columns), columns[0], has_images=True)


def inner(row: Row, column: str, *names: str) -> dict[str, str]:
    """These fields of a column that is an object, as texts; fields that it lacks are empty."""
    found = row.values.get(column)
    values = found if isinstance(found, Mapping) else {}
    return {name: to_text(values.get(name), f"{column}.{name}").strip() for name in names}


_ESCAPES = str.maketrans({"\f": "\\f", "\b": "\\b", "\a": "\\a", "\v": "\\v"})
_TAB = re.compile(r"\t(?=ext\b|imes\b|heta\b|an\b|riangle\b|frac\b|ext\{|frac\{)")


def repair_escapes(value: str) -> str:
    r"""LaTeX that went through a string literal: a form feed and `rac` are `\frac`, a tab and `imes` are `\times`."""
    return _TAB.sub(lambda _: "\\t", value.translate(_ESCAPES))


_LABEL = re.compile(r"(?:^|(?<=[\s;,，；。(（.?]))([A-Z])\s?[.:)．：）、](?=\s*[^\s;；])")


def labelled_options(content: str) -> tuple[str, ...]:
    """The options that a text lists behind the letters A, B, C, ...; empty when it lists none.

    Of several lists the longest counts, the last one among equals.
    """
    labels = [(match.group(1), match.start(), match.end()) for match in _LABEL.finditer(content)]
    # From the right, so that every label knows the next one of the next letter, and how long the list goes on there.
    after: dict[str, int] = {}
    follows = [-1] * len(labels)
    length = [1] * len(labels)
    for index in range(len(labels) - 1, -1, -1):
        letter = labels[index][0]
        follows[index] = after.get(chr(ord(letter) + 1), -1)
        length[index] = 1 + (length[follows[index]] if follows[index] >= 0 else 0)
        after[letter] = index
    starts = [index for index, label in enumerate(labels) if label[0] == "A" and length[index] > 1]
    if not starts:
        return ()
    found, at = [], max(starts, key=lambda index: (length[index], index))
    while at >= 0:
        end = labels[follows[at]][1] if follows[at] >= 0 else len(content)
        found.append(content[labels[at][2] : end].strip().rstrip(";,，；(（").strip())
        at = follows[at]
    return tuple(found)


def lettered(choices: Sequence[str], form: str) -> str:
    """The options one a line, e.g. with `({letter}) {text}`."""
    pairs = zip(ascii_uppercase, choices, strict=False)
    return "\n".join(form.format(letter=letter, text=choice) for letter, choice in pairs)


def letter_gold(value: str, choices: Sequence[str] = ()) -> str:
    """A gold that is a letter in any case and in any brackets as the capital letter; every other one as it is."""
    bare = value.strip().strip("().").strip()
    known = not choices or (len(bare) == 1 and ascii_uppercase.find(bare.upper()) < len(choices))
    return bare.upper() if len(bare) == 1 and bare.isascii() and bare.isalpha() and known else value


def pictures(
    row: Row, source: SourceConfig, columns: Sequence[str], *, wanted: bool, roots: Sequence[str] = ()
) -> tuple[str, ...]:
    """The pictures in the first of these columns that holds some.

    `roots` are folders beside the data file in which the published layout keeps them.

    Raises:
        RowError: no column holds one, or a file is not there; only when pictures are `wanted`.
    """
    if not wanted:
        return ()
    value = first(row.values, *columns)
    if value is None:
        raise RowError(f"no picture in column {' or '.join(map(repr, columns))}")
    return _found(value, row, source, roots)


def numbered_pictures(
    row: Row, source: SourceConfig, *, wanted: bool, needs_one: bool = True, roots: Sequence[str] = ()
) -> tuple[str, ...]:
    """The pictures of `image_1`, `image_2`, ... by number, whatever order the row has; else of `images` or `image`."""
    names = [f"image_{number}" for number in range(1, MAX_PICTURES + 1)]
    given = [row.values[name] for name in names if row.values.get(name) is not None]
    if wanted and given:
        return tuple(picture for value in given for picture in _found(value, row, source, roots))
    others = ("images", "image", "decoded_image", "image_path")
    if first(row.values, *others) is None and not needs_one:
        return ()
    return pictures(row, source, others, wanted=wanted, roots=roots)


def _found(value: Any, row: Row, source: SourceConfig, roots: Sequence[str]) -> tuple[str, ...]:
    try:
        return to_images(value, row, source)
    except RowError:
        for root in roots if not source.image_root else ():
            try:
                return to_images(value, row._replace(folder=row.folder / root), source)
            except RowError:
                continue
        raise


def make_item(
    row: Row,
    problem_id: str,
    text: str,
    answer: str,
    *,
    images: tuple[str, ...] = (),
    choices: tuple[str, ...] = (),
    kind: str | None = None,
    groups: Mapping[str, str | None],
    facts: Mapping[str, JsonValue] | None = None,
) -> Item:
    """The item of a row; groups and facts that are empty are left out, the first group is the problem's family."""
    if not problem_id:
        raise RowError("the row has no id")
    known = {axis: value for axis, value in groups.items() if value}
    problem = Problem(
        id=problem_id,
        question=text,
        answer=answer,
        images=images,
        choices=choices,
        kind=kind,
        source=row.place,
        family=next(iter(known.values()), ""),
        level=to_level(known.get("level")),
    )
    return Item(
        problem=problem,
        groups=known,
        facts={name: value for name, value in (facts or {}).items() if value not in (None, "")},
    )
