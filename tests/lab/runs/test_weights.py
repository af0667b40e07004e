"""Weights that are damaged, or of another network, are refused in one sentence."""

import pytest
import torch
from torch import nn

from vct.lab.errors import UserError
from vct.lab.files.tensors import save_tensors
from vct.lab.runs import weights


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Weights of a linear layer, where those of a run are."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results/small/ot/seed0"
    folder.mkdir(parents=True)
    save_tensors(folder / "model.safetensors", nn.Linear(2, 3).state_dict(), {})
    return (folder / "model.safetensors").relative_to(tmp_path)


def test_weights_come_back(path):
    layer = nn.Linear(2, 3)
    weights.fill(layer, weights.read(path), path)
    assert torch.equal(layer.weight, weights.read(path)["weight"])


@pytest.mark.parametrize(
    "other", [nn.Linear(3, 3), nn.Linear(2, 3, bias=False), nn.Conv1d(2, 3, 1)]
)
def test_weights_of_another_network(path, other):
    with pytest.raises(UserError, match=r"model\.safetensors is of another architecture"):
        weights.fill(other, weights.read(path), path)


def test_weights_that_are_cut_missing_or_not_finite(path):
    whole = path.read_bytes()
    for content in (b"", whole[:-8], whole[:100], b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"damaged .* train the run again: vct train small/ot"):
            weights.read(path)
    save_tensors(path, {"weight": torch.full((2,), torch.nan)}, {})
    with pytest.raises(UserError, match="weight is not finite"):
        weights.read(path)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        weights.read(path)


def test_snapshots_by_step(path):
    save_tensors(path, {"10/weight": torch.zeros(2), "20/weight": torch.ones(2)}, {})
    found = weights.read_snapshots(path)
    assert list(found) == [10, 20] and found[20]["weight"].tolist() == [1, 1]
