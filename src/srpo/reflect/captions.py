"""Descriptions of pictures for teachers without eyes: the data set's, or those of a captioning pass by the policy."""

from collections.abc import Sequence

from srpo.core.prompts import CAPTION
from srpo.core.records import Problem, Rejected, Sampling
from srpo.models.protocol import Completion, InspectingGenerator, Message, Request
from srpo.reflect.config import ReflectConfig


class Captions:
    """Fills in `Problem.caption` where it is wanted and missing."""

    def __init__(self, config: ReflectConfig, policy: InspectingGenerator) -> None:
        """`policy` describes the pictures, if `config.captions` says so."""
        self._source = config.captions
        self._policy = policy
        self._sampling = Sampling(temperature=0.0, max_tokens=config.caption_tokens, seed=config.seed)

    def describe(self, problems: Sequence[Problem]) -> list[Problem | Rejected]:
        """Each problem with its caption, or why it has none; problems without pictures need none."""
        found: list[Problem | Rejected] = list(problems)
        if self._source == "off":
            return found
        bare = [index for index, one in enumerate(problems) if one.images and not one.caption]
        if self._source == "problem":
            for index in bare:
                found[index] = _without(
                    problems[index], "the data has none, and captions is problem; the policy could write them"
                )
            return found
        requests = [Request(problem=problems[index], messages=_MESSAGES) for index in bare]
        replies = self._policy.generate(requests, self._sampling) if requests else []
        for index, (reply,) in zip(bare, replies, strict=True):
            found[index] = _described(problems[index], reply)
        return found


_MESSAGES = (Message(role="user", text=CAPTION.template),)


def _described(problem: Problem, reply: Completion) -> Problem | Rejected:
    if reply.error is not None:
        return _without(problem, reply.error)
    if reply.truncated:
        return _without(problem, "it ran into caption_tokens")
    caption = reply.text.strip()
    return problem.model_copy(update={"caption": caption}) if caption else _without(problem, "the policy wrote nothing")


def _without(problem: Problem, detail: str) -> Rejected:
    return Rejected.about(problem, "teacher", "no caption", detail)
