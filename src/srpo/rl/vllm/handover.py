"""The policy's side of a hand-over: its weights as files that vLLM reads, its pictures, its scores of a fixed text."""

import base64
import hashlib
import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from srpo.core.records import Attempt, Problem, Response
from srpo.core.response import render
from srpo.data.images import load_image
from srpo.policy.load import TINY_BASE, base_name, save_merged, shipped_base
from srpo.policy.lora import adapter_base, has_adapters, save_adapter

if TYPE_CHECKING:
    from srpo.policy.policy import Policy
    from srpo.policy.processor import EncodedPrompt

MAX_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
_QUESTION = "How many bars are red, and how many are blue?"
_ANSWER = render(
    Response(
        first=Attempt(think="There are 3 red bars and 5 blue ones, which makes 8.", answer="8"),
        reflection="I count the blue ones again: there are 4 of them, so that the sum is wrong.",
        second=Attempt(think="3 red bars and 4 blue ones make 7.", answer="7"),
    )
)


def served_model(name: str) -> str:
    """What a server has to load to be the model that a run begins with.

    Raises:
        ValueError: it is a directory of adapters.
    """
    if name == TINY_BASE:
        return str(shipped_base())
    directory = Path(name).expanduser()
    if directory.is_dir() and adapter_base(directory) is not None:
        raise ValueError(
            f"model {name!r} holds adapters, which vLLM does not merge; name the folder of the merged model, or use "
            "sampler.kind: local"
        )
    return str(directory.resolve()) if directory.is_dir() else name


def room_for(rank: int) -> int:
    """The smallest rank that vLLM makes room for and this one fits into.

    Raises:
        ValueError: there is none.
    """
    found = next((most for most in MAX_RANKS if rank <= most), None)
    if found is None:
        raise ValueError(f"lora.rank {rank} is more than vLLM takes ({MAX_RANKS[-1]}); lower it")
    return found


def handover_folder(parent: str | None, run: Path) -> Path:
    """An empty folder for the hand-overs of a run; what a killed process of the same run left there is gone."""
    if parent is None:
        parent = str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else tempfile.gettempdir()
    digest = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:12]
    folder = Path(parent) / f"srpo-handover-{digest}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def write_adapter(policy: "Policy", directory: Path) -> None:
    """The adapters alone."""
    save_adapter(policy.model, directory, base_name(policy))


def write_weights(policy: "Policy", directory: Path) -> None:
    """All weights, adapters merged, in the type in which the trainer computes."""
    save_merged(policy, directory, policy.autocast_dtype or policy.model.dtype)


def hands_over_adapters(policy: "Policy") -> bool:
    """Whether adapters are all that moves, and vLLM takes them: it has none in the vision tower."""
    moving = [name for name, weight in policy.model.named_parameters() if weight.requires_grad]
    return has_adapters(policy.model) and not any(".visual." in f".{name}" for name in moving)


def picture_urls(policy: "Policy", problem: Problem, max_pixels: int | None) -> tuple[str, ...]:
    """The problem's pictures as the policy sees them: at the model's size, so that the server scales nothing."""
    urls = []
    for ref in problem.images:
        file = io.BytesIO()
        seen = policy.processor.resized(load_image(ref, max_pixels=max_pixels))
        Image.fromarray(seen).save(file, "PNG", compress_level=1)
        urls.append(f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}")
    return tuple(urls)


def prompt_ids(policy: "Policy", prompt: "EncodedPrompt") -> tuple[int, ...]:
    """The prompt as a server takes it, which puts as many image tokens in place of one as a picture has features."""
    ids: list[int] = prompt.input_ids.tolist()
    image = policy.image_token_id
    return tuple(token for before, token in zip([None, *ids], ids, strict=False) if token != image or before != image)


def fixed_text(policy: "Policy") -> list[int]:
    """Token ids of a question without a picture and a response to it."""
    prompt: list[int] = policy.encode(_QUESTION).input_ids.tolist()
    return [*prompt, *policy.encode_text(_ANSWER)]


def own_scores(policy: "Policy", token_ids: list[int]) -> list[float]:
    """The log-probability of every token but the first."""
    ids_T = torch.tensor(token_ids, device=policy.device)
    with torch.no_grad(), policy.autocast():
        logits_T_V = policy.model(input_ids=ids_T[None], use_cache=False).logits[0, :-1]
    scores: list[float] = logits_T_V.float().log_softmax(-1).gather(-1, ids_T[1:, None])[:, 0].tolist()
    return scores
