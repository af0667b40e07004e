"""Networks agree with the published ones, weights loaded by name without renaming."""

import numpy as np
import pytest
import torch

from vct.networks.unet import DDPMpp, NCSNpp

CASES = {
    "ddpmpp_16px": (DDPMpp, {"attention": [8], "classes": 0}),
    "ncsnpp_16px_cond": (NCSNpp, {"attention": [16], "classes": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_network_agrees(golden_networks, case):
    build, settings = CASES[case]
    network = build((3, 16, 16), 3, channels=8, mult=[1, 2], blocks=1, **settings).eval()
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
