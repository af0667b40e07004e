"""Tensors come back; a merged file holds what its parts hold; a full disk ends in one sentence."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vct.lab.errors import UserError
from vct.lab.files import tensors
from vct.lab.files.tensors import merge_tensors, save_tensors

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


def test_merged_file_holds_every_tensor(tmp_path):
    generator = torch.Generator().manual_seed(0)
    parts, expected = [], {}
    for prefix, shapes in {"a/1": [(3,), (2, 5)], "b": [(), (7,)], "c": [(1, 1)]}.items():
        tensors = {
            f"w{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)
        }
        tensors["count"] = torch.arange(3)
        tensors["half"] = torch.ones(3, dtype=torch.float16)
        path = tmp_path / f"{len(parts)}.safetensors"
        save_file(tensors, path, {"note": "not a tensor"})
        parts.append((prefix, path))
        expected |= {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}
    merge_tensors(parts, tmp_path / "all.safetensors")
    found = load_file(tmp_path / "all.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_missing_part_leaves_no_file(tmp_path):
    with pytest.raises(OSError):
        merge_tensors([("a", tmp_path / "none.safetensors")], tmp_path / "all.safetensors")
    assert not list(tmp_path.iterdir())
