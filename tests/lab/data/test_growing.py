"""An array written by rows is the array written whole, byte by byte."""

import io

import numpy as np
import pytest

from vct.lab.data.growing import GrowingArray


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(1,), (11, 3), (1234, 2, 1, 1)])
@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_the_bytes_are_those_of_numpy(dtype, shape, step):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    whole, grown = io.BytesIO(), io.BytesIO()
    np.save(whole, array)
    growing = GrowingArray(grown)
    for start in range(0, len(array), step):
        growing.append(array[start : start + step])
    growing.close()
    assert grown.getvalue() == whole.getvalue()


def test_rows_that_are_not_contiguous():
    array = np.arange(24, dtype=np.int64).reshape(4, 6)[::2, ::-1]
    stream = io.BytesIO()
    growing = GrowingArray(stream)
    growing.append(array)
    growing.close()
    assert np.array_equal(np.load(io.BytesIO(stream.getvalue())), array)
