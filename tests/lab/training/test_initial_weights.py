"""Trainings that start from given weights."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from support import UNET, dataset, params, randomise, run_settings

from vct.lab import build, cli
from vct.lab.errors import UserError
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training import initial
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

IMAGES = dataset((1, 8, 8))
FILE = "pretrained/edm-digits.safetensors"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with weights of a network like UNET, in half precision."""
    monkeypatch.chdir(tmp_path)
    Path("pretrained").mkdir()
    network = build.model(run_settings(network=UNET), IMAGES, 77).network
    save_file({name: value.half() for name, value in network.state_dict().items()}, FILE)
    return tmp_path


def trainer(coupling="independent", **train):
    settings = run_settings(coupling, **{"network": UNET, "initial_weights": FILE, **train})
    return Trainer(
        settings, 3, IMAGES, RuntimeSettings(device="cpu"), Path("s"), Identity({}, "", 1)
    )


@pytest.mark.parametrize("coupling", ["independent", "variational"])
def test_network_and_its_average_start_from_them(coupling):
    built = trainer(coupling)
    given = build.model(run_settings(network=UNET), IMAGES, 77).network.half().float()
    for module in (built.model.network, built.ema.module.network):
        for name, value in module.state_dict().items():
            torch.testing.assert_close(value, given.state_dict()[name], rtol=0, atol=0)
    random = trainer(coupling, initial_weights=None).model
    for name, value in random.coupling.state_dict().items():
        assert torch.equal(value, built.model.coupling.state_dict()[name])
    name = "enc.8x8_conv.weight"
    assert not torch.equal(random.network.state_dict()[name], given.state_dict()[name])


@pytest.mark.parametrize("kind", ["ddpmpp", "edm2"])
def test_a_network_of_one_time_starts_one_of_two(kind):
    """Which is the same function then, whatever the second time is."""
    sizes = UNET if kind == "ddpmpp" else {**UNET, "channels": 64}
    net = {**sizes, "kind": kind}
    one = build.model(run_settings(network=net), IMAGES, 77).network.eval()
    save_file(randomise(one).state_dict(), FILE)
    two = trainer(network=net, objective={"kind": "mean_flow"}).model.network.eval()
    x, c, span = torch.randn(3, *IMAGES.shape), torch.randn(3), torch.rand(3)
    torch.testing.assert_close(two(x, c, None, span), one(x, c))


def test_settings_without_them_are_what_they_were():
    without, given = run_settings(), run_settings(initial_weights=FILE)
    assert "initial_weights" not in without.model_dump(mode="json")["train"]
    assert given.model_dump(mode="json")["train"]["initial_weights"] == FILE
    assert without.sha256() != given.sha256()


def test_missing_file_names_the_public_one():
    with pytest.raises(UserError, match=r"initial_weights: .*nowhere\.pkl and run: vct import-edm"):
        trainer(initial_weights="pretrained/nowhere.safetensors")


def test_damaged_file():
    Path(FILE).write_bytes(Path(FILE).read_bytes()[:-9])
    with pytest.raises(UserError, match=r"edm-digits.safetensors is damaged"):
        trainer()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"channels": 12}, r"map_layer0.weight has shape \(32, 8\) instead of \(48, 12\), .* more"),
        ({"kind": "ncsnpp"}, r"map_noise\.freqs is missing"),
        ({"blocks": 2}, r"8x8_block1\.norm0\.weight is missing"),
        ({"attention": []}, r"dec\.4x4_block1\.norm2\.bias is one too many, .* and 9 more"),
    ],
)
def test_another_architecture_names_the_first_tensors(change, expected):
    with pytest.raises(UserError, match=f"another architecture than train.network: .*{expected}"):
        trainer(network={**UNET, **change})


def command():
    changes = {
        "experiments.pictures.train.initial_weights": FILE,
        "experiments.pictures.train.steps": 2,
        "experiments.pictures.train.snapshots": 1,
        "runtime.tracking": False,
        "runtime.device": "cpu",
        "runtime.checkpoint_every": 1,
    }
    Path("params.yaml").write_text(yaml.safe_dump(params(changes)))
    return cli.main(["train", "pictures/ot/seed3"])


def test_a_run_records_them_and_goes_on_from_no_others(monkeypatch, capsys):
    Path("params.yaml").write_text(yaml.safe_dump(params()))
    assert cli.main(["data", "images"]) == 0
    step = Trainer._step

    def stop(self, number):
        if number == 1:
            raise KeyboardInterrupt
        step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        assert command() == 130
    original = Path(FILE).read_bytes()
    changed = bytearray(original)
    changed[-1] ^= 1
    Path(FILE).write_bytes(bytes(changed))
    capsys.readouterr()
    assert command() == 2
    assert "initial_weights_sha256" in capsys.readouterr().err
    Path(FILE).write_bytes(original)
    assert command() == 0
    record = json.loads(Path("results/pictures/ot/seed3/config.json").read_text())
    assert len(record["initial_weights_sha256"]) == 64
    assert record["settings"]["train"]["initial_weights"] == FILE
    assert "initial_weights_license" not in record  # nothing beside the file says so


DESCRIPTION = {
    **{"source": "edm-digits.pkl", "sha256": "0" * 64, "network": UNET, "shape": [1, 8, 8]},
    **{"classes": 0, "sigma_data": 0.5, "parameters": 1, "dtypes": [], "left_out": []},
}


@pytest.mark.parametrize("given", [{}, {"license": "MIT"}])
def test_a_run_has_the_licence_of_what_it_goes_back_to(given, capsys):
    """Through a run of ours too; `show` says it."""
    expected = given.get("license", "CC BY-NC-SA 4.0")
    Path(FILE).with_suffix(".json").write_text(json.dumps({**DESCRIPTION, **given}))
    Path("params.yaml").write_text(yaml.safe_dump(params()))
    assert cli.main(["data", "images"]) == 0
    assert command() == 0
    folder = Path("results/pictures/ot/seed3")
    assert json.loads((folder / "config.json").read_text())["initial_weights_license"] == expected
    capsys.readouterr()
    cli.main(["show", "pictures/ot/seed3"])
    assert f"licence of the initial weights, and so of these: {expected}" in capsys.readouterr().out
    for start in (FILE, f"{folder}/model.safetensors"):
        train = run_settings(network=UNET, initial_weights=start).train
        assert initial.license_of(train) == expected
    assert initial.license_of(run_settings().train) is None
    assert initial.license_of(run_settings(initial_weights="nowhere.safetensors").train) is None


def test_what_other_initial_weights_made_is_not_put_back(capsys):
    """A finished training of the same settings; the same file does put it back."""
    Path("params.yaml").write_text(yaml.safe_dump(params()))
    assert cli.main(["data", "images"]) == 0
    record, weights = (
        Path("results/pictures/ot/seed3") / name for name in ("config.json", "model.safetensors")
    )

    def trained():
        capsys.readouterr()
        assert command() == 0
        return json.loads(record.read_text())["initial_weights_sha256"], weights.read_bytes()

    first = trained()
    assert trained() == first
    assert "put back" in capsys.readouterr().err
    other = build.model(run_settings(network=UNET), IMAGES, 78).network
    save_file({name: value.half() for name, value in other.state_dict().items()}, FILE)
    second = trained()
    assert "put back" not in capsys.readouterr().err
    assert first[0] != second[0] and first[1] != second[1]
