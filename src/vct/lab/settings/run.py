"""The settings that decide what one training computes, and their hash."""

import hashlib
import json
from typing import Any

from vct.lab import versions
from vct.lab.errors import UserError
from vct.lab.files.layout import RunId
from vct.lab.settings import registry
from vct.lab.settings.base import Section
from vct.lab.settings.couplings import Coupling
from vct.lab.settings.params import PARAMS, Params
from vct.lab.settings.train import TrainSettings


class RunSettings(Section):
    """What one training computes, but for its seed."""

    train: TrainSettings
    coupling: Coupling

    @property
    def clip_grad_norm(self) -> float | None:
        """Largest norm of a gradient: the coupling's own, or that of the experiment."""
        own = self.coupling.clip_grad_norm
        return self.train.optimizer.clip_grad_norm if own is None else own

    @property
    def drops(self) -> bool:
        """Whether a network has dropout."""
        return _drops(self.model_dump(mode="json"))

    @property
    def training_version(self) -> int:
        """Version of the code that such a training depends on."""
        return training_version(self.model_dump(mode="json"))

    def sha256(self) -> str:
        """Hash of the settings: the same text in, the same training out."""
        return settings_sha256(self.model_dump(mode="json"))


def training_version(settings: dict[str, Any]) -> int:
    """Version of the code that a training with these settings, as JSON holds them, depends on."""
    return versions.TRAINING_WITH_DROPOUT if _drops(settings) else versions.TRAINING


def _drops(settings: Any) -> bool:
    """Whether a network among settings, as JSON holds them, has dropout."""
    if not isinstance(settings, dict):
        return False
    return bool(settings.get("dropout")) or any(_drops(each) for each in settings.values())


def settings_sha256(settings: dict[str, Any]) -> str:
    """Hash of settings as JSON holds them."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def run_settings(params: Params, run: RunId) -> RunSettings:
    """Settings of one run.

    Raises:
        UserError: if the experiment or the coupling does not exist.
    """
    experiment = params.experiment(run.experiment)
    if run.coupling not in experiment.couplings:
        problem = registry.unknown("coupling", run.coupling, experiment.couplings)
        raise UserError(f"{PARAMS}: experiments.{run.experiment}.couplings: {problem}")
    return RunSettings(train=experiment.train, coupling=experiment.couplings[run.coupling])
