"""From the answers to a request's parts to its completions."""

from collections.abc import Sequence

from srpo.models.cache import Answer, Choice
from srpo.models.protocol import Completion, Request
from srpo.models.remote_request import count_tokens
from srpo.models.structured import blocks_in_tags

_TOO_FEW = "the server sent fewer samples than it was asked for; set n: false for it"


def completions_of(request: Request, answers: Sequence[Answer | str], blocks: Sequence[str]) -> list[Completion]:
    """The request's samples, from what came of its parts; a text says why a part has no answer.

    Where several samples came in one answer, its tokens are divided among them by length. JSON with `blocks` comes back
    in tags.
    """
    found: list[Completion] = []
    for answer in answers:
        if isinstance(answer, str):
            found += failed(request, answer)[: request.num_samples // len(answers)]
        else:
            found += _read(answer, blocks)
    missing = request.num_samples - len(found)
    return (found + failed(request, _TOO_FEW)[: max(0, missing)])[: request.num_samples]


def failed(request: Request, reason: str) -> list[Completion]:
    """All of the request's samples, without a text."""
    return [Completion("", 0, truncated=False, error=reason)] * request.num_samples


def _read(answer: Answer, blocks: Sequence[str]) -> list[Completion]:
    sizes = [1 + count_tokens(choice.text) for choice in answer.choices]
    return [
        _completion(choice, round(answer.num_out * size / sum(sizes)), blocks)
        for choice, size in zip(answer.choices, sizes, strict=True)
    ]


def _completion(choice: Choice, num_tokens: int, blocks: Sequence[str]) -> Completion:
    if choice.refusal:
        return Completion("", num_tokens, truncated=False, error=f"the model refused: {choice.refusal}")
    if choice.finish == "content_filter":
        return Completion("", num_tokens, truncated=False, error="stopped by the server's content filter")
    text = blocks_in_tags(choice.text, blocks) if blocks else choice.text
    return Completion(text, num_tokens, truncated=choice.finish == "length")
