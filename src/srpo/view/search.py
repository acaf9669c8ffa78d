"""Text search: all texts, case folded, one after the other in a file without a name that is mapped into memory.

A hundred thousand responses of two kilobytes are 200 MB on the disk and pages that the system may drop in memory.
"""

import mmap
import tempfile
from array import array
from bisect import bisect_right
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from srpo.core.records import Trace

_END = b"\x00"
_REMEMBERED = 8
"""Searches whose results are kept, so that turning pages does not search again."""
_BUFFER = 1 << 20


class Texts:
    """Append, then search; row numbers are those of the columns."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115  lives as long as the index
        self._starts = array("Q")
        self._end = 0
        self._found: OrderedDict[tuple[str, int], npt.NDArray[np.bool_]] = OrderedDict()

    def add(self, trace: Trace) -> None:
        """Append the texts of a trace: id, question, options, gold answer, response."""
        problem = trace.problem
        text = "\n".join((problem.id, problem.question, *problem.choices, problem.answer, trace.text))
        data = text.casefold().replace("\x00", "").encode("utf-8", errors="replace") + _END
        self._starts.append(self._end)
        self._end += len(data)
        self._file.write(data)

    def rows_with(self, text: str) -> npt.NDArray[np.bool_]:
        """Which rows hold a text, upper and lower case alike."""
        key = text.casefold(), len(self._starts)
        if key in self._found:
            self._found.move_to_end(key)
        else:
            self._found[key] = self._search(key[0].replace("\x00", "").encode("utf-8", errors="replace"))
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return self._found[key]

    def _search(self, wanted: bytes) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(self._starts), dtype=np.bool_)
        if not len(found):
            return found
        self._file.flush()
        with mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_READ) as texts:
            at = texts.find(wanted)
            while at >= 0:
                row = bisect_right(self._starts, at) - 1
                found[row] = True
                at = texts.find(wanted, self._starts[row + 1]) if row + 1 < len(found) else -1
        return found

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
