"""A .npy file that grows by rows, so that an array larger than memory can be written."""

from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy


class GrowingArray:
    """Appends rows to `stream`; `close` leaves the very bytes that `numpy.save` of the whole array
    would have written.

    numpy pads the header so that the number of rows can grow in place; it is written twice.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.count, self.first = stream, 0, np.empty(0)

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, ...); all of one type and, but for n, of one shape."""
        if not self.count:
            self.first = rows[:1]
            self._write_header()
        self.stream.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def close(self) -> None:
        """Write the header again, with the number of rows; there must be some."""
        self.stream.seek(0)
        self._write_header()
        self.stream.flush()

    def _write_header(self) -> None:
        npy.write_array_header_1_0(
            self.stream,
            {
                "descr": npy.dtype_to_descr(self.first.dtype),
                "fortran_order": False,
                "shape": (self.count, *self.first.shape[1:]),
            },
        )
