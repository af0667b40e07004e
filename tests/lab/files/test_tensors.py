"""A full disk ends in one sentence, whichever kind of error the writer makes of it."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vct.lab.errors import UserError
from vct.lab.files import tensors
from vct.lab.files.tensors import save_tensors

TENSORS = {"a": torch.arange(3.0)}


def test_round_trip(tmp_path):
    save_tensors(tmp_path / "x.safetensors", TENSORS)
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], TENSORS["a"])


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_full_disk_is_the_users_error(tmp_path, monkeypatch, kind):
    def full(*_):
        raise kind("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.safetensors: .*No space left"):
        save_tensors(tmp_path / "x.safetensors", TENSORS)
    assert list(tmp_path.iterdir()) == []
