"""Honest files: the network that comes out computes what the published one did."""

import hashlib
import json

import edm_files
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import load_file
from support import dataset, run_settings

from vct.lab import build, cli, records
from vct.lab.files.layout import pretrained_files
from vct.lab.records import PretrainedRecord
from vct.lab.settings.networks import Network
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

CASES = ["ddpmpp_16px", "ncsnpp_16px_cond", "adm_16px_cond", "edm2_16px_cond"]


def imported(content, protocol=4):
    """Import a file of this content; the network of the description, and the description."""
    with open("edm-16px-0.075.pkl", "wb") as file:
        file.write(edm_files.dumps(content, protocol))
    assert cli.main(["import-edm", "edm-16px-0.075.pkl"]) == 0
    weights, description = pretrained_files("edm-16px-0.075")
    record = json.loads(description.read_text())
    settings = TypeAdapter(Network).validate_python(record["network"])
    shape = tuple(record["shape"])
    network = build.instantiate(
        settings, shape=shape, outputs=shape[0], classes=record["classes"]
    ).eval()
    network.load_state_dict(load_file(weights), strict=True)
    return network, record


def output(network, golden_networks, case):
    labels = golden_networks.get(f"{case}/labels")
    with torch.no_grad():
        return network(
            torch.from_numpy(golden_networks[f"{case}/x"]),
            torch.from_numpy(golden_networks[f"{case}/c_noise"]),
            None if labels is None else torch.from_numpy(labels),
        ).numpy()


@pytest.mark.parametrize("case", CASES)
def test_imported_network_reproduces_the_golden_output(here, published, golden_networks, case):
    network, record = imported(published(case))
    y = output(network, golden_networks, case)
    np.testing.assert_allclose(y, golden_networks[f"{case}/y"], rtol=1e-4, atol=1e-4)
    assert record["network"]["kind"] == case.split("_")[0]
    assert record["network"]["mult"] == [1, 2]
    assert record["network"]["blocks"] == 1
    assert record["shape"] == [3, 16, 16]
    assert record["classes"] == (4 if case.endswith("cond") else 0)
    assert record["sigma_data"] == 0.5
    assert record["dtypes"] == ["float32"]


def test_description(here, published, capsys):
    _, record = imported(published("ddpmpp_16px"))
    content = (here / "edm-16px-0.075.pkl").read_bytes()
    assert record["source"] == "edm-16px-0.075.pkl"
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["network"] == {
        "kind": "ddpmpp",
        "channels": 8,
        "mult": [1, 2],
        "blocks": 1,
        "attention": [8],
        "dropout": 0.13,
    }
    weights, _ = pretrained_files("edm-16px-0.075")
    with safe_open(weights, "pt") as file:
        assert json.loads(file.metadata()["vct"]) == record
    said = capsys.readouterr().out
    assert f"{weights}: ddpmpp" in said
    assert record["license"] == "CC BY-NC-SA 4.0"
    assert "licence: CC BY-NC-SA 4.0" in said and "not for commercial use" in said
    assert sorted(path.name for path in here.rglob("*") if path.is_file()) == [
        "edm-16px-0.075.json",
        "edm-16px-0.075.pkl",
        "edm-16px-0.075.safetensors",
    ]


def test_a_description_of_before_licences_were_kept_is_read(here, published):
    imported(published("ddpmpp_16px"))
    _, path = pretrained_files("edm-16px-0.075")
    old = json.loads(path.read_text())
    del old["license"]
    path.write_text(json.dumps(old))
    assert records.read(PretrainedRecord, path).license == "CC BY-NC-SA 4.0"


def test_the_source_code_in_the_file_is_not_run(here, published):
    content = edm_files.dumps(published("ddpmpp_16px"))
    assert edm_files.SOURCE.encode() in content
    imported(published("ddpmpp_16px"))
    assert not (here / "marker").exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_half_precision_is_kept(here, published, golden_networks, protocol):
    case = "edm2_16px_cond"
    network, record = imported(published(case, half=True), protocol)
    assert record["dtypes"] == ["float16"]
    weights, _ = pretrained_files("edm-16px-0.075")
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}
    y, expected = output(network, golden_networks, case), golden_networks[f"{case}/y"]
    assert 0 < np.abs(y - expected).max() < 0.02


@pytest.mark.parametrize(
    ("class_name", "settings", "shape", "classes"),
    [
        ("SongUNet", {"kind": "ddpmpp", "mult": [2, 2, 2], "attention": [4]}, (1, 8, 8), 0),
        ("SongUNet", {"kind": "ncsnpp", "mult": [1, 2], "attention": []}, (3, 8, 8), 3),
        ("DhariwalUNet", {"kind": "adm", "mult": [4, 8, 16], "attention": [4, 2]}, (3, 8, 8), 3),
        ("UNet", {"kind": "edm2", "mult": [1, 8, 9], "attention": [4]}, (3, 8, 8), 0),
        ("UNet", {"kind": "edm2", "channels": 64, "mult": [1], "attention": [28]}, (1, 28, 28), 10),
    ],
)
def test_settings_are_found_again(here, class_name, settings, shape, classes):
    dropout = edm_files.BLOCKS[class_name]["dropout"]
    settings = {"channels": 8, **settings, "blocks": 2, "dropout": dropout}
    made = build.instantiate(
        TypeAdapter(Network).validate_python(settings),
        shape=shape,
        outputs=shape[0],
        classes=classes,
    )
    inner = edm_files.network(class_name, made.state_dict())
    _, record = imported(edm_files.checkpoint(inner, edm2=class_name == "UNet"))
    assert record["network"] == settings
    assert (tuple(record["shape"]), record["classes"]) == (shape, classes)
    assert record["parameters"] == sum(value.numel() for value in made.parameters())


def test_the_older_spelling_of_numpy(here, published):
    def text(name):
        return b"\x8c" + bytes([len(name)]) + name

    content = edm_files.dumps(published("ddpmpp_16px"))
    new, old = text(b"numpy._core.multiarray"), text(b"numpy.core.multiarray")
    assert new in content
    (here / "old.pkl").write_bytes(content.replace(new, old))
    assert cli.main(["import-edm", "old.pkl"]) == 0


def test_what_only_augmentation_uses_is_left_out(here, published):
    extra = {"map_augment.weight": torch.ones(8, 9)}
    network, record = imported(published("ddpmpp_16px", extra=extra))
    assert record["left_out"] == ["map_augment.weight"]
    assert not [name for name in network.state_dict() if "augment" in name]


def test_tensors_that_are_views_come_out_whole(here, published):
    """A transposed tensor, and two that share a storage."""
    content = published("ddpmpp_16px")
    layer = content["ema"].meta["state"]["_modules"]["model"].meta["state"]["_modules"]
    parameters = layer["map_layer1"].meta["state"]["_parameters"]
    both = torch.arange(32 * 33, dtype=torch.float32)
    parameters["weight"] = both[: 32 * 32].reshape(32, 32).T
    parameters["bias"] = both[32 * 32 :]
    network, _ = imported(content)
    torch.testing.assert_close(network.map_layer1.weight[1, 2].item(), 2.0 * 32 + 1)
    torch.testing.assert_close(network.map_layer1.bias[0].item(), 32.0 * 32)


@pytest.mark.parametrize(
    ("case", "settings", "expected"),
    [
        ("ddpmpp_16px", {"skip_scale": 1}, "skip_scale 1 in enc.16x16_"),
        ("adm_16px_cond", {"adaptive_scale": False}, "adaptive_scale False in enc.16x16_"),
        ("edm2_16px_cond", {"res_balance": 0.5}, "res_balance 0.5 in enc.16x16_"),
        ("edm2_16px_cond", {"clip_act": None}, "clip_act None in enc.16x16_"),
        ("ddpmpp_16px", {"dropout": 1.5}, "impossible setting, dropout 1.5"),
        ("ddpmpp_16px", {"dropout": "much"}, "holds no network"),
    ],
)
def test_another_function_is_refused(refused, published, case, settings, expected):
    assert expected in refused(edm_files.dumps(published(case, **settings)))


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"enc.16x16_conv.weight": torch.ones(8, 3, 5, 5)}, "enc.16x16_conv.weight has shape"),
        ({"enc.16x16_block0.norm9.weight": torch.ones(8)}, "norm9.weight is one too many"),
        ({"map_label.weight": torch.ones(8, 4)}, "map_label.bias is missing"),
        ({"map_layer0.weight": torch.ones(32, 4), "out.a": torch.ones(2)}, "out.a is one too many"),
        ({f"x.{name}": torch.ones(1) for name in "abcde"}, "x.c is one too many and 2 more"),
        ({"map_layer0.weight": torch.ones(24, 8)}, "an impossible setting, channels 6"),
        ({"x.\x1b[31m\n": torch.ones(1)}, "x.?[31m is one too many"),
        ({"freqs": torch.ones(8, dtype=torch.int64)}, "holds no numbers in freqs"),
    ],
)
def test_other_tensors_are_refused_by_name(refused, published, extra, expected):
    assert expected in refused(edm_files.dumps(published("ddpmpp_16px", extra=extra)))


def with_sigma_data(content, value):
    content["ema"].meta["state"]["sigma_data"] = value
    return content


def looped(content):
    modules = content["ema"].meta["state"]["_modules"]["model"].meta["state"]["_modules"]
    layer = modules["map_layer0"].meta["state"]["_modules"]
    layer["again"] = modules["map_layer1"]
    return content


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: {"net": content["ema"]}, "no entry 'ema'"),
        (lambda content: [content], "no entry 'ema'"),
        (lambda content: {"ema": content["dataset_kwargs"]}, "no entry 'ema'"),
        (
            lambda content: {"ema": edm_files.Persistent("VPPrecond", {})},
            "no entry 'ema' with an EDMPrecond or a Precond",
        ),
        (lambda content: {"ema": edm_files.Persistent("EDMPrecond", {})}, "holds no network"),
        (
            lambda content: edm_files.checkpoint(edm_files.network("Transformer", {})),
            "holds a Transformer, but SongUNet, DhariwalUNet and UNet are known",
        ),
        (lambda content: edm_files.checkpoint(edm_files.network("SongUNet", {})), "no network"),
        (lambda content: edm_files.Persistent("X", {}, version=7), "no class of version 6"),
        (lambda content: edm_files.Persistent("X", {}, type="function"), "no class of version 6"),
        (looped, "modules that are no tree"),
        (lambda content: with_sigma_data(content, float("nan")), "has sigma_data nan"),
        (lambda content: with_sigma_data(content, 0), "has sigma_data 0"),
    ],
)
def test_something_else_is_refused(refused, published, change, expected):
    assert expected in refused(edm_files.dumps(change(published("ddpmpp_16px"))))


def test_no_file(here, capsys):
    assert cli.main(["import-edm", "nowhere.pkl"]) == 2
    err = capsys.readouterr().err
    assert "nowhere.pkl is missing: download the checkpoint that NVIDIA published" in err
    assert "cifar10-edm" in err and err.count("\n") == 1
    assert cli.main(["import-edm", "."]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_earlier_import_survives_a_failing_one(here, published, capsys):
    imported(published("ddpmpp_16px"))
    weights, description = pretrained_files("edm-16px-0.075")
    before = weights.read_bytes(), description.read_bytes()
    file = here / "edm-16px-0.075.pkl"
    file.write_bytes(file.read_bytes()[:-100])
    assert cli.main(["import-edm", file.name]) == 2
    assert (weights.read_bytes(), description.read_bytes()) == before


def test_a_training_starts_from_the_imported_network(here, published, golden_networks):
    """ECM's way: golden DDPM++, published, imported, and found again in a trainer."""
    case = "ddpmpp_16px"
    _, record = imported(published(case))
    weights, _ = pretrained_files("edm-16px-0.075")
    settings = run_settings(
        network=record["network"], initial_weights=str(weights), objective={"kind": "ecm"}
    )
    runtime, identity = RuntimeSettings(device="cpu"), Identity({}, "", 1)
    trainer = Trainer(settings, 0, dataset((3, 16, 16)), runtime, here / "state", identity)
    y = output(trainer.model.network.eval(), golden_networks, case)
    np.testing.assert_allclose(y, golden_networks[f"{case}/y"], rtol=1e-4, atol=1e-4)
