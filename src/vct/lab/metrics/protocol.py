"""What a score was measured with, as protocol.json and floor.json record it."""

from vct.lab import versions
from vct.lab.data.dataset import Dataset
from vct.lab.metrics.base import Metric
from vct.lab.records import ProtocolRecord, ReferenceRecord
from vct.lab.runs.current import declared
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_options import own_options


def protocol(
    experiment: ExperimentSettings, data: Dataset, metric: Metric, scored: int
) -> ProtocolRecord:
    """Everything that a reader must know to compare a number of `scored` samples with another."""
    extras = {**own_options(experiment), **metric.protocol(scored)}
    return ProtocolRecord(
        **declared(experiment),
        extractor=metric.extractor,
        reference=ReferenceRecord(
            dataset=data.name,
            split="train",
            size=metric.compared or len(data.train.x),
            sha256=data.sha256,
        ),
        metrics=list(metric.labels),
        labels=dict(metric.labels) if experiment.score.is_own else None,
        extras=extras or None,
        version=versions.SCORING,
        sampling_version=versions.SAMPLING,
    )
