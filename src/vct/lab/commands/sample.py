"""`vct sample RUN`: draw samples from a trained run and keep them as they will be scored."""

import numpy as np
import torch

from vct.lab import build
from vct.lab.data import dataset
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import atomic
from vct.lab.processes.group import current_group
from vct.lab.report.preview import preview
from vct.lab.runs import results, weights
from vct.lab.sampling import Drawing
from vct.lab.settings.params import Params
from vct.lab.training import finished


def sample(params: Params, name: str) -> None:
    """Write `samples.npz` and `preview.png` of a run."""
    run = RunId.parse(name)
    settings, record = results.checked_record(params, run)
    train, sample = settings.train, params.experiment(run.experiment).sample
    data = dataset.load(train.dataset)
    if record["data_sha256"] != data.sha256:
        raise UserError(
            f"{run.directory} was trained on other data than data/{data.name} holds; train it "
            f"again: vct train {run}"
        )
    files = results.checked_weights(run, sample, record)
    torch.set_num_threads(params.runtime.threads)
    device = build.device(params.runtime)
    model = weights.load(run, settings, data, device, sample.ema_width)
    f = build.consistency_function(train, model.network)
    classes = data.meta.classes if train.conditional else 0
    sampler = build.sampler(sample, train.t_max)
    drawing = Drawing(f, model.coupling, sampler, data, sample, classes, device)
    arrays = drawing.all_results()
    if sample.snapshot_samples:
        arrays |= _snapshots(run, train.snapshot_steps, drawing)
    if not current_group().main:
        return
    if data.is_points:
        arrays |= drawing.pairs(train.batch_size) | {"noise": drawing.start_noise()}
    arrays["record"] = results.sample_record(sample, data.sha256, files)
    with atomic(run.directory / "samples.npz") as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)
    real = np.asarray(data.train.x[: sample.num_samples])
    preview(run.directory / "preview.png", results.scored(arrays), real)
    finished.drop(run)


def _snapshots(run: RunId, steps: list[int], drawing: Drawing) -> dict[str, np.ndarray]:
    """Samples of the averaged network along training, with the fewest steps."""
    path, network = run.directory / "snapshots.safetensors", drawing.f.network
    arrays = {}
    for step, tensors in sorted(weights.read_snapshots(path, steps).items()):
        weights.fill(network, tensors, path)
        count = drawing.sample.snapshot_samples
        arrays[f"snapshot{step}"] = drawing.first_result(count)
    return arrays
