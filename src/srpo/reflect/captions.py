"""Descriptions of pictures for teachers without eyes: the data set's, or those of a captioning pass by the policy."""

from collections.abc import Sequence

from srpo.core.prompts import CAPTION
from srpo.core.records import Problem, Sampling
from srpo.models.protocol import Completion, InspectingGenerator, Message, Request
from srpo.reflect.config import ReflectConfig


class Captions:
    """Fills in `Problem.caption` where it is wanted and missing."""

    def __init__(self, config: ReflectConfig, policy: InspectingGenerator) -> None:
        """`policy` describes the pictures, if `config.captions` says so."""
        self._source = config.captions
        self._policy = policy
        self._sampling = Sampling(temperature=0.0, max_tokens=config.caption_tokens, seed=config.seed)

    def describe(self, problems: Sequence[Problem]) -> list[Problem | str]:
        """Each problem with its caption, or why it has none; problems without pictures need none."""
        found: list[Problem | str] = list(problems)
        if self._source == "off":
            return found
        bare = [index for index, one in enumerate(problems) if one.images and not one.caption]
        if self._source == "problem":
            for index in bare:
                found[index] = "no caption: the data has none, and captions is problem; the policy could write them"
            return found
        requests = [Request(problem=problems[index], messages=_MESSAGES) for index in bare]
        replies = self._policy.generate(requests, self._sampling) if requests else []
        for index, (reply,) in zip(bare, replies, strict=True):
            found[index] = _why_not(reply) or problems[index].model_copy(update={"caption": reply.text.strip()})
        return found


_MESSAGES = (Message(role="user", text=CAPTION.template),)


def _why_not(reply: Completion) -> str | None:
    if reply.error is not None:
        return f"no caption: {reply.error}"
    if reply.truncated:
        return "no caption: it ran into caption_tokens"
    return None if reply.text.strip() else "no caption: the policy wrote nothing"
