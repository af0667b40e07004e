"""The metric of an experiment, ready to score."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vct.lab.data.dataset import Dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import StatisticsId, extractor_dir
from vct.lab.files.whole import file_sha256
from vct.lab.metrics.base import Label, Metric
from vct.lab.processes.launch import is_helper
from vct.lab.records import ExtractorRecord
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.own_options import of_extractor
from vct.lab.settings.params import Params

if TYPE_CHECKING:  # Scores of points do without torch, whose import takes longer than they do.
    from vct.lab.metrics.features import Features

NUMBER = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""What a number may be called: it becomes a column and a heading."""


def make_metric(params: Params, experiment: ExperimentSettings, data: Dataset) -> Metric:
    """The metric that the settings of an experiment ask for.

    Raises:
        UserError: if it does not fit the data, or if a user's class is no metric.
    """
    from vct.lab.build import instantiate

    score, extractor = experiment.score, None
    offered: dict[str, Any] = {
        "reference": data.train.x,
        "modes": data.meta.modes,
        "chosen": data.chosen,
        "form": "points" if data.is_points else "images",
    }
    if score.extractor is not None:
        from vct.lab.metrics.statistics import read

        features, extractor = load_features(params, score.extractor)
        offered |= {
            "features": features,
            "statistics": lambda what: read(
                StatisticsId(data.name, score.extractor, what), data, extractor
            ),
        }
    metric: Metric = instantiate(score, **offered)
    metric.extractor = extractor
    if not _is_labelled(metric):
        raise UserError(
            f"the metric '{score.member}' must have labels: a vct.lab.metrics.base.Label for each "
            "number, by a name of letters, digits, '_' and '-' alone; correct them."
        )
    return metric


def _is_labelled(metric: Metric) -> bool:
    labels = getattr(metric, "labels", None)
    return (
        isinstance(labels, dict)
        and bool(labels)
        and all(
            isinstance(label, Label) and NUMBER.fullmatch(name) for name, label in labels.items()
        )
    )


def load_features(params: Params, name: str) -> "tuple[Features, ExtractorRecord]":
    """The features of the extractor called `name`, and what a protocol says of it.

    Raises:
        UserError: if its weights are missing or damaged, or it needs a GPU that is not there.
    """
    import torch

    from vct.lab import build
    from vct.lab.metrics.extractors.base import Extractor
    from vct.lab.metrics.features import Features

    torch.set_num_threads(params.runtime.threads)
    settings, weights = params.extractor(name), extractor_dir(name) / "weights.safetensors"
    extractor = build.instantiate(settings).load(weights)
    if not isinstance(extractor, Extractor):
        raise UserError(
            f"the extractor '{settings.member}' must load a vct.lab.metrics.extractors.base."
            "Extractor; correct its method load."
        )
    source, source_sha256 = extractor.source or (None, None)
    record = ExtractorRecord(
        name=name,
        kind=settings.member,
        sha256=file_sha256(weights),
        features=extractor.features,
        source=source,
        source_sha256=source_sha256,
        options=of_extractor(settings),
        own_code=own_code(settings).get("own_code"),
    )
    device = torch.device("cpu") if extractor.on_cpu else build.device(params.runtime)
    return Features(extractor, device), record


class Shared(Protocol):
    """Work that the main process does with the help of others."""

    def serve(self) -> None:
        """Help until `release` is called in the main process."""

    def release(self) -> None:
        """Let the helpers go."""


S = TypeVar("S", bound=Shared)


@contextmanager
def main_of(work: S) -> Iterator[S | None]:
    """The work, in the one process that writes; elsewhere None, after helping it.

    On an error nobody is released: the others may stand in the middle of a share, and they end when
    they find the main process gone.
    """
    if is_helper():
        work.serve()
        yield None
    else:
        yield work
        work.release()
