"""Section `train` of an experiment."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vct.lab.settings.averages import AnyAverage, ConstantSettings
from vct.lab.settings.base import Count, Scale, Section, Time, default
from vct.lab.settings.kernels import Kernel
from vct.lab.settings.networks import Network
from vct.lab.settings.objectives import Objective
from vct.lab.settings.optimizer import Optimizer, RAdamSettings


class TrainSettings(Section):
    """Everything that a training's result depends on, except coupling and seed."""

    dataset: str
    kernel: Kernel
    t_max: Time = 80.0
    sigma_data: Scale = 0.5
    objective: Objective
    network: Network
    # Left out of the settings' hash when not given: trainings without it stay what they are.
    initial_weights: str | None = Field(default=None, exclude_if=default(None))
    optimizer: Optimizer = RAdamSettings()
    ema: AnyAverage = ConstantSettings()
    batch_size: Count
    steps: Count
    conditional: bool = False
    flip: bool = False
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(exclude_if=default("float32"))
    ] = "float32"
    compile: Annotated[bool, Field(exclude_if=default(False))] = False
    log_every: Count = 50
    snapshots: Annotated[int, Field(ge=0, le=100)] = 8

    @model_validator(mode="after")
    def _range(self) -> "TrainSettings":
        self.objective.check(self.t_max)
        for key, given in (("compile", self.compile), ("precision", self.precision == "bfloat16")):
            if given and self.objective.differentiates:
                raise ValueError(
                    f"{key}: objective {self.objective.member} takes a derivative of the network "
                    f"in forward mode, which {key}: {str(getattr(self, key)).lower()} does not "
                    "have; remove it"
                )
        if self.snapshots > self.steps:
            raise ValueError(f"snapshots ({self.snapshots}) must not exceed steps ({self.steps})")
        if self.ema.times_kept > self.steps:
            kept = self.ema.times_kept
            raise ValueError(f"ema.kept ({kept}) must not exceed steps ({self.steps})")
        return self

    def cautions(self) -> list[str]:
        """What is valid and nevertheless gives no good result, as sentences behind their keys."""
        ema, objective = self.ema.caution(self.steps), self.objective.caution(self.steps)
        said = {"ema": ema, "objective": objective}
        return [f"{key}: {caution}" for key, caution in said.items() if caution]

    @property
    def snapshot_steps(self) -> list[int]:
        """After which steps the averaged network is kept: evenly spaced, the last at the end."""
        return _spaced(self.steps, self.snapshots)

    @property
    def kept_steps(self) -> list[int]:
        """After which steps averages are kept, to rebuild others from."""
        return _spaced(self.steps, self.ema.times_kept)


def _spaced(steps: int, count: int) -> list[int]:
    return [round(steps * index / count) for index in range(1, count + 1)]
