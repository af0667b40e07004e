"""`vct floor EXPERIMENT`: score held-out real data."""

import numpy as np

from vct.lab.commands.score import main_of, protocol_of
from vct.lab.data import dataset
from vct.lab.files.layout import floor_file
from vct.lab.files.whole import write_json
from vct.lab.metrics.scorer import make_scorer
from vct.lab.settings.params import Params


def floor(params: Params, name: str) -> None:
    """Write `results/<experiment>/floor.json`: what held-out real data score."""
    experiment = params.experiment(name)
    data = dataset.load(experiment.train.dataset)
    with main_of(make_scorer(params, experiment, data)) as scorer:
        if scorer is None:
            return
        held_out = np.asarray(data.test.x)
        protocol = protocol_of(experiment, data, scorer, len(held_out))
        kept = ("extractor", "reference", "extras", "version")
        facts = {key: protocol[key] for key in kept if key in protocol}
        content = {"scores": scorer(held_out), "num_samples": len(held_out), **facts}
        write_json(floor_file(name), content)
