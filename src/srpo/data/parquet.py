"""Parquet files in, rows out, with bounds on what a small file may come to in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srpo.core.records import Rejected
from srpo.data.arrow import ROWS_AT_ONCE, Undecodable, decode

_EXPANDED_BYTES = 64 << 20
"""What a few rows may come to in memory, as far as the file's own sizes tell."""
_MOST_COMPRESSED = 200
"""Bytes in memory for one in the file beyond which a large column is refused: 768 MB can lie in 25 kB."""
_PAGE_HEAD_BYTES = 32
_NEXT_I32 = b"\x15"
"""Thrift: the next field, a 32-bit number."""
_NUMBERS = frozenset({"BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE"})

ParquetRow = tuple[int, dict[str, Any] | Undecodable]
"""Number of a row, and the row."""


def iter_parquet(path: Path) -> Iterator[ParquetRow | Rejected]:
    """The rows of a file, in order; a row group that is damaged costs its own rows.

    Raises:
        ValueError: it is no parquet file.
    """
    import pyarrow.parquet as pq  # slow to import, needed for parquet alone

    try:
        table = pq.ParquetFile(path)
    except Exception as error:  # Arrow's own, OSError, and what its reader of the footer raises
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error
    with table:
        number = 0
        for group in range(table.num_row_groups):
            yield from _iter_group(table, group, path, number)
            number += table.metadata.row_group(group).num_rows


def _iter_group(table: Any, group: int, path: Path, number: int) -> Iterator[ParquetRow | Rejected]:
    """The rows of one row group, which can be damaged while the others are not."""
    about = table.metadata.row_group(group)
    end = number + about.num_rows
    try:
        for batch in table.iter_batches(batch_size=_rows_at_once(about, path), row_groups=[group]):
            for values in decode(batch):
                yield number, values
                number += 1
    except Exception as error:  # Arrow's own, OSError, and whatever its decoders raise
        detail = f"rows {number} to {end - 1} cannot be read: {error}"[:300]
        yield Rejected.row(f"{path}:{number}", "damaged row group", detail)


def _rows_at_once(about: Any, path: Path) -> int:
    """Rows to decode at a time; ValueError where even one may take more memory than the file justifies.

    A value that repeats lies once in a column's dictionary and many times in the rows, so that no size in the file
    says what the rows come to: but no such cell is larger than the dictionary.
    """
    repeated = 0
    for index in range(about.num_columns):
        column = about.column(index)
        size = column.total_uncompressed_size
        if size > max(_EXPANDED_BYTES, _MOST_COMPRESSED * column.total_compressed_size):
            raise ValueError(f"column {column.path_in_schema!r} has {size:,} bytes in {column.total_compressed_size:,}")
        if any("DICTIONARY" in name for name in column.encodings) and column.physical_type not in _NUMBERS:
            repeated += min(size, _first_page_bytes(column, path))
    return max(1, min(ROWS_AT_ONCE, _EXPANDED_BYTES // max(1, repeated)))


def _first_page_bytes(column: Any, path: Path) -> int:
    """Unpacked size of a column's first page, which is its dictionary if it has one; Arrow unpacks no more than that.

    The page's head is Thrift's compact form: a type, then this size, each a number in zigzag and groups of 7 bits.
    """
    # Where Arrow begins: some writers leave out where the dictionary is.
    starts = [start for start in (column.dictionary_page_offset, column.data_page_offset) if start]
    with path.open("rb") as file:
        file.seek(min(starts))
        head = file.read(_PAGE_HEAD_BYTES)
    numbers, at = [], 0
    for _ in range(2):
        if head[at : at + 1] != _NEXT_I32:
            raise ValueError(f"column {column.path_in_schema!r} begins with no page")
        number, shift, at = 0, 0, at + 1
        while True:
            number |= (head[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if head[at - 1] < 0x80:
                break
        numbers.append((number >> 1) ^ -(number & 1))
    return max(0, numbers[1])
