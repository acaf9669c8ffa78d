"""How long the prompts of a run's data are, for its memory plan: measured on some of them, none processed.

prompts = planned_prompts(model, asked, max_pixels=None, most=None)
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from srpo.core.records import Problem
from srpo.data.images import ImageError, load_image
from srpo.data.usable import spread
from srpo.policy.fake import PromptShape
from srpo.policy.model_file import ModelFile
from srpo.runs.progress import note

TEXT_TOKENS = 512
"""Tokens of template, instruction and question, where nothing is known of the data."""
NUM_MEASURED = 100
"""Problems, from everywhere in the data, whose prompts are measured."""


class RunPrompts(NamedTuple):
    """What a run asks."""

    problems: Sequence[Problem]
    turns: Callable[[Problem], Sequence[tuple[str, str]]]
    """A problem as (role, text) turns."""


class PlannedPrompts(NamedTuple):
    """The prompt that a plan counts with."""

    shape: PromptShape
    """With `max_pixels` and `squares` 0 where pictures are as large as they may be."""
    origin: str
    """Where it is from, for people."""


class _Measured(NamedTuple):
    text_tokens: int
    sizes: list[int]
    """Of each picture: its area, or its squares in families that cut them."""


def planned_prompts(
    model: ModelFile, asked: Callable[[], RunPrompts] | None, *, max_pixels: int | None, most: int | None
) -> PlannedPrompts:
    """The longest text, the most and the largest pictures of prompts of at most `most` tokens; or what is supposed."""
    supposed = PlannedPrompts(PromptShape(TEXT_TOKENS, 1, 0), "supposed, for nothing of the data is known here")
    if asked is None or model.directory is None or not (model.directory / "tokenizer_config.json").is_file():
        return supposed
    try:
        problems, turns = asked()
        chosen = spread(problems, NUM_MEASURED)
        found = list(_measured(model, RunPrompts(chosen, turns), max_pixels, most))
    except ValueError as error:
        note(f"srpo: the plan's prompts are supposed, for the data cannot be read: {error}")
        return supposed
    if not found:
        return supposed
    largest = max((size for one in found for size in one.sizes), default=0)
    shape = PromptShape(
        text_tokens=max(one.text_tokens for one in found),
        num_pictures=max(len(one.sizes) for one in found),
        max_pixels=0 if model.squares else largest,
        squares=largest if model.squares else 0,
    )
    which = f"{len(chosen):,} of its {len(problems):,}" if len(chosen) < len(problems) else f"its {len(problems):,}"
    return PlannedPrompts(shape, f"of the data, the longest text and the largest pictures of {which} problems")


def _measured(model: ModelFile, asked: RunPrompts, max_pixels: int | None, most: int | None) -> Iterator[_Measured]:
    from srpo.policy.load import read_processor

    assert model.directory is not None
    processor = read_processor(model.directory, model.config)
    for problem in asked.problems:
        try:
            sizes = [load_image(ref, max_pixels=max_pixels).size for ref in problem.images]
        except ImageError:
            continue  # The run leaves it out, too.
        total = processor.num_tokens(asked.turns(problem), sizes)
        if most is not None and total > most:
            continue
        seen = sum(map(processor.picture_tokens, sizes))
        # A fake prompt has a mark before every picture and a token at its end.
        text_tokens = max(1, total - seen - len(sizes) - 1)
        yield _Measured(text_tokens, [_size(model, processor.picture_tokens(size)) for size in sizes])


def _size(model: ModelFile, num_tokens: int) -> int:
    """Pixels, or squares, of a picture that becomes so many tokens."""
    from srpo.policy.tiles import tokens_per_tile

    if model.squares:
        return num_tokens // tokens_per_tile(model.config)
    vision = model.config.vision_config
    side: int = vision.patch_size * vision.spatial_merge_size
    return num_tokens * side**2
