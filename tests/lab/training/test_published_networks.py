"""ADM and EDM2 train from settings, class-conditional too."""

from dataclasses import replace

import pytest
import torch
from support import dataset, params, run_settings

from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.settings import reading
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.networks.magnitude import MPConv

ADM = {"kind": "adm", "channels": 8, "mult": [1, 2], "blocks": 1, "dropout": 0.2}
EDM2 = {"kind": "edm2", "channels": 8, "mult": [1, 2], "blocks": 1, "dropout": 0.2}
BOTH = pytest.mark.parametrize("network", [ADM, EDM2], ids=["adm", "edm2"])


@BOTH
def test_two_steps_on_the_cpu(tmp_path, network):
    settings = run_settings(
        {"kind": "variational", "kl_weight": 1.0, "encoder": network},
        network=network,
        steps=2,
        snapshots=1,
        conditional=True,
        optimizer={"kind": "adam", "learning_rate": 0.01},
    )
    data, identity = dataset((1, 8, 8)), Identity({}, "", 1)
    trainer = Trainer(settings, 3, data, RuntimeSettings(device="cpu"), tmp_path, identity)
    start = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.resume()
    result = trainer.run()
    assert result.nonfinite_steps == 0
    moved = [
        name for name, value in trainer.model.named_parameters() if (value != start[name]).any()
    ]
    assert any(name.startswith("network.dec") for name in moved)
    assert any(name.startswith("coupling.encoder.dec") for name in moved)
    layers = [layer for layer in trainer.model.modules() if isinstance(layer, MPConv)]
    assert bool(layers) == (network is EDM2)
    for layer in layers:
        # Adam moved every entry by 0.01 at most since the last student pass.
        norm = layer.weight.detach().flatten(1).square().mean(dim=1).sqrt()
        torch.testing.assert_close(norm, torch.ones_like(norm), atol=0.011, rtol=0)


@BOTH
def test_conditional_without_labels_is_refused(network):
    labelled = dataset((1, 8, 8))
    unlabelled = replace(labelled, meta=labelled.meta.model_copy(update={"classes": 0}))
    with pytest.raises(UserError, match=r"train\.conditional: data set 'points' has no labels"):
        build.model(run_settings(network=network, conditional=True), unlabelled, 0)
    build.model(run_settings(network=network), unlabelled, 0)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({**ADM, "channels": 6}, "network.channels: 6 is not allowed"),
        ({**ADM, "dropout_up_to": 8}, "network.dropout_up_to: unknown key"),
        ({**EDM2, "dropout_up_to": 0}, "network.dropout_up_to: 0 is not allowed"),
        ({**EDM2, "kind": "edm3"}, "no network 'edm3'; did you mean edm2"),
        ({"kind": "edm2", "mult": [1]}, "network.channels: this key is missing"),
    ],
)
def test_wrong_settings(network, expected):
    with pytest.raises(UserError, match=expected):
        reading.validate(params({"experiments.pictures.train.network": network}))
