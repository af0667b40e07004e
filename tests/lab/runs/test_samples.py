"""samples.npz: what is written is read, to the byte, and which of it is scored."""

import numpy as np
import pytest

from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import file_sha256
from vct.lab.records import SampleRecord
from vct.lab.runs import samples
from vct.samplers.base import parse_key
from vct.samplers.few_step import FewStep
from vct.samplers.heun import Heun

RUN = RunId("small", "ot", 0)
RECORD = SampleRecord(
    version=2, settings={"num_samples": 4}, data_sha256="ab", files={"model.safetensors": "cd"}
)


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """Arrays as sampling makes them, in an empty project."""
    monkeypatch.chdir(tmp_path)
    keys = ("steps10", "steps1", "snapshot20", "steps2", "pair_x")
    return {key: np.full((4, 1, 2, 2), index, np.uint8) for index, key in enumerate(keys)}


def test_what_is_written_is_read(arrays):
    samples.write(RUN, arrays, RECORD)
    found, record = samples.read(RUN)
    assert record == RECORD == samples.read_record(RUN)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[key], arrays[key]) for key in arrays)


def test_equal_samples_are_equal_bytes(arrays):
    path = RUN.directory / "samples.npz"
    samples.write(RUN, arrays, RECORD)
    first = path.read_bytes()
    samples.write(RUN, *samples.read(RUN))
    assert path.read_bytes() == first


def test_scored_are_samples_by_number_of_steps(arrays):
    assert list(samples.scored(arrays)) == ["steps1", "steps2", "steps10"]


def test_keys_of_samplers_are_keys_of_samples():
    samplers = (FewStep([80.0, 1.5, 0.5]), Heun(80.0, 18))
    keys = [key for sampler in samplers for key in sampler.schedules]
    assert [parse_key(key) for key in keys] == [
        ("steps", 1),
        ("steps", 2),
        ("steps", 3),
        ("heun", 18),
    ]


def test_of_as_many_steps_those_from_the_standard_start_come_first():
    keys = ("fitted-steps2", "fitted-steps1", "late-steps1", "steps2", "steps1")
    found = list(samples.scored(dict.fromkeys(keys)))
    assert found == ["steps1", "fitted-steps1", "late-steps1", "steps2", "fitted-steps2"]


@pytest.mark.parametrize("key", ["", "steps", "steps0", "steps01", "snapshot2", "pair_x"])
def test_other_keys_are_not_scored(key):
    assert parse_key(key) is None


def test_code_in_samples_is_not_run(arrays):
    """Pickled objects are refused, and so is a file that is none."""
    samples.write(RUN, {"steps1": arrays["steps1"]}, RECORD)
    path = RUN.directory / "samples.npz"
    np.savez(path, steps1=np.array([print], dtype=object), record=np.array("{}"))
    for content in (path.read_bytes(), b"", b"other"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"damaged .*; draw again: vct sample small/ot/seed0"):
            samples.read(RUN)


def test_samples_that_were_not_drawn(arrays):
    assert samples.read_record(RUN) is None
    with pytest.raises(UserError, match="is missing"):
        samples.read(RUN)


def test_bytes_depend_on_no_version_of_python(tmp_path, monkeypatch):
    """The hash of a file by 3.11.2 and by 3.11.7, of which numpy.savez writes two kinds."""
    monkeypatch.chdir(tmp_path)
    run = RunId("a", "b", 0)
    record = SampleRecord(version=3, settings={}, data_sha256="0" * 64, files={})
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    samples.write(run, {"steps1": images, "noise": np.ones((2, 1, 1, 1), np.float32)}, record)
    known = "076e56a5661947cdf466f72a92fe6ac75b47d6eb7c277348a5ded9dffe53d5aa"
    assert file_sha256(run.directory / "samples.npz") == known
    found, _ = samples.read(run)
    assert (found["steps1"] == images).all()
