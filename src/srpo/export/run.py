"""`srpo export`: traces in, folders out that other trainers load as they are.

    result = export(["runs/reflect"], Path("reflection-data"))

The folder appears as a whole or not at all; samples stream through, so that memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal, Protocol

from srpo.core.records import Record
from srpo.export import problems
from srpo.export.card import Counts, card
from srpo.export.hf import HuggingFace
from srpo.export.llamafactory import LlamaFactory
from srpo.export.manifest import Manifest
from srpo.export.samples import Sample, iter_samples
from srpo.export.trl import Trl
from srpo.export.verl import Verl
from srpo.runs.files import make_directory_atomic
from srpo.runs.reader import trace_file

Format = Literal["llamafactory", "trl", "verl", "hf", "trl-rl", "easyr1", "openrlhf", "ms-swift"]
USUAL: tuple[Format, ...] = ("llamafactory", "trl", "verl", "hf")
"""What is written unless one asks for others."""
CARD = "README.md"
_FOLDERS: dict[Format, str] = {"hf": "data"}
"""The place in which the hub looks for data."""


class Export(Protocol):
    """What each format takes."""

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        ...


WRITERS: dict[Format, Callable[[Path], AbstractContextManager[Export]]] = {
    "llamafactory": LlamaFactory,
    "trl": Trl,
    "verl": Verl,
    "hf": HuggingFace,
    "trl-rl": problems.trl_rl,
    "easyr1": problems.easyr1,
    "openrlhf": problems.openrlhf,
    "ms-swift": problems.ms_swift,
}


class ExportResult(Record):
    """What was written; `num_traces == num_samples + sum(left_out.values())`."""

    path: str
    formats: tuple[Format, ...]
    num_traces: int
    num_samples: int
    num_pictures: int
    """Different ones."""
    left_out: dict[str, int]
    """Traces that are no samples, by reason."""
    examples: tuple[str, ...]
    """The first few of those with the detail."""


def export(
    places: Iterable[str],
    out: Path,
    *,
    formats: Sequence[Format] = USUAL,
    prompt: str | None = None,
    advance: Callable[[], object] = lambda: None,
) -> ExportResult:
    """Write the traces of runs in the wanted formats, with a card and a manifest of the pictures.

    Args:
        places: Run directories or trace files.
        out: A directory that does not exist yet, or is empty.
        formats: Which trainers to write for.
        prompt: Name of the prompt to train with; None takes the one of the trace's style.
        advance: Called after each trace.

    Raises:
        ValueError: no such traces, nothing to export, an unknown prompt, or `out` holds something.
    """
    places = list(places)
    files = [trace_file(place) for place in places]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{str(out)!r} exists and is not an empty directory; choose another --out")
    counts = Counts()
    pictures = 0

    def fill(folder: Path) -> None:
        nonlocal pictures
        with ExitStack() as stack:
            writers = [stack.enter_context(WRITERS[name](folder / _FOLDERS.get(name, name))) for name in formats]
            manifest = stack.enter_context(Manifest(folder))
            for item in iter_samples(files, prompt):
                counts.take(item)
                if isinstance(item, Sample):
                    for writer in (*writers, manifest):
                        writer.add(item)
                advance()
            pictures = manifest.num_pictures
        if not counts.num_samples:
            reasons = ", ".join(f"{number} {reason}" for reason, number in counts.left_out.items()) or "there are none"
            raise ValueError(f"no trace of {', '.join(places)} can be exported: {reasons}")
        (folder / CARD).write_text(card(counts, places, formats, num_pictures=pictures), encoding="utf-8")

    out.parent.mkdir(parents=True, exist_ok=True)
    make_directory_atomic(out, fill)
    return ExportResult(
        path=str(out),
        formats=tuple(formats),
        num_traces=counts.num_samples + counts.left_out.total(),
        num_samples=counts.num_samples,
        num_pictures=pictures,
        left_out=dict(counts.left_out),
        examples=tuple(counts.examples),
    )
