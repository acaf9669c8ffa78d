"""Training problems that are test problems: found by picture and by question, before anything is spent on them.

    benchmarks = Benchmarks.load(["mathvista/test.jsonl", "mmk12/test.jsonl"])
    benchmarks.found_in(problem)  # 'same question as mmk12/test.jsonl:17'

Three rules, in this order; each is deterministic and none needs the network:

1. a picture with the same pixels (another file format without loss is no disguise),
2. the same question, if it has `MIN_WORDS` words or more ("Find x." alone proves nothing),
3. the same short question about a look-alike picture (scaled or compressed anew), or about none on both sides.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Self

from PIL import Image

from srpo.core.records import Problem, Rejected
from srpo.data.config import SourceConfig
from srpo.data.images import ImageError, load_image
from srpo.data.placeholders import PLACEHOLDER
from srpo.data.sources import iter_questions

MIN_WORDS = 8
"""Questions with fewer words are shared by problems that have nothing else in common."""
MAX_DISTANCE = 10
"""Differing bits of 64 up to which two pictures look alike. Of 100 MMK12 pictures, halved and saved as JPEG of quality
50, 96 stay within it; of the 19,900 pairs of different ones, 7 do."""

_FRAME = re.compile(
    rf"{PLACEHOLDER.pattern}"
    r"|^\s*hint:[^\n]*\n"
    r"|^\s*question:"
    r"|^\s*(?:choices|options):.*"
    r"|^\s*\(?a[).:、．].*"
    r"|(?:please )?(?:answer|respond)(?: the question)? (?:with|using) [^\n]*\Z",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
"""What data sets put around one and the same question: placeholders, hints, options, the wanted form of the answer."""


class Benchmarks:
    """Compact keys of the problems of known benchmarks."""

    def __init__(self) -> None:
        self.num_problems = 0
        """Problems taken in."""
        self.num_rejected = 0
        """Rows of the benchmark files that are no problems, and so protect nothing."""
        self._pictures: dict[bytes, str] = {}
        self._questions: dict[bytes, str] = {}
        self._short: dict[bytes, list[tuple[int | None, str]]] = {}

    @classmethod
    def load(cls, sources: Iterable[str | SourceConfig]) -> Self:
        """Read the questions and pictures of benchmarks; a source is what `data:` takes in a config.

        Answers are not needed, and a benchmark whose pictures are not here is recognised by its questions.

        Raises:
            ValueError: a source cannot be read, or holds no usable problem.
        """
        benchmarks = cls()
        for given in sources:
            source = SourceConfig.model_validate(given)
            before = benchmarks.num_problems
            for item in iter_questions(source):
                if isinstance(item, Rejected):
                    benchmarks.num_rejected += 1
                else:
                    benchmarks.add(item)
            if benchmarks.num_problems == before:
                raise ValueError(
                    f"benchmarks: {source.label!r} holds no usable problem, so that nothing could be recognised; "
                    f"`srpo data check {source.label}` says why"
                )
        return benchmarks

    def add(self, problem: Problem) -> None:
        """Take one problem in; a picture that cannot be read protects by its question alone."""
        self.num_problems += 1
        looks: list[int | None] = []
        for ref in problem.images:
            try:
                image = load_image(ref)
            except ImageError:
                continue
            self._pictures.setdefault(picture_key(image), problem.source)
            looks.append(look(image))
        key, num_words = question_key(problem.question)
        if num_words >= MIN_WORDS:
            self._questions.setdefault(key, problem.source)
        elif num_words:
            self._short.setdefault(key, []).extend((one, problem.source) for one in looks or [None])

    def found_in(self, problem: Problem) -> str | None:
        """Why `problem` must not be trained on (with the place where it stands), or None.

        Raises:
            ImageError: a picture of the problem cannot be read.
        """
        images = [load_image(ref) for ref in problem.images]
        for ref, image in zip(problem.images, images, strict=True):
            if (place := self._pictures.get(picture_key(image))) is not None:
                return f"picture {ref!r} is that of {place}"
        key, _ = question_key(problem.question)
        if (place := self._questions.get(key)) is not None:
            return f"same question as {place}"
        if key not in self._short:
            return None
        looks: list[int | None] = [look(image) for image in images]
        for theirs, place in self._short[key]:
            if any(_alike(ours, theirs) for ours in looks or [None]):
                return f"same question and picture as {place}"
        return None


def question_key(question: str) -> tuple[bytes, int]:
    """Hash of a question without what data sets put around it, and how many words it has.

    Letters and digits decide; case, punctuation, white space, placeholders, hints and listed options do not.
    """
    text = unicodedata.normalize("NFKC", _FRAME.sub(" ", question)).casefold()
    words = re.findall(r"[^\W_]+", text)
    # Chinese has no blanks between words; about two characters make one.
    num_words = sum(1 if word.isascii() else max(1, len(word) // 2) for word in words)
    return hashlib.blake2b("".join(words).encode(), digest_size=16).digest(), num_words


def picture_key(image: Image.Image) -> bytes:
    """Hash of the pixels of an RGB picture."""
    return hashlib.blake2b(repr(image.size).encode() + image.tobytes(), digest_size=16).digest()


def look(image: Image.Image) -> int:
    """64 bits that survive scaling and compression: is each cell of a 9x8 grey thumbnail brighter than the next one?"""
    cells = image.convert("L").resize((9, 8), Image.Resampling.BOX, reducing_gap=None).tobytes()
    bits = 0
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (cells[row * 9 + column] > cells[row * 9 + column + 1])
    return bits


def _alike(ours: int | None, theirs: int | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return (ours ^ theirs).bit_count() <= MAX_DISTANCE
