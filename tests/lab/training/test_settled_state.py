"""State that a coupling settles on: resumed to the bit, and the same however a batch is divided."""

import pytest
import torch
from gloo import together
from support import COUPLINGS, UNET, dataset, run_settings

from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer

MOMENTS = {**COUPLINGS["variational"], "prior": "moments"}
GC = {"kind": "generator_augmented", "base": MOMENTS, "noise": "recouple"}
DATA = {"points": (2, 1, 1), "images": (1, 8, 8)}
IMAGES = {"network": UNET, "flip": True, "conditional": True, "objective": {"kind": "ecm"}}


class Killed(Exception):
    """Stands for SIGKILL: nothing runs any more after it."""


def trainer(state, coupling, data="points", **runtime):
    train = IMAGES if data == "images" else {}
    settings = run_settings(
        coupling, **{"batch_size": 16, "steps": 12, "snapshots": 0, "log_every": 3, **train}
    )
    identity = Identity(settings.model_dump(mode="json"), "0", 1)
    runtime = RuntimeSettings(**{"device": "cpu", "checkpoint_every": 5, **runtime})
    made = Trainer(settings, 3, dataset(DATA[data]), runtime, state, identity)
    made.resume()
    return made


def finished(state, coupling, data="points", **runtime):
    """Weights and moments, trained and averaged, at the end."""
    made = trainer(state, coupling, data, **runtime)
    made.run()
    state = {"model": made.model, "ema": made.ema.module}
    return {f"{at}.{k}": v for at, each in state.items() for k, v in each.state_dict().items()}


@pytest.mark.parametrize("coupling", [MOMENTS, GC], ids=["variational", "gc"])
def test_killed_and_resumed_is_the_same_training(tmp_path, coupling):
    expected = finished(tmp_path / "a", coupling)
    killed = trainer(tmp_path / "b", coupling)
    original = killed._step

    def step(number):
        if number == 8:
            raise Killed
        original(number)

    killed._step = step
    with pytest.raises(Killed):
        killed.run()
    found = finished(tmp_path / "b", coupling)
    moments = [name for name in expected if name.endswith("moments.covariance")]
    assert len(moments) == 2 and not torch.equal(expected[moments[0]], torch.eye(2))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("data", DATA)
def test_devices_and_micro_batches_settle_on_the_same(tmp_path, data):
    expected = finished(tmp_path / "one", GC, data)
    divided = finished(tmp_path / "parts", GC, data, micro_batch=3)
    first, second = together(tmp_path / "group", 2, finished, tmp_path / "g", GC, data)
    for name, tensor in expected.items():
        assert torch.equal(first[name], second[name])
        if "moments" in name:
            for found in (divided, first):
                torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)
