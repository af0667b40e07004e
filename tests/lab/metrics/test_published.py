"""Published weights: read without running anything, and kept with where they came from."""

import hashlib
import os
import pickle

import pytest
import torch

from vct.lab.errors import UserError
from vct.lab.metrics.extractors.base import Extractor
from vct.lab.metrics.extractors.published import PublishedKind, read_published

TENSORS = {
    "conv.weight": torch.arange(24.0).reshape(2, 3, 4).transpose(0, 1),
    "bn.num_batches_tracked": torch.tensor(7),
}


class Net(PublishedKind):
    """Published as a file; its extractor remembers the weights."""

    kind = "net"

    def __init__(self, path):
        self.path = path

    def published(self):
        return self.path, sha256(self.path)

    def extractor(self, tensors, source):
        return Extractor(1, None, lambda: tensors, source=source)


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(TENSORS, path)
    return Net(path)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def test_weights_come_back_with_where_they_are_from(net, tmp_path):
    weights = tmp_path / "net" / "weights.safetensors"
    facts = net.make(weights, None).content()
    assert facts == {"source": "net.pth", "source_sha256": sha256(net.path)}
    found = net.load(weights)
    assert found.source == tuple(facts.values())
    tensors = found.build()
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_a_file_of_another_kind_is_refused(net, tmp_path):
    weights = tmp_path / "net" / "weights.safetensors"
    net.make(weights, None)
    net.kind = "other"
    with pytest.raises(UserError, match="of kind net; make it again: vct extractor net"):
        net.load(weights)
