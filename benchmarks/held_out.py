"""Whether a coupling's lead is memory: samples against training and against held-out images."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vct.diagnostics.memorisation import memorisation
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.metrics import statistics
from vct.lab.metrics.frechet import Frechet
from vct.lab.metrics.scorer import load_features
from vct.lab.runs import samples
from vct.lab.settings import reading

KEY = "steps1"


def main(experiment: str) -> None:
    """Print, for each coupling, the mean over the seeds whose samples are here of: the Fréchet
    distance to training and to held-out images; the share of samples whose nearest image, in
    pixels, is a training one of as many; and in how many seeds that share is more than chance."""
    params = reading.load()
    settings = params.experiment(experiment)
    data = dataset.load(settings.train.dataset)
    if settings.score.extractor is None:
        raise UserError(f"{experiment} has no feature extractor; name an experiment on images.")
    features, _ = load_features(params, settings.score.extractor)
    train, held_out = (np.array(part.x) for part in (data.train, data.test))
    to_train, to_held = (
        Frechet(kind, "", features, partial(statistics.compute, reference=kind, features=features))
        for kind in (train, held_out)
    )
    print(f"held-out images: {to_train.rank(held_out):.2f}")
    for coupling in settings.variants:
        rows = []
        for seed in settings.seeds:
            run = RunId(experiment, coupling, seed)
            if not Path(run.directory / "samples.npz").exists():
                continue
            x = samples.read(run)[0][KEY]
            near = memorisation(x, train, held_out, np.random.default_rng(seed))
            rows.append([to_train.rank(x), to_held.rank(x), near.share, near.p_value])
        if rows:
            seen, unseen, share, p_value = np.array(rows).T
            gap = unseen - seen
            print(
                f"{coupling:15} {len(rows):2} seeds  training {seen.mean():.2f}, held out "
                f"{unseen.mean():.2f} (gap {gap.mean():+.2f} ± {gap.std():.2f})  share "
                f"{share.mean():.3f}, more than chance in {(p_value < 0.05).sum()}"
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
