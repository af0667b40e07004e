"""Networks in other arithmetic are the same networks, to its rounding."""

import shutil

import pytest
import torch
from support import COUPLINGS, UNET, dataset, run_settings

from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

NETWORK = {**UNET, "mult": [1], "dropout": 0.3}


def gradients(state, network=NETWORK, **train):
    """Loss and gradients of a step with dropout, of network and encoder."""
    coupling = {**COUPLINGS["variational"], "encoder": network}
    settings = run_settings(coupling, network=network, batch_size=4, **train)
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    made = Trainer(settings, 0, dataset((1, 4, 4)), RuntimeSettings(device="cpu"), state, identity)
    for parameter in made.parameters:  # some begin at zero, and hide what is before them
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    loss, _ = made.loss.backward(0, made.batches.at(0))
    assert all(parameter.dtype == torch.float32 for parameter in made.parameters)
    found = [parameter.grad.flatten() for parameter in made.parameters]
    return made, loss.total, torch.cat(found)


def test_bfloat16_is_the_same_loss_to_its_rounding(tmp_path):
    _, exact, expected = gradients(tmp_path)
    _, rounded, found = gradients(tmp_path, precision="bfloat16")
    assert 0 < abs(rounded - exact) < 0.05 * exact
    assert 0 < (found - expected).norm() < 0.1 * expected.norm()


def test_averaged_network_has_its_own_weights_in_bfloat16(tmp_path):
    made, _, _ = gradients(tmp_path, precision="bfloat16")
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.zero_()
    x, time = torch.randn(2, 1, 4, 4), torch.zeros(2)
    assert made.model.network(x, time, None).abs().max() == 0
    made.ema.module.network.eval()
    inside = next(iter(made.ema.module.network.parameters()))
    assert inside.abs().max() > 0
    for parameter in made.ema.module.network.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    assert made.ema.module.network(x, time, None).abs().max() > 0


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_training_has_the_same_dropout_and_gradients(tmp_path):
    small = {"kind": "mlp", "width": 8, "depth": 1, "dropout": 0.3}
    plain, exact, expected = gradients(tmp_path, small)
    made, loss, found = gradients(tmp_path, small, compile=True)
    assert abs(loss - exact) < 1e-5 * exact
    assert (found - expected).norm() < 1e-5 * expected.norm()
    assert set(made.model.state_dict()) == set(plain.model.state_dict())
