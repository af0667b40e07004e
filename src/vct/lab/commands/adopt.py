"""`vct adopt SUITE`: let Snakemake take over what DVC made or pulled."""

from vct.lab.settings.params import Params
from vct.lab.workflow import handshake


def adopt(params: Params, name: str) -> int:
    """Mark what DVC brought as made; see `handshake.adopt`.

    Raises:
        UserError: if there is no such suite, or DVC says that files are missing or changed.
    """
    params.suite(name)
    return handshake.adopt(params, name)
