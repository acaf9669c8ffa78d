"""A generator that answers from a function: what tests and dry runs use where a model would stand.

>>> from srpo.core.records import Problem
>>> fake = FakeGenerator(lambda request, sample: f"{request.problem.answer}!")
>>> request = Request(problem=Problem(id="1", question="1+1?", answer="2"), messages=())
>>> fake.generate([request], Sampling())[0][0].text
'2!'
"""

from collections.abc import Callable, Sequence

from srpo.core.records import Sampling
from srpo.models.protocol import Completion, PromptInfo, Request


class FakeGenerator:
    """Implements `InspectingGenerator`; tokens are words. Keeps the requests that it was given."""

    def __init__(
        self,
        answer: Callable[[Request, int], str],
        *,
        name: str = "fake",
        refuse: Callable[[Request], str | None] = lambda _: None,
    ) -> None:
        """`answer(request, sample)` writes the text of one sample; `refuse` gives reasons not to take a request."""
        self._answer = answer
        self._refuse = refuse
        self._name = name
        self.requests: list[Request] = []

    @property
    def name(self) -> str:
        """The name given at construction."""
        return self._name

    def inspect(self, request: Request) -> PromptInfo:
        """Ask `refuse`."""
        reason = self._refuse(request)
        return PromptInfo(0 if reason else sum(self.count_tokens(message.text) for message in request.messages), reason)

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Ask the function; texts of more than `sampling.max_tokens` words are cut there."""
        self.requests.extend(requests)
        return [
            [self._complete(request, sample, sampling) for sample in range(request.num_samples)] for request in requests
        ]

    def _complete(self, request: Request, sample: int, sampling: Sampling) -> Completion:
        text = self._answer(request, sample)
        words = text.split()
        if len(words) <= sampling.max_tokens:
            return Completion(text, len(words), truncated=False)
        return Completion(" ".join(words[: sampling.max_tokens]), sampling.max_tokens, truncated=True)
