"""`vct prior RUN`: fit the Gaussian that sampling may start from."""

import torch

from vct.lab import build
from vct.lab.files.layout import RunId
from vct.lab.processes.group import current_group
from vct.lab.processes.streams import say
from vct.lab.runs import provenance, weights
from vct.lab.sampling import priors
from vct.lab.settings.params import Params


def prior(params: Params, name: str) -> None:
    """Write `prior.safetensors` of a run."""
    if not current_group().main:
        return
    run = RunId.parse(name)
    settings, record = provenance.checked_run(params, run)
    sample = params.experiment(run.experiment).sample
    data = provenance.checked_data(params, run, record)
    files = provenance.checked_weights(run, sample, record)
    torch.set_num_threads(params.runtime.threads)
    device = build.device(params.runtime)
    model = weights.load(run, settings, data, device, sample.ema_width)
    if not priors.write(run, settings.train, sample, model.coupling, data, files, device):
        start = "images to restore" if model.coupling.from_data else "N(0, I)"
        say(f"{run}: the coupling has no posterior; it starts from {start}.")
