"""What a suite ran: data, couplings, seeds and budget, in a paragraph and a row for each
experiment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vct.lab.files.layout import RunId
from vct.lab.records import RunRecord
from vct.lab.report.collect import ExperimentRows
from vct.lab.settings.data import DatasetSettings
from vct.lab.settings.params import Params

Records = Mapping[RunId, RunRecord]


@dataclass(frozen=True)
class Experiment:
    """A row of the overview, all of it as a reader sees it."""

    name: str
    data: str
    method: str
    network: str
    budget: str
    couplings: tuple[str, ...]
    seeds: str
    runs: str


def experiments(
    params: Params, rows: Sequence[ExperimentRows], records: Records
) -> list[Experiment]:
    """The experiments of a suite, in their order.

    Args:
        records: config.json of the finished runs.
    """
    return [_experiment(params, each, records) for each in rows]


def paragraph(rows: Sequence[ExperimentRows], records: Records) -> str:
    """The experiments together."""
    data = dict.fromkeys(each.dataset for each in rows)
    labels = dict.fromkeys(label for each in rows for label in each.couplings.values())
    total = sum(len(each.couplings) * len(each.seeds) for each in rows)
    return (
        f"{len(records)} of {_count(total, 'run')} are finished, in "
        f"{_count(len(rows), 'experiment')} on {', '.join(data)}. Within an experiment all "
        "couplings share data, network, budget and sampler, and differ in the coupling alone: "
        f"{', '.join(labels)}. No run and no checkpoint was chosen by its score."
    )


def _experiment(params: Params, rows: ExperimentRows, records: Records) -> Experiment:
    train = params.experiment(rows.experiment).train
    mine = [record for run, record in records.items() if run.experiment == rows.experiment]
    sizes = sorted({int(record.summary.get("parameters") or 0) for record in mine} - {0})
    network = " to ".join(f"{size:,}" for size in sizes)
    start = "" if train.initial_weights is None else f", from {train.initial_weights}"
    return Experiment(
        rows.experiment,
        f"{rows.dataset}{_facts(params.dataset(rows.dataset))}",
        f"{rows.objective_label}, {rows.kernel_label}",
        f"{train.network.member}{f', {network} parameters' if network else ''}{start}",
        f"{train.steps:,} steps of {train.batch_size}",
        tuple(rows.couplings.values()),
        _seeds(rows.seeds),
        f"{len(mine)} of {len(rows.couplings) * len(rows.seeds)}",
    )


def _facts(data: DatasetSettings) -> str:
    """`: 1,297 images of 8 px`, as far as it is known."""
    size, facts = data.train_size, data.facts
    if size is None and facts is None:
        return ""
    form = data.form or "samples"
    shape = "" if facts is None else f" of {_shape(facts.shape, form)}"
    return f": {'' if size is None else f'{size:,} '}{form}{shape}"


def _shape(shape: tuple[int, int, int], form: str) -> str:
    channels, height, width = shape
    if form == "points":
        return f"{math.prod(shape)} coordinates"
    colour = " in colour" if channels == 3 else ""
    return f"{height} px{colour}" if height == width else f"{height} x {width} px{colour}"


def _seeds(seeds: Sequence[int]) -> str:
    """`6 to 17`, or one by one."""
    first, last = min(seeds), max(seeds)
    if len(seeds) > 2 and sorted(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, seeds))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
