"""Published weights: read without running anything, kept whole, refused when they are not."""

import hashlib
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from vct.lab.errors import UserError
from vct.lab.metrics.extractors.published import (
    Published,
    load_published,
    read_published,
    save_published,
)

TENSORS = {
    "conv.weight": torch.arange(24.0).reshape(2, 3, 4).transpose(0, 1),
    "bn.num_batches_tracked": torch.tensor(7),
}
PUBLISHED = Published("net.pth", "12" * 32, TENSORS)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net" / "weights.safetensors"
    save_published(path, "inception", PUBLISHED)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_torch_is_read_if_it_is_the_published_one(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    found = read_published(path, sha256(path))
    assert (found.source, found.source_sha256) == ("net.pth", sha256(path))
    assert found.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())


def test_another_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    known = sha256(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:50] + b"x" + whole[51:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path} is not the published file .*{known}"):
            read_published(path, known)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_code_in_a_file_is_not_run_even_if_its_hash_is_known(tmp_path):
    path, mark = tmp_path / "net.pth", tmp_path / "trapped"
    torch.save({"conv.weight": Trap(mark)}, path)
    with pytest.raises(pickle.UnpicklingError):
        read_published(path, sha256(path))
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the trap is a real one
    assert mark.exists()


def test_equal_weights_give_equal_bytes_and_come_back(saved, tmp_path):
    found = load_published(saved, "inception")
    assert (found.source, found.source_sha256) == (PUBLISHED.source, PUBLISHED.source_sha256)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())
    reordered = dict(reversed(TENSORS.items()))
    other = tmp_path / "other.safetensors"
    save_published(other, "inception", Published("net.pth", "12" * 32, reordered))
    assert other.read_bytes() == saved.read_bytes()


def flipped(content):
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda whole: whole[:-1], flipped, lambda _: pickle.dumps(Trap("x"))]
)
def test_a_damaged_file_is_refused(damage, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(UserError, match=r"not a whole file .* make it again: vct extractor net"):
        load_published(saved, "inception")
    assert not (tmp_path / "x").exists()


def test_a_file_of_another_kind_is_refused(saved, tmp_path):
    with pytest.raises(UserError, match="another kind"):
        load_published(saved, "efficientnet-lite0")
    tensors, path = load_file(saved), tmp_path / "plain.safetensors"
    save_file(tensors, path)
    with pytest.raises(UserError, match="not a whole file"):
        load_published(path, "inception")


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="missing; make it with: vct extractor net"):
        load_published(tmp_path / "net" / "weights.safetensors", "inception")
