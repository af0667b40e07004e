"""`vct data NAME`: make a data set in the common format."""

from vct import registry
from vct.config import PARAMS, Params
from vct.data import dataset
from vct.errors import UserError


def run(params: Params, name: str) -> None:
    """Write `data/<name>/`."""
    if name not in params.datasets:
        raise UserError(f"{PARAMS}: {registry.unknown('data set', name, params.datasets)}")
    settings = params.datasets[name]
    source = registry.find("data source", settings.source)(settings)
    dataset.write(name, source, settings.model_dump(mode="json"))
    print(f"{name}: {len(source.train.x)} for training, {len(source.test.x)} held out")
