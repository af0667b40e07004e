"""`vct data NAME`: make a data set in the common format."""

from vct.lab import build
from vct.lab.data import dataset
from vct.lab.files.layout import dataset_state
from vct.lab.files.locks import lock
from vct.lab.settings.params import Params


def data(params: Params, name: str) -> None:
    """Write `data/<name>/`."""
    settings = params.dataset(name)
    with lock(dataset_state(name)):
        source = build.instantiate(settings)
        meta = dataset.write(name, source, settings.model_dump(mode="json"))
    print(f"{name}: {meta.train} for training, {meta.test} held out")
