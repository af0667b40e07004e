"""What a score was measured with, as protocol.json and floor.json record it."""

from vct.lab import versions
from vct.lab.data.dataset import Dataset
from vct.lab.metrics.base import Metric
from vct.lab.records import ProtocolRecord, ReferenceRecord
from vct.lab.settings.averages import PostHocSettings
from vct.lab.settings.experiment import ExperimentSettings
from vct.lab.settings.own_code import own_code
from vct.lab.settings.score import label
from vct.samplers.heun import heun_times


def protocol(
    experiment: ExperimentSettings, data: Dataset, metric: Metric, scored: int
) -> ProtocolRecord:
    """Everything that a reader must know to compare a number of `scored` samples with another."""
    sample, score = experiment.sample, experiment.score
    extras = metric.protocol(scored)
    if score.is_own:
        options = {key: str(value) for key, value in score.arguments().items()}
        (code,) = own_code(score)["own_code"].values()
        extras = {score.member: {**options, "code": code[:8]}, **extras}
    return ProtocolRecord(
        num_samples=sample.num_samples,
        schedules=_schedules(experiment),
        ema=_average(experiment),
        sample_seed=sample.seed,
        noise=sample.noise,
        extractor=metric.extractor,
        reference=ReferenceRecord(
            dataset=data.name,
            split="train",
            size=metric.reference_size or len(data.train.x),
            sha256=data.sha256,
        ),
        metrics=list(metric.labels),
        labels=dict(metric.labels) if score.is_own else None,
        extras=extras or None,
        version=versions.SCORING,
        sampling_version=versions.SAMPLING,
    )


def _average(experiment: ExperimentSettings) -> str:
    """Which average of the weights was sampled from."""
    ema, width = experiment.train.ema, experiment.sample.ema_width
    if isinstance(ema, PostHocSettings):
        return f"power {ema.widths[0]}" if width is None else f"power {width}, rebuilt"
    if ema.kind == "power":
        return f"power {ema.width}"
    warm_up = "" if ema.warm_up is None else f", warm-up {ema.warm_up}"
    return f"constant {ema.decay}{warm_up}"


def _schedules(experiment: ExperimentSettings) -> dict[str, list[float]]:
    """The times at which the network was asked, by key of the samples; Heun's without the 0."""
    sampler, t_max = experiment.sample.sampler, experiment.train.t_max
    if sampler is not None:
        times = heun_times(sampler.steps, t_max, sampler.t_min, sampler.rho)
        return {f"heun{sampler.steps}": times[:-1]}
    times = [t_max, *experiment.sample.mid_times]
    return {f"steps{n}": times[:n] for n in range(1, len(times) + 1)}
