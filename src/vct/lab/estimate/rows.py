"""One row for each coupling of each experiment of a suite."""

import json
from dataclasses import dataclass
from typing import Any

from vct.lab.data.dataset import Dataset
from vct.lab.estimate import costs
from vct.lab.estimate.costs import Device, Disk, Memory
from vct.lab.estimate.counting import Counts, calls_of, count, without_transport
from vct.lab.estimate.shapes import Unknown, without_data
from vct.lab.files.layout import RunId
from vct.lab.processes.streams import say
from vct.lab.settings.own_code import own_classes
from vct.lab.settings.params import Params
from vct.lab.settings.run import RunSettings, run_settings
from vct.lab.settings.runtime import RuntimeSettings
from vct.lab.settings.train import TrainSettings


@dataclass(frozen=True)
class Cost:
    """What one run costs.

    Args:
        counts: of its network, coupling and step.
        micro_batch: samples that a device takes at a time.
        memory: of each device.
        disk: of the run.
        hours: device-hours of training and sampling.
    """

    counts: Counts
    micro_batch: int
    memory: Memory
    disk: Disk
    hours: float


@dataclass(frozen=True)
class Row:
    """A coupling of an experiment: `cost` for each of `seeds` runs, or why it is `unknown`."""

    experiment: str
    coupling: str
    seeds: int
    cost: Cost | None = None
    unknown: str = ""


def rows(params: Params, suite: str, device: Device) -> list[Row]:
    """The rows of a suite, in the table's order.

    Raises:
        UserError: if there is no such suite, or if settings cannot be built.
    """
    counter = _Counter()
    return [
        _row(params, name, coupling, device, counter)
        for name in params.suite(suite)
        for coupling in params.experiment(name).variants
    ]


def _row(params: Params, name: str, coupling: str, device: Device, counter: "_Counter") -> Row:
    experiment = params.experiment(name)
    settings = run_settings(params, RunId(name, coupling, experiment.seeds[0]))
    train, seeds = experiment.train, len(experiment.seeds)
    micro_batch = _micro_batch(train, params.runtime)
    try:
        dataset = without_data(params, train)
        counts = counter.counts(f"{name}/{coupling}", settings, dataset, micro_batch)
    except Unknown as reason:
        return Row(name, coupling, seeds, unknown=str(reason))
    held = costs.memory(train, counts)
    disk = costs.disk(experiment, settings.coupling, counts, dataset.shape, held)
    flop = costs.training_flop(train, counts)
    flop += costs.sampling_flop(experiment, settings.coupling, counts)
    hours = device.hours(flop, train.precision)
    return Row(name, coupling, seeds, Cost(counts, micro_batch, held, disk, hours))


def _micro_batch(train: TrainSettings, runtime: RuntimeSettings) -> int:
    """Most samples of which a device keeps activations at a time."""
    share = -(-train.batch_size // runtime.size)
    return min(share, runtime.micro_batch or share)


class _Counter:
    """Counts each network once: kernels, plans of transport and lengths change nothing."""

    def __init__(self) -> None:
        self._known: dict[str, Counts] = {}

    def counts(
        self, name: str, settings: RunSettings, dataset: Dataset, micro_batch: int
    ) -> Counts:
        """See `vct.lab.estimate.counting.count`.

        Raises:
            Unknown: if a user's own class needs values, which are not there.
        """
        train = settings.train
        parts: list[Any] = [train.network, train.objective, without_transport(settings.coupling)]
        parts = [part.model_dump(mode="json") for part in parts]
        facts: list[Any] = [train.conditional, train.precision, dataset.shape, micro_batch]
        facts += [dataset.meta.dtype, dataset.meta.classes, calls_of(settings.coupling)]
        key = json.dumps([*parts, *facts])
        if key not in self._known:
            say(f"counting {name}")
            self._known[key] = _count(settings, dataset, micro_batch)
        return self._known[key]


def _count(settings: RunSettings, dataset: Dataset, micro_batch: int) -> Counts:
    if not any(own_classes(settings)):
        return count(settings, dataset, micro_batch)
    try:
        return count(settings, dataset, micro_batch)
    except Exception as error:  # the user's class may fail in any way
        reason = " ".join(str(error).split())
        raise Unknown(
            f"its own class cannot be counted ({type(error).__name__}: {reason})"
        ) from None
