"""The calls of the Hugging Face Hub, offline."""

import pytest
import torch
from reused import POINTS

import vct
from vct.lab.errors import UserError
from vct.lab.reuse import export

hub = pytest.importorskip("vct.lab.reuse.hub")


def test_from_pretrained_and_back_are_the_same_model(here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "m")
    model = hub.HubModel.from_pretrained(str(tmp_path / "m"))
    expected = vct.load(POINTS).sample(5, steps=2, prior="fitted")
    assert torch.equal(model.sample(5, steps=2, prior="fitted"), expected)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/notes.txt").write_text("mine")
    for _ in range(2):
        model.save_pretrained(tmp_path / "new")
    again = hub.HubModel.from_pretrained(tmp_path / "new")
    assert torch.equal(again.sample(5, steps=2, prior="fitted"), expected)
    assert torch.equal(vct.load(tmp_path / "new").sample(5), model.sample(5))
    assert (tmp_path / "new/notes.txt").read_text() == "mine"
    card = (tmp_path / "new/README.md").read_text()
    assert card == (tmp_path / "m/README.md").read_text()


def test_weights_that_were_changed_are_not_saved_as_those_that_were_scored(here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "m")
    model = hub.HubModel.from_pretrained(str(tmp_path / "m"))
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    with pytest.raises(UserError, match="not those that it was loaded with"):
        model.save_pretrained(tmp_path / "tuned")
    assert not list((tmp_path / "tuned").iterdir())


def test_a_name_that_is_no_folder_is_asked_of_the_hub(monkeypatch, here, tmp_path):
    export.write(f"results/{POINTS}", tmp_path / "m")
    asked = []

    def download(name, **options):
        asked.append((name, options["local_files_only"]))
        return str(tmp_path / "m")

    monkeypatch.setattr(hub, "snapshot_download", download)
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download", lambda **o: tmp_path / "m/config.json"
    )
    model = hub.HubModel.from_pretrained("owner/name", local_files_only=True)
    assert asked == [("owner/name", True)]
    assert model.shape == (2, 1, 1)
