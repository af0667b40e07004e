"""`vct data NAME`: make a data set in the common format. `vct check-data NAME`: hash it again."""

from vct import registry
from vct.config import PARAMS, Params
from vct.data import dataset
from vct.errors import UserError
from vct.layout import dataset_state
from vct.training.lock import lock


def run(params: Params, name: str) -> None:
    """Write `data/<name>/`."""
    _check_name(params, name)
    settings = params.datasets[name]
    with lock(dataset_state(name)):
        source = registry.find("data source", settings.source)(settings)
        meta = dataset.write(name, source, settings.model_dump(mode="json"))
    print(f"{name}: {meta['train']} for training, {meta['test']} held out")


def check(params: Params, name: str) -> None:
    """Compare every byte of `data/<name>/` with the recorded hash.

    Raises:
        UserError: if they differ.
    """
    _check_name(params, name)
    data = dataset.load(name, thorough=True)
    print(f"{name}: the content is what was written, sha256 {data.sha256}")


def _check_name(params: Params, name: str) -> None:
    if name not in params.datasets:
        raise UserError(f"{PARAMS}: {registry.unknown('data set', name, params.datasets)}")
