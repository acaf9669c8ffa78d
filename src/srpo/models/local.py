"""A checkpoint on this machine as a `Generator`.

    generator = LocalGenerator(load_policy("runs/sft/model", trainable=False), max_pixels=1_000_000)
    generator.inspect(request)            # PromptInfo(num_tokens=57, reason=None, notes=())
    generator.generate([request], Sampling(temperature=0.0))

The same batch with the same `Sampling` gives the same texts in every process. Greedy texts do not depend on the rest of
the batch, up to rounding; sampled ones do, because a batch shares one random stream.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from srpo.core.records import Sampling
from srpo.data.images import read_image
from srpo.models.protocol import Completion, PromptInfo, Request
from srpo.policy.precision import Attention, AutoDtype
from srpo.runs.progress import note

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt


class LocalGenerator:
    """Implements `InspectingGenerator` on a `Policy`."""

    def __init__(self, policy: "Policy", *, max_pixels: int | None = None) -> None:
        """Use `policy`; pictures of more than `max_pixels` pixels are scaled down before its processor sees them."""
        self._policy = policy
        self._max_pixels = max_pixels
        self._inspected: dict[tuple[object, ...], tuple[EncodedPrompt, tuple[str, ...]]] = {}

    @property
    def name(self) -> str:
        """The checkpoint directory."""
        return self._policy.name

    def inspect(self, request: Request) -> PromptInfo:
        """Encode the request; what the model cannot take is a reason, not an exception."""
        try:
            prompt, notes = self._encode(request)
        except ValueError as error:
            return PromptInfo(0, str(error))
        return PromptInfo(prompt.num_tokens, notes=notes)

    def count_tokens(self, text: str) -> int:
        """Length of a text in the checkpoint's tokens, without an end token."""
        return len(self._policy.tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Completion]]:
        """Sample from the policy.

        Raises:
            ValueError: a request that `inspect` refuses.
        """
        import torch  # this module is importable without the train extra

        from srpo.policy.decode import sample

        prompts = [self._encode(request)[0] for request in requests]
        # Pixels are large: nothing is kept beyond the batch that it was inspected for.
        self._inspected.clear()
        groups = sample(
            self._policy,
            prompts,
            num_samples=[request.num_samples for request in requests],
            sampling=sampling,
            generator=torch.Generator(device=self._policy.device).manual_seed(batch_seed(requests, sampling)),
        )
        return [
            [Completion(self._policy.decode(one.token_ids), len(one.token_ids), one.truncated) for one in samples]
            for samples in groups
        ]

    def _encode(self, request: Request) -> "tuple[EncodedPrompt, tuple[str, ...]]":
        key = (request.messages, request.problem.images)
        if key in self._inspected:
            return self._inspected[key]
        pictures = [read_image(ref, max_pixels=self._max_pixels) for ref in request.problem.images]
        turns = [(message.role, message.text) for message in request.messages]
        prompt = self._policy.processor.encode(turns, [picture.image for picture in pictures])
        longest = _max_positions(self._policy)
        if longest is not None and prompt.num_tokens >= longest:
            raise ValueError(
                f"prompt of {prompt.num_tokens} tokens; the model has {longest} positions (see max_pixels)"
            )
        # Padding and the like are worth a note, scaling that was asked for is not.
        notes = tuple(note for picture in pictures for note in picture.notes if "max_pixels" not in note)
        self._inspected[key] = (prompt, notes)
        return prompt, notes


def batch_seed(requests: Sequence[Request], sampling: Sampling) -> int:
    """Seed of one batch: a function of the sampling seed and of what is asked, so that there is no state to resume."""
    digest = hashlib.blake2b(str(sampling.seed).encode(), digest_size=7)
    for request in requests:
        digest.update(request.model_dump_json(exclude={"problem": {"source", "images"}}).encode())
    return int.from_bytes(digest.digest(), "big")


def _max_positions(policy: "Policy") -> int | None:
    config = policy.model.config
    return getattr(getattr(config, "text_config", config), "max_position_embeddings", None)


def load_generator(
    model: str, *, device: str, dtype: AutoDtype, max_pixels: int | None, attention: Attention = "auto"
) -> LocalGenerator:
    """Load a checkpoint for sampling alone."""
    from srpo.policy.load import load_policy

    policy = load_policy(model, device=device, dtype=dtype, attention=attention, trainable=False)
    note(f"srpo: {policy.describe()}")
    return LocalGenerator(policy, max_pixels=max_pixels)
