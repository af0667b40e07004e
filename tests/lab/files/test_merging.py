"""A merged file holds what its parts hold, as safetensors reads it."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vct.lab.files.merging import merge


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
    merge(parts, tmp_path / "all.safetensors")
    with safe_open(tmp_path / "all.safetensors", "pt") as file:
        assert set(file.keys()) == set(expected)
        for name, tensor in expected.items():
            assert file.get_tensor(name).dtype == tensor.dtype
            assert torch.equal(file.get_tensor(name), tensor)


def test_a_missing_part_leaves_no_file(tmp_path):
    with pytest.raises(OSError):
        merge([("a", tmp_path / "none.safetensors")], tmp_path / "all.safetensors")
    assert not list(tmp_path.iterdir())
