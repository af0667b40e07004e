"""`vct diagnose RUN`: measure what its coupling does and what its model learnt."""

import torch

from vct.lab import diagnosis
from vct.lab.files.layout import RunId
from vct.lab.settings.params import Params


def diagnose(params: Params, name: str) -> None:
    """Write `diagnostics.json` of a run."""
    run = RunId.parse(name)
    torch.set_num_threads(params.runtime.threads)
    diagnosis.write(params, run)
