"""The data set of a run, as MLflow's column Dataset takes it."""

import json
from typing import Any

from vct.lab.files.layout import dataset_dir
from vct.lab.records import DatasetRecord, RunRecord
from vct.lab.tracking.store import load

DIGEST = 36
"""MLflow keeps so many characters of a digest; the whole one is in the source."""


def used(config: RunRecord, meta: DatasetRecord | None) -> Any:
    """An MLflow `DatasetInput`: name, digest, place, and sizes where they are known.

    Args:
        meta: of the data set that lies here now; another one is left out.
    """
    entities = load().entities
    profile = {}
    if meta and meta.sha256 == config.data_sha256:
        profile = meta.model_dump(include={"train", "test", "shape", "dtype", "classes"})
    source = {"path": dataset_dir(config.dataset).as_posix(), "sha256": config.data_sha256}
    found = entities.Dataset(
        name=config.dataset,
        digest=config.data_sha256[:DIGEST],
        source_type="local",
        source=json.dumps(source),
        profile=json.dumps(profile) if profile else None,
    )
    return entities.DatasetInput(found, [entities.InputTag("mlflow.data.context", "training")])
