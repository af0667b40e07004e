"""The run of ours whose flow makes the pairs of another one, as `reflow` takes them."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from vct.couplings.base import Coupling
from vct.couplings.independent import Independent
from vct.couplings.reflow import Reflow
from vct.lab import build, records
from vct.lab.data.dataset import Dataset, Split
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.files.whole import file_sha256
from vct.lab.processes.streams import say
from vct.lab.records import RunRecord
from vct.lab.runs import weights
from vct.lab.settings.couplings import CouplingSettings, ReflowSettings
from vct.lab.settings.run import RunSettings
from vct.lab.settings.samplers import SamplerSettings
from vct.preconditioning import ConsistencyFunction
from vct.samplers.base import Sampler


@dataclass
class Flow:
    """What a sampler makes of noise and the final weights of a run, which is read when it is asked.

    Args:
        run: the teacher.
        sampler: settings of the sampler.
        data: shape and classes.
    """

    run: RunId
    sampler: SamplerSettings
    data: Dataset
    _read: tuple[torch.device, ConsistencyFunction, Sampler] | None = field(
        default=None, repr=False
    )

    @classmethod
    def of(cls, taught: ReflowSettings, seed: int, data: Dataset) -> "Flow":
        """The flow that teaches a run with this seed."""
        run = taught.teacher_run(seed)
        assert run is not None
        nothing = Split(np.zeros((0, *data.shape)), np.zeros(0, np.int64))
        return cls(run, taught.sampler, replace(data, train=nothing, test=nothing))

    def __call__(self, eps: Tensor, labels: Tensor | None) -> Tensor:
        """Samples of noise (B, C, H, W) and one-hot labels (B, K)."""
        if self._read is None or self._read[0] != eps.device:
            say(f"the flow of {self.run} makes the pairs")
            record = records.read(RunRecord, self.run.directory / "config.json")
            settings = RunSettings.model_validate(record.settings)
            model = weights.load(self.run, settings, self.data, eps.device)
            f = build.consistency_function(settings.train, model.network)
            t_max = settings.train.t_max
            sampler = build.instantiate(self.sampler, times=[t_max], t_max=t_max, bounds=None)
            self._read = eps.device, f, sampler
        _, f, sampler = self._read
        *_, x = sampler(f, Independent(), [eps], labels)
        return x


def teach(coupling: Coupling, settings: CouplingSettings, seed: int, data: Dataset) -> None:
    """Have the pairs of a run's coupling made by its teacher, where it has one."""
    taught = settings.taught()
    if taught is None:
        return
    for part in coupling.modules():
        if isinstance(part, Reflow):
            part.learn_from(Flow.of(taught, seed, data))


def sha256(teacher: RunId | None) -> str | None:
    """Hash of its weights, for the record of the run that it teaches; None without one.

    Raises:
        UserError: if they are missing, or not those that its record names.
    """
    if teacher is None:
        return None
    file = teacher.directory / "model.safetensors"
    again = f"train that run first: vct train {teacher}"
    if not file.is_file():
        raise UserError(f"{file} is missing, whose flow makes the pairs; {again}")
    found = file_sha256(file)
    record = records.read(RunRecord, teacher.directory / "config.json")
    if (record.files or {}).get(file.name) != found:
        raise UserError(f"{file} is not the file that config.json beside it records; {again}")
    return found


def license_of(teacher: RunId | None) -> str | None:
    """Licence of the published weights that it goes back to, if any."""
    if teacher is None:
        return None
    return records.read(RunRecord, teacher.directory / "config.json").initial_weights_license
