"""Measurements of a trained run, with the estimators of `vct.diagnostics`."""

import math
from collections.abc import Callable
from dataclasses import replace

from vct import rng
from vct.couplings.preparation import accept
from vct.lab import build, records, versions
from vct.lab.data.dataset import Dataset
from vct.lab.diagnosis.coupling import coupling
from vct.lab.diagnosis.findings import Findings
from vct.lab.diagnosis.gradients import gradients
from vct.lab.diagnosis.network import network
from vct.lab.diagnosis.scores import scores
from vct.lab.diagnosis.subject import Subject
from vct.lab.errors import UserError
from vct.lab.files.layout import DIAGNOSTICS_FILE, RunId
from vct.lab.files.whole import hashes
from vct.lab.metrics.scorer import make_metric
from vct.lab.model import Model
from vct.lab.processes.progress import Progress
from vct.lab.records import DiagnosticsRecord
from vct.lab.runs import provenance, samples, weights
from vct.lab.sampling import priors
from vct.lab.sampling.drawing import Drawing, bounds
from vct.lab.settings.diagnostics import DiagnosticsSettings
from vct.lab.settings.own_options import own_options
from vct.lab.settings.params import Params
from vct.lab.training import preparation


def write(params: Params, run: RunId) -> None:
    """Write `diagnostics.json` of a run, which has samples.

    Raises:
        UserError: if the experiment asks for none, or files of the run do not belong together.
    """
    experiment, device = params.experiment(run.experiment), build.device(params.runtime)
    settings, sample = experiment.diagnostics, experiment.sample
    if settings is None:
        raise UserError(
            f"experiments.{run.experiment} asks for no diagnostics; add the section diagnostics."
        )
    trained, record = provenance.checked_run(params, run)
    data = provenance.checked_data(params, run, record)
    prepared = preparation.checked(run, trained, data, record)
    files = provenance.checked_weights(run, sample, record)
    arrays, drawn = samples.read(run)
    provenance.check_samples(run, drawn, sample, record)
    train, seed = trained.train, rng.key(run.seed, "diagnostics")
    model = weights.load(run, trained, data, device, sample.ema_width)
    if prepared is not None:
        accept(model.coupling, prepared.tensors)
    f = build.consistency_function(train, model.network)
    subject = Subject(
        train=train,
        settings=settings,
        model=model,
        f=f,
        kernel=build.kernel(train),
        objective=build.objective(train),
        data=data,
        device=device,
        seed=seed,
        micro_batch=params.runtime.micro_batch,
    )
    common, more = _common(params, run, settings, data, model)
    fitted = None if sample.priors == ["standard"] else priors.read(run, sample, data, files)
    sampler = build.sampler(sample, train.t_max, bounds(data, device))
    classes = data.meta.classes if train.conditional else 0
    plain = sample.model_copy(update={"priors": [samples.STANDARD], "late_start": None})
    first = priors.starts(run, train, plain, model.coupling, data, files, device)
    drawing = Drawing(
        f, model.coupling, sampler, data, sample, experiment.pool, first, classes, device
    )
    metric = make_metric(params, experiment, data)
    parts: dict[str, Callable[[], Findings]] = {
        "gradients": lambda: gradients(subject, common),
        "coupling": lambda: coupling(subject, fitted and fitted.to(device)),
        "network": lambda: network(subject, arrays[next(iter(sampler.schedules))]),
        "scores": lambda: scores(drawing, metric, settings.redraws, settings.mid_times),
    }
    found = Findings({"data_dimension": math.prod(data.shape)})
    with Progress(len(parts), "parts") as progress:
        for done, (name, part) in enumerate(parts.items()):
            progress.to(done, f"now: {name}")
            found.add(part())
    content = DiagnosticsRecord(
        settings=settings.model_dump(mode="json", exclude={"seeds"}),
        data_sha256=data.sha256,
        files=files | hashes(run.directory, ["samples.npz"]) | more,
        extractor=metric.extractor,
        own_options=own_options(experiment) or None,
        version=versions.DIAGNOSTICS,
        numbers=found.finite(),
        curves=found.curves(),
    )
    records.write(content, run.directory / DIAGNOSTICS_FILE)


def _common(
    params: Params, run: RunId, settings: DiagnosticsSettings, data: Dataset, model: Model
) -> tuple[Model | None, dict[str, str]]:
    """The network of the common coupling's run with this run's coupling, and the hash of its file;
    nothing where this is that run."""
    other = replace(run, coupling=settings.common)
    if other == run:
        return None, {}
    trained, record = provenance.checked_run(params, other)
    sample = params.experiment(run.experiment).sample
    provenance.checked_weights(other, sample, record)
    device = next(model.parameters()).device
    found = weights.load(other, trained, data, device, sample.ema_width)
    (sha256,) = hashes(other.directory, ["model.safetensors"]).values()
    return Model(found.network, model.coupling), {f"{settings.common}/model.safetensors": sha256}
