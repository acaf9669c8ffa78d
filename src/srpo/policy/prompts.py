"""Problems as the model reads them: which prompt, its text and pictures, processed once and kept.

The prompt that a model was trained with is saved in its directory, so that nobody has to name it again.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from srpo.core.prompts import PROMPTS, Prompt, as_prompt, own_prompt, problem_text, with_system
from srpo.core.records import Problem, Rejected
from srpo.data.images import ImageError, load_image
from srpo.data.usable import too_long
from srpo.policy.config import PromptChoice, PromptFile

if TYPE_CHECKING:
    from PIL.Image import Image

    from srpo.policy.policy import Policy
    from srpo.policy.processor import CutPicture, EncodedPrompt

T = TypeVar("T")

PROMPT_FILE = "srpo_prompt.json"
"""File of a model's directory with the prompt that it was trained with."""
DEFAULT_PROMPT = "reflective"


def read_prompt(choice: PromptChoice | None, system: str, model: str | None) -> Prompt:
    """The prompt that a config chooses; None takes the one that `model` was trained with, where it says so.

    Raises:
        ValueError: the file cannot be read, or has no place for the problem.
    """
    match choice:
        case None:
            found = saved_prompt(model) if model is not None else None
            prompt = found or as_prompt(DEFAULT_PROMPT)
        case PromptFile(file=file):
            try:
                template = file.read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"prompt.file {str(file)!r} cannot be read: {error}") from error
            prompt = own_prompt(file.stem, template)
        case _:
            prompt = as_prompt(choice)
    return with_system(prompt, system)


def save_model(policy: "Policy", prompt: Prompt, directory: Path) -> None:
    """Write a finished model, and the prompt that it was trained with."""
    from srpo.policy.load import save_policy

    save_policy(policy, directory)
    save_prompt(prompt, directory)


def save_prompt(prompt: Prompt, directory: Path) -> None:
    """Write the prompt that the model in a directory was trained with."""
    (directory / PROMPT_FILE).write_text(json.dumps(prompt._asdict(), ensure_ascii=False, indent=1) + "\n", "utf-8")


def saved_prompt(model: str | Path) -> Prompt | None:
    """The prompt that a model's directory says it was trained with; ValueError when what it says is damaged."""
    file = Path(model).expanduser() / PROMPT_FILE
    if not file.is_file():
        return None
    try:
        return Prompt(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{str(file)!r} does not hold a prompt ({error}); name one with `prompt`") from error


_Key = tuple[str, tuple[str, ...]]
"""Text and pictures of a problem; not its id, for two data sets may use the same one."""
MOST_KEPT_BYTES = 2**31
"""Of this machine's memory, for prompts that are kept: a picture of a megapixel takes 3 million."""


class PromptEncoder:
    """Encodes problems for one policy and keeps the most recently used ones: so many, and so many bytes of them.

    With `workers` the pictures of what `prepare` was told are read and cut in threads meanwhile; what comes out, errors
    included, is the same. Tokens are left to the thread that asks, since tokenizers are for one at a time.
    """

    def __init__(
        self, policy: "Policy", prompt: str | Prompt, *, size: int, max_pixels: int | None, workers: int = 0
    ) -> None:
        self._policy = policy
        self.prompt = as_prompt(prompt)
        self._size = size
        self._max_pixels = max_pixels
        self._kept: OrderedDict[_Key, EncodedPrompt] = OrderedDict()
        self._num_bytes = 0
        self._workers = ThreadPoolExecutor(workers, "pictures") if workers else None
        self._ahead: dict[_Key, Future[list[CutPicture]]] = {}

    def of_size(self, size: int) -> "PromptEncoder":
        """Another one for the same prompt, that keeps `size` of them and has the same workers; it is not closed."""
        other = PromptEncoder(self._policy, self.prompt, size=size, max_pixels=self._max_pixels)
        other._workers = self._workers
        return other

    def prepare(self, problems: Sequence[Problem]) -> None:
        """Let workers begin with the pictures of problems that will be asked for, soonest first, and of no others."""
        if self._workers is None:
            return
        wanted = dict.fromkeys(key for key in map(_key, problems) if key[1] and key not in self._kept)
        for key in self._ahead.keys() - wanted.keys():
            self._ahead.pop(key).cancel()
        for key in wanted:
            if key not in self._ahead:
                self._ahead[key] = self._workers.submit(self._cut_alone, key)

    def close(self) -> None:
        """Let the workers go; a picture that one of them is at is finished first."""
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)

    def encode_all(self, problems: Sequence[Problem]) -> "list[EncodedPrompt]":
        """The prompts of `problems`, in order; raises ImageError (a ValueError) when a picture cannot be read."""
        found = self.try_all(problems)
        for one in found:
            if isinstance(one, ImageError):
                raise one
        return cast("list[EncodedPrompt]", found)

    def try_all(self, problems: Sequence[Problem]) -> "list[EncodedPrompt | ImageError]":
        """The prompts of `problems`, in order, with an error in place of one whose pictures cannot be read."""
        keys = list(map(_key, problems))
        cut = self._cut(dict.fromkeys(key for key in keys if key not in self._kept))
        errors: dict[_Key, ImageError] = {}
        for key, pictures in cut.items():
            if isinstance(pictures, ImageError):
                errors[key] = pictures
                continue
            made = self._policy.processor.assemble(self.prompt.turns(key[0]), pictures)
            self._kept[key] = made
            self._num_bytes += made.num_bytes
        for key in keys:
            if key in self._kept:
                self._kept.move_to_end(key)
        found = [errors.get(key) or self._kept[key] for key in keys]
        while len(self._kept) > self._size or self._num_bytes > MOST_KEPT_BYTES:
            self._num_bytes -= self._kept.popitem(last=False)[1].num_bytes
        return found

    def _cut(self, keys: Iterable[_Key]) -> "dict[_Key, list[CutPicture] | ImageError]":
        """The cut pictures of some problems; where no worker is at them, those of equal size together."""
        found: dict[_Key, list[CutPicture] | ImageError] = {}
        images: dict[_Key, list[Image]] = {}
        for key in keys:
            ahead = self._ahead.pop(key, None)
            try:
                if ahead is not None:
                    found[key] = ahead.result()
                else:
                    images[key] = [load_image(ref, max_pixels=self._max_pixels) for ref in key[1]]
            except ImageError as error:
                found[key] = error
        cut = iter(self._policy.processor.cut([image for some in images.values() for image in some]))
        return found | {key: [next(cut) for _ in some] for key, some in images.items()}

    def _cut_alone(self, key: _Key) -> "list[CutPicture]":
        return self._policy.processor.cut([load_image(ref, max_pixels=self._max_pixels) for ref in key[1]])

    def within(self, problems: Sequence[Problem], most: int | None) -> tuple[list[Problem], list[Rejected]]:
        """Problems whose prompts have at most `most` tokens, and the others; pictures are opened, not processed.

        A picture that cannot be read is none of its business: whoever encodes the prompt says so.
        """
        if most is None:
            return list(problems), []
        kept: list[Problem] = []
        rejected: list[Rejected] = []
        for problem in problems:
            if (count := self._num_tokens(problem)) > most:
                rejected.append(too_long(problem, count, most))
            else:
                kept.append(problem)
        return kept, rejected

    def _num_tokens(self, problem: Problem) -> int:
        try:
            sizes = [load_image(ref, max_pixels=self._max_pixels).size for ref in problem.images]
        except ImageError:
            return 0
        return self._policy.processor.num_tokens(self.prompt.turns(problem_text(problem)), sizes)


def _key(problem: Problem) -> _Key:
    return problem_text(problem), problem.images


def identity_of(data: str, prompt: Prompt) -> str:
    """What a resumed run must find again: the hash of its data, and the label of a prompt whose words could change."""
    return data if PROMPTS.get(prompt.name) == prompt else f"{data} {prompt.label}"


def split(batch: Sequence[T], size: int | None) -> list[list[T]]:
    """Cut a batch into micro-batches of at most `size`; None leaves it whole."""
    step = size or max(1, len(batch))
    return [list(batch[at : at + step]) for at in range(0, len(batch), step)]
