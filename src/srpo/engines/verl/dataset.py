"""verl's data set of conversations, with our choice of the tokens that carry loss (`first_attempt_loss`).

The class is made when verl asks for it, for its base is verl's.
"""

from functools import lru_cache
from typing import Any

SKIPPED = "skipped_tokens"
"""Column: leading tokens of the target that carry no loss."""


def __getattr__(name: str) -> Any:
    """`TraceDataset`."""
    if name != "TraceDataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _trace_dataset()


@lru_cache(maxsize=1)
def _trace_dataset() -> type:
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    class TraceDataset(MultiTurnSFTDataset):  # type: ignore[misc]
        """Takes the loss from the first tokens of a target."""

        def __getitem__(self, item: int) -> dict[str, Any]:
            row: dict[str, Any] = super().__getitem__(item)
            skipped = int(self.dataframe.iloc[item][SKIPPED])
            learned = row["loss_mask"].nonzero()[:skipped]
            row["loss_mask"][learned] = 0
            return row

    return TraceDataset
