"""`vct sample RUN`: draw samples from a trained run and keep them as they will be scored."""

import numpy as np
import torch

from vct.lab import build
from vct.lab.files.layout import PRIOR_FILE, RunId
from vct.lab.files.whole import hashes
from vct.lab.processes.group import current_group
from vct.lab.report.preview import preview
from vct.lab.runs import provenance, samples, weights
from vct.lab.sampling import priors
from vct.lab.sampling.classes import tell_unequal
from vct.lab.sampling.drawing import Drawing, along_training, bounds
from vct.lab.sampling.pairing import first_pairs
from vct.lab.settings.params import Params
from vct.lab.training import outputs, preparation


def sample(params: Params, name: str) -> None:
    """Write `samples.npz` and `preview.png` of a run."""
    run = RunId.parse(name)
    settings, record = provenance.checked_run(params, run)
    experiment = params.experiment(run.experiment)
    train, sample = settings.train, experiment.sample
    data = provenance.checked_data(params, run, record)
    files = provenance.checked_weights(run, sample, record)
    torch.set_num_threads(params.runtime.threads)
    device = build.device(params.runtime)
    model = weights.load(run, settings, data, device, sample.ema_width)
    f = build.consistency_function(train, model.network)
    classes = data.meta.classes if train.conditional else 0
    if classes and current_group().main:
        tell_unequal(data, sample.classes)
    build.check_sampling(train, sample, data.shape)
    ends = bounds(data, device)
    sampler = build.sampler(sample, train.t_max, ends)
    late = {"late": build.sampler(sample, sample.late_start, ends)} if sample.late_start else {}
    starts = priors.starts(run, train, sample, model.coupling, data, files, device)
    drawing = Drawing(
        f, model.coupling, sampler, data, sample, experiment.pool, starts, classes, device, late
    )
    arrays = drawing.all_results()
    if sample.snapshot_samples:
        arrays |= along_training(run, drawing)
    if not current_group().main:
        return
    if starts.keys() & {"fitted", "late"}:
        files |= hashes(run.directory, [PRIOR_FILE])
    if data.is_points:
        prepared = preparation.checked(run, settings, data, record)
        arrays |= first_pairs(drawing, train, prepared.tensors if prepared else None)
        arrays["noise"] = drawing.start_noise()
    samples.write(run, arrays, provenance.sample_record(sample, record, files, list(starts)))
    real = np.asarray(data.train.x[: sample.num_samples])
    preview(run.directory / "preview.png", samples.scored(arrays), real)
    outputs.forget(run)
