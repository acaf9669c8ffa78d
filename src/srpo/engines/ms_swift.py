"""ms-swift: a reward class in a plugin file.

    # for --external_plugins examples/ms_swift_srpo.py --reward_funcs srpo
    from swift.rewards import ORM, orms
    from srpo.engines.ms_swift import ms_swift_reward
    orms["srpo"] = ms_swift_reward(ORM, "paper", tokenizer="/models/Qwen2.5-VL-7B-Instruct")

The rows are those of `srpo export --format ms-swift`: messages, images, and the gold with
what belongs to it as one JSON text in `solution`. ms-swift makes a reward of 0 of None without a word, so an ungradable
gold is an error here.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from srpo.core.records import Style
from srpo.core.rewards import Preset
from srpo.engines.payer import Payer, Tokenizer, unpacked


def ms_swift_reward(
    base: type,
    preset: Preset = "paper",
    *,
    tokenizer: str | Path | Tokenizer | None = None,
    style: Style = "reflective",
    weights: Mapping[str, float] | None = None,
    length_floor: int = 0,
    symbolic: bool = False,
) -> type:
    """A subclass of `swift.rewards.ORM`, which is `base`; the settings are those of `Payer`."""
    payer = Payer(
        preset, tokenizer=tokenizer, style=style, weights=weights, length_floor=length_floor, symbolic=symbolic
    )

    class Srpo(base):  # type: ignore[misc]
        """The total of each response."""

        def __call__(self, completions: Sequence[str], solution: Sequence[str], **columns: Any) -> list[float]:
            ids = columns.get("response_token_ids") or [None] * len(completions)
            return [
                payer.pay(unpacked(label), text, token_ids=flat(one)).total
                for label, text, one in zip(solution, completions, ids, strict=True)
            ]

    return Srpo


def flat(token_ids: Sequence[Any] | None) -> list[int] | None:
    """Token ids of a response; ms-swift has a list for each of its turns, or nothing.

    >>> flat([[1, 2], [3]]), flat([4, 5]), flat([])
    ([1, 2, 3], [4, 5], None)
    """
    if not token_ids:
        return None
    return list(chain.from_iterable(one if isinstance(one, Sequence) else [one] for one in token_ids))
