"""How much of a score is chance of sampling, and what another mid time would give."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np

from vct.lab.diagnosis.findings import Findings
from vct.lab.metrics.base import Metric
from vct.lab.sampling.drawing import Drawing
from vct.lab.sampling.priors import Aggregate
from vct.samplers.few_step import FewStep

MOST = 4
"""Steps up to which mid times are chosen, one after another."""


def scores(drawing: Drawing, metric: Metric, seeds: int, mid_times: Sequence[float]) -> Findings:
    """`sampling_sd`: deviation of the primary number with one step over seeds of sampling, with the
    weights as they are. Where samples are of the few-step sampler, the number by mid time: half of
    the seeds chooses, the other half reports.

    Args:
        drawing: as the run's samples are drawn, from N(0, I) or what stands for it.
        mid_times: falling.
    """
    first = next(iter(drawing.sampler.schedules))
    rows = [metric.rank(_drawn(drawing, seed)[first]) for seed in _seeds(drawing, seeds)]
    found = Findings({"sampling_sd": stdev(rows)})
    if isinstance(drawing.sampler, FewStep) and mid_times:
        found.add(_mid_times(drawing, metric, seeds, mid_times))
    return found


def _mid_times(
    drawing: Drawing, metric: Metric, seeds: int, mid_times: Sequence[float]
) -> Findings:
    found = Findings()
    every = list(_seeds(drawing, seeds))
    choosing, reporting = every[: seeds // 2], every[seeds // 2 :]
    sampler = drawing.sampler
    assert isinstance(sampler, FewStep)

    def score(times: Sequence[float], over: Sequence[int]) -> float:
        other = replace(drawing, sampler=FewStep(times, sampler.bounds))
        key = f"steps{len(times)}"
        return fmean(metric.rank(_drawn(other, seed)[key]) for seed in over)

    sign = -1.0 if metric.labels[metric.primary].higher_is_better else 1.0
    times = sampler.times[:1]
    for steps in range(2, MOST + 1):
        later = {t: score([*times, t], choosing) for t in mid_times if t < times[-1]}
        if not later:
            break
        if steps == 2:
            for t, value in later.items():
                found.point("score_by_mid_time", t, value)
        best = min(later, key=lambda t: sign * later[t])
        times = [*times, best]
        found.numbers[f"mid_time_{steps}"] = best
        found.numbers[f"score_at_chosen_{steps}"] = score(times, reporting)
    if len(sampler.times) > 1:
        found.numbers["score_at_given_2"] = score(sampler.times[:2], reporting)
    return found


def _seeds(drawing: Drawing, count: int) -> range:
    """Seeds of sampling other than the one of the reported scores."""
    return range(drawing.sample.seed + 1, drawing.sample.seed + 1 + count)


def _drawn(drawing: Drawing, seed: int) -> dict[str, np.ndarray]:
    sample = drawing.sample.model_copy(update={"seed": seed})
    starts = {
        prior: replace(start, seed=seed) if isinstance(start, Aggregate) else start
        for prior, start in drawing.starts.items()
    }
    return replace(drawing, sample=sample, starts=starts).all_results()
