"""`vct check-data NAME`: hash a data set again."""

from vct.lab.data import dataset
from vct.lab.settings.params import Params


def check_data(params: Params, name: str) -> None:
    """Compare every byte of `data/<name>/` with the recorded hash.

    Raises:
        UserError: if they differ.
    """
    params.dataset(name)
    data = dataset.load(name, thorough=True)
    print(f"{name}: the content is what was written, sha256 {data.sha256}")
