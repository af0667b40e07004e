"""Networks agree with the published ones, weights loaded by name without renaming."""

import numpy as np
import pytest
import torch

from vct.networks.adm import ADM
from vct.networks.edm2 import EDM2
from vct.networks.unet import DDPMpp, NCSNpp

CASES = {
    "ddpmpp_16px": (DDPMpp, {"channels": 8, "attention": [8], "classes": 0}),
    "ncsnpp_16px_cond": (NCSNpp, {"channels": 8, "attention": [16], "classes": 4}),
    "adm_16px_cond": (ADM, {"channels": 16, "classes": 4}),
    "edm2_16px_cond": (EDM2, {"channels": 16, "classes": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_network_agrees(golden_networks, case):
    build, settings = CASES[case]
    network = build((3, 16, 16), 3, mult=[1, 2], blocks=1, **settings).eval()
    prefix = f"{case}/state/"
    state = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in golden_networks.items()
        if key.startswith(prefix)
    }
    network.load_state_dict(state, strict=True)
    labels = golden_networks.get(f"{case}/labels")
    with torch.no_grad():
        y = network(
            torch.from_numpy(golden_networks[f"{case}/x"]),
            torch.from_numpy(golden_networks[f"{case}/c_noise"]),
            None if labels is None else torch.from_numpy(labels),
        )
    np.testing.assert_allclose(y, golden_networks[f"{case}/y"], rtol=1e-4, atol=1e-4)
