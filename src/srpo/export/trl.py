"""TRL: conversational prompt and completion with a list of pictures; loss on the completion alone is TRL's default.

SFTTrainer(..., train_dataset=load_dataset("parquet", data_files="OUT/trl/train.parquet", split="train"))
"""

from pathlib import Path

from srpo.export.samples import Sample
from srpo.export.table import IMAGES, TURNS, ParquetTable

_FEATURES = {"prompt": TURNS, "completion": TURNS, "images": IMAGES}


class Trl(ParquetTable):
    """Writes `train.parquet`; TRL itself puts the pictures before the text of the first user turn."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "train.parquet", _FEATURES)

    def add(self, sample: Sample) -> None:
        """Append one sample."""
        self.write(
            {
                "prompt": [{"role": "user", "content": sample.prompt}],
                "completion": [{"role": "assistant", "content": sample.target}],
                "images": [{"bytes": picture.data} for picture in sample.pictures],
            }
        )
