"""`vct statistics DATASET/EXTRACTOR/WHAT`: what scores must know of training images."""

from vct.lab.data import dataset
from vct.lab.files.layout import StatisticsId
from vct.lab.metrics.scorer import load_features, main_of
from vct.lab.metrics.statistics import write
from vct.lab.settings.params import Params


def statistics(params: Params, name: str) -> None:
    """Write `results/statistics/<dataset>/<extractor>/<what>.safetensors`."""
    place = StatisticsId.parse(name)
    features, extractor = load_features(params, place.extractor)
    data = dataset.described(params, place.dataset)
    with main_of(features) as mine:
        if mine is not None:
            write(place, data, mine, extractor)
