"""A parquet file that is written row by row, with the types that the `datasets` library reads from its metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS, _BYTES = 256, 32 << 20
"""A row group is written when it has so many rows, or pictures of so many bytes."""

TEXT: Any = {"dtype": "string", "_type": "Value"}
TURNS: Any = [{"role": TEXT, "content": TEXT}]
IMAGES: Any = [{"_type": "Image"}]
BYTES: Any = [{"dtype": "binary", "_type": "Value"}]
"""Types as `datasets.Features` writes them; a list of one stands for a list."""


class ParquetTable:
    """A context manager; `write` rows, and the file is whole when it is left."""

    def __init__(self, path: Path, features: Mapping[str, Any]) -> None:
        import pyarrow.parquet as pq  # slow to import, needed for parquet alone

        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema = _schema(features)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[Mapping[str, Any]] = []
        self._num_bytes = 0

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; pictures are `{"bytes": ..}`, or bytes."""
        self._rows.append(row)
        self._num_bytes += sum(
            len(picture if isinstance(picture, bytes) else picture["bytes"]) for picture in row.get("images", ())
        )
        if len(self._rows) >= _ROWS or self._num_bytes >= _BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._num_bytes = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()


def _schema(features: Mapping[str, Any]) -> "pa.Schema":
    import pyarrow as pa

    fields = [pa.field(name, _arrow(feature)) for name, feature in features.items()]
    # verl reads pictures as plain structs and chokes on nothing; `datasets` makes pictures of them by this entry.
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": dict(features)}})})


def _arrow(feature: Any) -> "pa.DataType":
    import pyarrow as pa

    if isinstance(feature, list):
        return pa.list_(_arrow(feature[0]))
    match feature.get("_type"):
        case "Value":
            return pa.type_for_alias(feature["dtype"])
        case "Image":
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        case _:
            return pa.struct([(name, _arrow(inner)) for name, inner in feature.items()])
