"""A training without a line on its average is scored for what it learnt, however short it is."""

import numpy as np
import pytest
import torch
from support import PARAMS, dataset

from vct.lab import build
from vct.lab.data.sources.mixture import mixture
from vct.lab.metrics.wasserstein import wasserstein2
from vct.lab.settings.run import RunSettings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.training.checkpoint import Identity
from vct.lab.training.trainer import Trainer
from vct.samplers.few_step import FewStep


def score(folder, **ema):
    """W2 between one-step samples and data after 400 steps on the mixture."""
    train = {**PARAMS["experiments"]["small"]["train"], "batch_size": 128, "steps": 400}
    train |= {"objective": {"kind": "ict", "s0": 10, "s1": 20, "p_mean": 0.0}, "snapshots": 0}
    train |= {"optimizer": {"kind": "adam", "learning_rate": 4e-3, "schedule": "cosine"}}
    train |= {"network": {"kind": "mlp", "width": 64, "depth": 4}}
    del train["ema"]
    settings = RunSettings.model_validate(
        {"train": train | ema, "coupling": {"kind": "independent"}}
    )
    data = dataset(size=4096)
    points = mixture(0.05, 4096, 256, 0)
    data.train.x[:], reference = points.train.x, points.test.x
    runtime = RuntimeSettings(device="cpu", checkpoint_every=1000)
    made = Trainer(settings, 0, data, runtime, folder, Identity({}, "", 1))
    made.resume()
    f = build.consistency_function(settings.train, made.run().model.network)
    noise = torch.randn(256, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    (samples,) = FewStep([80.0])(f, made.model.coupling, [noise])
    return wasserstein2(samples.detach().numpy(), np.asarray(reference))


def test_the_default_average_is_as_good_as_the_last_weights(tmp_path):
    """A decay of 0.9999 alone would leave 96 % of the random start in it."""
    last = score(tmp_path / "last", ema={"decay": 0.0})
    assert score(tmp_path / "default") == pytest.approx(last, abs=0.1)
    assert score(tmp_path / "published", ema={"decay": 0.9999}) > last + 0.2
