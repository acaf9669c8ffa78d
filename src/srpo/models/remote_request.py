"""From a `Request` to what goes over the wire, and its name in the cache."""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from srpo.core.records import Sampling
from srpo.models.config import ServerConfig
from srpo.models.protocol import Message, PromptInfo, Request
from srpo.models.remote_images import EncodedPicture, PictureEncoder
from srpo.models.secret_fields import check_address, without_keys
from srpo.models.structured import instruction, response_format

_BYTES_PER_TOKEN = 3.5
"""English with formulas, in the vocabularies of 2025; a rule of thumb that errs on the dear side."""
_PIXELS_PER_TOKEN = 28 * 28
"""Qwen2.5-VL's; other models' differ."""
_TOKENS_PER_MESSAGE = 4
"""Role and separators."""


class Prepared(NamedTuple):
    """One HTTP request."""

    body: dict[str, Any]
    """Its JSON; keys that the config only names are still names, as in the cache, until it is sent."""
    key: bytes
    """Its name in the cache."""
    problem: str
    """Id of the problem."""
    num_samples: int
    """Choices asked for."""
    num_in: int
    """Estimated prompt tokens."""
    num_out: int
    """Most tokens that can be generated, over all choices."""


class RequestBuilder:
    """Builds the HTTP requests for one server."""

    def __init__(self, server: ServerConfig, blocks: Sequence[str]) -> None:
        """`blocks` are what JSON is asked for when the server is `structured`."""
        self._server = server
        self._blocks = blocks if server.structured else ()
        self._pictures = PictureEncoder(server.max_pixels, server.image_format)

    def inspect(self, request: Request) -> PromptInfo:
        """Estimated length; what cannot be sent is a reason."""
        reason = self.refusal(request)
        if reason is not None:
            return PromptInfo(0, reason)
        try:
            pictures = self.pictures(request)
        except ValueError as error:
            return PromptInfo(0, str(error))
        notes = tuple(note for picture in pictures for note in picture.notes)
        return PromptInfo(self.num_prompt_tokens(request, pictures), notes=notes)

    def prepare(self, request: Request, sampling: Sampling, base_url: str) -> list[Prepared] | str:
        """`build`, or why the request cannot be sent."""
        try:
            refusal = self.refusal(request)
            return self.build(request, sampling, base_url) if refusal is None else refusal
        except ValueError as error:
            return str(error)

    def refusal(self, request: Request) -> str | None:
        """Why a text-only model cannot take the request."""
        if request.problem.images and not self._server.sends_images and not request.problem.caption:
            return "the model takes no pictures, and the problem has no caption to send in their place"
        return None

    def pictures(self, request: Request) -> list[EncodedPicture]:
        """The pictures that are sent with the request; raises ImageError for those that cannot be used."""
        return [self._pictures.encode(ref) for ref in request.problem.images] if self._server.sends_images else []

    def num_prompt_tokens(self, request: Request, pictures: Sequence[EncodedPicture]) -> int:
        """Estimated length of the prompt."""
        texts = [message.text for message in self._messages(request)]
        num_pictures = sum(math.ceil(picture.num_pixels / _PIXELS_PER_TOKEN) for picture in pictures)
        return num_pictures + sum(map(count_tokens, texts)) + _TOKENS_PER_MESSAGE * len(texts)

    def build(self, request: Request, sampling: Sampling, base_url: str) -> list[Prepared]:
        """One HTTP request for all samples, or one for each where the server has no `n`.

        Raises:
            ImageError: a picture cannot be used.
        """
        pictures = self.pictures(request)
        messages = self._messages(request)
        num_in = self.num_prompt_tokens(request, pictures)
        together = self._server.n or request.num_samples == 1
        parts = [(request.num_samples, sampling.seed)]
        if not together:
            parts = [(1, _sample_seed(sampling.seed, sample)) for sample in range(request.num_samples)]
        prepared = []
        for num_samples, seed in parts:
            fields = self._fields(sampling, num_samples, seed)
            prepared.append(
                Prepared(
                    body={**fields, "messages": _with_pictures(messages, [one.data_url for one in pictures])},
                    key=_key(base_url, fields, messages, [one.digest for one in pictures]),
                    problem=request.problem.id,
                    num_samples=num_samples,
                    num_in=num_in,
                    num_out=sampling.max_tokens * num_samples,
                )
            )
        return prepared

    def _messages(self, request: Request) -> list[Message]:
        """The conversation as this server gets it, pictures apart."""
        messages = list(request.messages)
        first = _first_user(messages)
        if first is not None and request.problem.images and not self._server.sends_images:
            text = f"Description of the picture:\n{request.problem.caption}\n\n{messages[first].text}"
            messages[first] = Message(role="user", text=text)
        if messages and self._blocks:
            last = messages[-1]
            messages[-1] = Message(role=last.role, text=f"{last.text}\n\n{instruction(self._blocks)}")
        return messages

    def _fields(self, sampling: Sampling, num_samples: int, seed: int) -> dict[str, Any]:
        """Everything but the messages."""
        server = self._server
        fields: dict[str, Any] = {**server.extra_body, "model": server.model}
        fields[server.max_tokens_field] = sampling.max_tokens
        settings = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
        # 1 is every server's default for top_p, and some refuse it beside a temperature.
        unsaid = {*server.omit, *(["top_p"] if sampling.top_p == 1 else [])}
        fields.update({name: value for name, value in settings.items() if name not in unsaid})
        if num_samples > 1:
            fields["n"] = num_samples
        if self._blocks:
            fields["response_format"] = response_format(self._blocks)
        return fields


def base_url(server: ServerConfig) -> str:
    """Where the server is, after the defaults of the openai package; keys in it are still names of variables.

    Raises:
        ValueError: the environment's address holds a password.
    """
    if server.base_url or not (found := os.environ.get("OPENAI_BASE_URL")):
        return server.base_url or "https://api.openai.com/v1"
    check_address(found, "OPENAI_BASE_URL")
    return found


def count_tokens(text: str) -> int:
    """Estimated length of a text in tokens; the server's tokenizer is not here."""
    return math.ceil(len(text.encode(errors="surrogatepass")) / _BYTES_PER_TOKEN)


def _first_user(messages: Sequence[Message]) -> int | None:
    return next((index for index, message in enumerate(messages) if message.role == "user"), None)


def _with_pictures(messages: Sequence[Message], urls: Sequence[str]) -> list[dict[str, Any]]:
    """The messages as JSON, the pictures before the text of the first user turn."""
    wire: list[dict[str, Any]] = [{"role": message.role, "content": message.text} for message in messages]
    first = _first_user(messages)
    if first is not None and urls:
        images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        wire[first]["content"] = [*images, {"type": "text", "text": messages[first].text}]
    return wire


def _key(base_url: str, fields: dict[str, Any], messages: Sequence[Message], pictures: Sequence[str]) -> bytes:
    turns = [(message.role, message.text) for message in messages]
    return hashlib.sha256(
        json.dumps([without_keys(base_url), fields, turns, pictures], sort_keys=True).encode()
    ).digest()


def _sample_seed(seed: int, sample: int) -> int:
    """Seeds of one problem's samples must differ from each other and from those of the next seed."""
    return seed if sample == 0 else int.from_bytes(hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=4).digest())
