"""A full disk ends in one sentence, whichever kind of error the writer makes of it."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vct import tensor_file
from vct.errors import UserError

TENSORS = {"a": torch.arange(3.0)}


def test_round_trip(tmp_path):
    tensor_file.save(tmp_path / "x.safetensors", TENSORS)
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], TENSORS["a"])


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_full_disk_is_the_users_error(tmp_path, monkeypatch, kind):
    def full(*_):
        raise kind("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensor_file, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.safetensors: .*No space left"):
        tensor_file.save(tmp_path / "x.safetensors", TENSORS)
    assert list(tmp_path.iterdir()) == []
