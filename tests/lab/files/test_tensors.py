"""Tensors come back as they were written, or one sentence says why they do not."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vct.lab.errors import UserError
from vct.lab.files import tensors
from vct.lab.files.tensors import (
    load_sealed,
    merge_tensors,
    save_sealed,
    save_tensors,
    tensors_sha256,
)

TENSORS = {"a": torch.arange(3.0)}


def test_round_trip(tmp_path):
    save_tensors(tmp_path / "x.safetensors", TENSORS)
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], TENSORS["a"])


def test_tied_weights_are_written_under_each_name(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    save_tensors(tmp_path / "x.safetensors", {"a": weight, "b": weight, "c": weight[1]})
    found = load_file(tmp_path / "x.safetensors")
    assert torch.equal(found["a"], weight) and torch.equal(found["b"], weight)
    assert torch.equal(found["c"], weight[1])


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_full_disk_is_the_users_error(tmp_path, monkeypatch, kind):
    def full(*_):
        raise kind("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.safetensors: .*No space left"):
        save_tensors(tmp_path / "x.safetensors", TENSORS)
    assert list(tmp_path.iterdir()) == []


# --- sealed ----------------------------------------------------------------------------------

MANY = {
    "matrix": torch.arange(24.0).reshape(2, 3, 4).transpose(0, 1),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3, dtype=torch.float64),
}


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_sealed(path, "net", {"width": 3, "shape": (1, 2)}, MANY)
    return path


def test_sealed_tensors_come_back_with_their_facts(sealed):
    facts, found = load_sealed(sealed, "net", "vct make")
    assert facts == {"width": 3, "shape": [1, 2]}
    assert found.keys() == MANY.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in MANY.items())


def test_equal_content_gives_equal_bytes(sealed, tmp_path):
    other = tmp_path / "other.safetensors"
    save_sealed(other, "net", {"width": 3, "shape": (1, 2)}, dict(reversed(MANY.items())))
    assert other.read_bytes() == sealed.read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.arange(6.0)},
        {"a": torch.arange(6.0).reshape(2, 3)},
        {"a": torch.arange(6.0).view(torch.int32)},
        {"a": torch.arange(6.0), "b": torch.zeros(0)},
        {"a": torch.arange(6.0).flip(0)},
        {},
    ],
)
def test_name_shape_type_and_values_are_part_of_the_hash(other):
    """The bytes alone would be the same of the first three."""
    assert tensors_sha256(other) != tensors_sha256({"a": torch.arange(6.0)})


def flipped(content):
    """A bit of a number: whole for safetensors."""
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"text", lambda whole: whole[:-1], flipped]
)
def test_a_damaged_file_is_refused(damage, sealed):
    sealed.write_bytes(damage(sealed.read_bytes()))
    with pytest.raises(UserError, match=r"x\.safetensors is damaged .* make it again: vct make"):
        load_sealed(sealed, "net", "vct make")


def test_another_or_no_file_is_refused(sealed):
    with pytest.raises(UserError, match="damaged"):
        load_sealed(sealed, "other", "vct make")
    save_file(TENSORS, sealed)
    with pytest.raises(UserError, match="damaged"):
        load_sealed(sealed, "net", "vct make")
    sealed.unlink()
    with pytest.raises(UserError, match="missing; make it with: vct make"):
        load_sealed(sealed, "net", "vct make")


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
