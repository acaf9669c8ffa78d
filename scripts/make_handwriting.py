"""Make `src/srpo/data/drawn/handwriting.txt.gz` from scikit-learn's copy of the UCI optical digits.

    python -m pip download --no-deps scikit-learn && unzip -p scikit_learn-*.whl sklearn/datasets/data/digits.csv.gz \
        > digits.csv.gz && python scripts/make_handwriting.py digits.csv.gz

One line per digit: the label, then 64 grey values 0..16 as one character each (0-9, a-g). The order of the source is
kept, because neighbouring rows come from the same writer: that is what the split by writers rests on.
"""

import gzip
import sys
from pathlib import Path

OUT = Path(__file__).parents[1] / "src/srpo/data/drawn/handwriting.txt.gz"
LEVELS = "0123456789abcdefg"


def main(source: Path) -> None:
    """Convert `source` (64 grey values and the label per row)."""
    lines = []
    for row in gzip.decompress(source.read_bytes()).decode().split():
        *pixels, label = (int(float(value)) for value in row.split(","))
        assert len(pixels) == 64, f"{len(pixels)} pixels in a row"
        lines.append(f"{label}{''.join(LEVELS[pixel] for pixel in pixels)}\n")
    OUT.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    print(f"{len(lines)} digits, {OUT.stat().st_size} bytes -> {OUT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
