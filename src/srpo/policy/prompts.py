"""Problems as the model reads them: which prompt, its text and pictures, processed once and kept.

The prompt that a model was trained with is saved in its directory, so that nobody has to name it again.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from srpo.core.prompts import PROMPTS, Prompt, as_prompt, own_prompt, problem_text, with_system
from srpo.core.records import Problem, Rejected
from srpo.data.images import ImageError, load_image
from srpo.data.usable import too_long
from srpo.policy.config import PromptChoice, PromptFile

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt

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


MOST_KEPT_BYTES = 2**31
"""Of this machine's memory, for prompts that are kept: a picture of a megapixel takes 3 million."""


class PromptEncoder:
    """Encodes problems for one policy and keeps the most recently used ones: so many, and so many bytes of them."""

    def __init__(self, policy: "Policy", prompt: str | Prompt, *, size: int, max_pixels: int | None) -> None:
        self._policy = policy
        self.prompt = as_prompt(prompt)
        self._size = size
        self._max_pixels = max_pixels
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], EncodedPrompt] = OrderedDict()
        self._num_bytes = 0

    def of_size(self, size: int) -> "PromptEncoder":
        """Another one for the same prompt, that keeps `size` of them."""
        return PromptEncoder(self._policy, self.prompt, size=size, max_pixels=self._max_pixels)

    def encode_all(self, problems: Sequence[Problem]) -> "list[EncodedPrompt]":
        """The prompts of `problems`, in order; raises ImageError (a ValueError) when a picture cannot be read."""
        # Not the id: two data sets may use the same one.
        keys = [(problem_text(problem), problem.images) for problem in problems]
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        items = [
            (self.prompt.turns(text), [load_image(ref, max_pixels=self._max_pixels) for ref in images])
            for text, images in missing
        ]
        made = self._policy.processor.encode_many(items)
        self._kept.update(zip(missing, made, strict=True))
        self._num_bytes += sum(one.num_bytes for one in made)
        for key in keys:
            self._kept.move_to_end(key)
        encoded = [self._kept[key] for key in keys]
        while len(self._kept) > self._size or self._num_bytes > MOST_KEPT_BYTES:
            self._num_bytes -= self._kept.popitem(last=False)[1].num_bytes
        return encoded

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


def identity_of(data: str, prompt: Prompt) -> str:
    """What a resumed run must find again: the hash of its data, and the label of a prompt whose words could change."""
    return data if PROMPTS.get(prompt.name) == prompt else f"{data} {prompt.label}"


def split(batch: Sequence[T], size: int | None) -> list[list[T]]:
    """Cut a batch into micro-batches of at most `size`; None leaves it whole."""
    step = size or max(1, len(batch))
    return [list(batch[at : at + step]) for at in range(0, len(batch), step)]
