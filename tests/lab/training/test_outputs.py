"""What was put aside must be what it was when it is needed, and becomes what was averaged."""

import pytest
import torch
from safetensors.torch import load_file
from support import dataset, run_settings

from vct.averages.post_hoc import TrackedAverages
from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.training.outputs import PendingFiles

WIDTHS = [0.1, 0.2]
SETTINGS = run_settings(steps=6, snapshots=2, ema={"kind": "post_hoc", "kept": 3, "widths": WIDTHS})


def trained(folder):
    """Parts of a training that adds the step to all weights; and what its averages then were."""
    model = build.model(SETTINGS, dataset(), 0)
    ema, pending = TrackedAverages(model, WIDTHS), PendingFiles(folder, SETTINGS.train)
    expected = {}
    for step in range(1, 7):
        for parameter in model.parameters():
            parameter.data += step
        ema.update(step - 1)
        pending.put_aside(step, ema)
        for width, average in ema.averages.items():
            for name, tensor in average.module.state_dict().items():
                expected[f"{step}/{width}/{name}"] = tensor.clone()
    return pending, expected


def test_outputs_hold_the_averages_at_their_steps(tmp_path):
    pending, expected = trained(tmp_path)
    pending.merge(tmp_path / "outputs")
    averages = load_file(tmp_path / "outputs/averages.safetensors")
    assert {name.split("/")[0] for name in averages} == {"2", "4", "6"}
    assert averages.keys() == {name for name in expected if name[0] in "246"}
    assert all(torch.equal(tensor, expected[name]) for name, tensor in averages.items())
    snapshots = load_file(tmp_path / "outputs/snapshots.safetensors")
    first = f"{WIDTHS[0]}/network."
    names = [name for name in expected if name[0] in "36" and first in name]
    assert snapshots.keys() == {name.replace(first, "") for name in names}
    assert all(torch.equal(snapshots[name.replace(first, "")], expected[name]) for name in names)


@pytest.mark.parametrize("name", ["snapshot-000000003", "average-000000004-0.2"])
@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_only_what_was_written_is_taken(tmp_path, name, damage):
    """Also by a training that goes on, which has the hashes from a checkpoint."""
    written, _ = trained(tmp_path)
    resumed = PendingFiles(tmp_path, SETTINGS.train)
    resumed.hashes = dict(written.hashes)
    resumed.check()
    path = tmp_path / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink() if damage == "lost" else path.write_bytes(content)
    for pending in (written, resumed):
        with pytest.raises(UserError, match=rf"{name}.* is missing or damaged.*--fresh"):
            pending.merge(tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()
