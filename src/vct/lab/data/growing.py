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
        self.stream, self.rows = stream, 0
        self.dtype: np.dtype | None = None
        self.shape: tuple[int, ...] = ()

    def append(self, rows: np.ndarray) -> None:
        """Add rows (n, ...); all of one type and, but for n, of one shape.

        Raises:
            ValueError: if they differ from the rows before.
        """
        if self.dtype is None:
            self.dtype, self.shape = rows.dtype, rows.shape[1:]
            self._write_header()
        if (rows.dtype, rows.shape[1:]) != (self.dtype, self.shape):
            raise ValueError(
                f"rows of {rows.dtype} {rows.shape[1:]} after {self.dtype} {self.shape}"
            )
        self.stream.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def close(self) -> None:
        """Write the header again, with the number of rows.

        Raises:
            ValueError: if there was no row, so that nobody knows their type.
        """
        if self.dtype is None:
            raise ValueError("an array without rows has no type")
        start = self.stream.tell() - self.rows * self.dtype.itemsize * int(np.prod(self.shape))
        self.stream.seek(0)
        self._write_header()
        if self.stream.tell() != start:
            raise ValueError("the header has outgrown its place")
        self.stream.flush()

    def _write_header(self) -> None:
        assert self.dtype is not None
        npy.write_array_header_1_0(
            self.stream,
            {
                "descr": npy.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.rows, *self.shape),
            },
        )
