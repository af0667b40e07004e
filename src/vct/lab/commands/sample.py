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
from vct.lab.sampling.drawing import Drawing, bounds
from vct.lab.settings.params import Params
from vct.lab.training import outputs


def sample(params: Params, name: str) -> None:
    """Write `samples.npz` and `preview.png` of a run."""
    run = RunId.parse(name)
    settings, record = provenance.checked_run(params, run)
    experiment = params.experiment(run.experiment)
    train, sample = settings.train, experiment.sample
    data = provenance.checked_data(run, record)
    files = provenance.checked_weights(run, sample, record)
    torch.set_num_threads(params.runtime.threads)
    device = build.device(params.runtime)
    model = weights.load(run, settings, data, device, sample.ema_width)
    f = build.consistency_function(train, model.network)
    classes = data.meta.classes if train.conditional else 0
    ends = bounds(data, device)
    sampler = build.sampler(sample, train.t_max, ends)
    late = {"late": build.sampler(sample, sample.late_start, ends)} if sample.late_start else {}
    starts = priors.starts(run, train, sample, model.coupling, data, files, device)
    drawing = Drawing(
        f, model.coupling, sampler, data, sample, experiment.pool, starts, classes, device, late
    )
    arrays = drawing.all_results()
    if sample.snapshot_samples:
        arrays |= _snapshots(run, drawing)
    if not current_group().main:
        return
    if starts.keys() & {"fitted", "late"}:
        files |= hashes(run.directory, [PRIOR_FILE])
    if data.is_points:
        arrays |= drawing.pairs(train.batch_size) | {"noise": drawing.start_noise()}
    samples.write(run, arrays, provenance.sample_record(sample, record, files, list(starts)))
    real = np.asarray(data.train.x[: sample.num_samples])
    preview(run.directory / "preview.png", samples.scored(arrays), real)
    outputs.forget(run)


def _snapshots(run: RunId, drawing: Drawing) -> dict[str, np.ndarray]:
    """Samples of the averaged network along training, with the fewest steps."""
    path, network = run.directory / "snapshots.safetensors", drawing.f.network
    arrays = {}
    for step, tensors in sorted(weights.read_snapshots(path).items()):
        weights.fill(network, tensors, path)
        arrays[f"snapshot{step}"] = drawing.first_result(drawing.sample.snapshot_samples)
    return arrays
