"""`vct floor EXPERIMENT`: score held-out real data."""

import numpy as np

from vct.lab import records
from vct.lab.data import dataset
from vct.lab.files.layout import floor_file
from vct.lab.metrics.protocol import protocol
from vct.lab.metrics.scorer import main_of, make_metric
from vct.lab.records import FloorRecord
from vct.lab.settings.params import Params


def floor(params: Params, name: str) -> None:
    """Write `results/<experiment>/floor.json`: what held-out real data score."""
    experiment = params.experiment(name)
    data = dataset.described(params, experiment.train.dataset)
    with main_of(make_metric(params, experiment, data)) as metric:
        if metric is None:
            return
        held_out = np.asarray(data.test.x)
        known = protocol(experiment, data, metric, len(held_out))
        record = FloorRecord(
            scores=dict(metric(held_out)),
            num_samples=len(held_out),
            extractor=known.extractor,
            reference=known.reference,
            extras=known.extras,
            version=known.version,
        )
        records.write(record, floor_file(name))
