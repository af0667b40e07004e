"""Section `train` of an experiment."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from vct.lab.settings.averages import AverageSettings, EMASettings, PostHocSettings
from vct.lab.settings.base import Count, Scale, Section, Time, _default
from vct.lab.settings.networks import NetworkSettings
from vct.lab.settings.objectives import ICTSettings, ObjectiveSettings
from vct.lab.settings.optimizer import OptimizerSettings


class TrainSettings(Section):
    """Everything that a training's result depends on, except coupling and seed."""

    dataset: str
    kernel: Literal["ve", "li"]
    t_max: Time = 80.0
    sigma_data: Scale = 0.5
    objective: ObjectiveSettings
    network: NetworkSettings
    # Left out of the settings' hash when not given: trainings without it stay what they are.
    initial_weights: str | None = Field(default=None, exclude_if=_default(None))
    optimizer: OptimizerSettings = OptimizerSettings()
    ema: AverageSettings = EMASettings()
    batch_size: Count
    steps: Count
    conditional: bool = False
    flip: bool = False
    precision: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(exclude_if=_default("float32"))
    ] = "float32"
    compile: Annotated[bool, Field(exclude_if=_default(False))] = False
    log_every: Count = 50
    snapshots: Annotated[int, Field(ge=0, le=100)] = 8

    @model_validator(mode="after")
    def _range(self) -> "TrainSettings":
        t_min = getattr(self.objective, "t_min", 0.0)
        if t_min >= self.t_max:
            raise ValueError(f"t_max ({self.t_max}) must be larger than objective.t_min ({t_min})")
        if isinstance(self.objective, ICTSettings):
            _check_grid(self.objective, self.t_max)
        if self.snapshots > self.steps:
            raise ValueError(f"snapshots ({self.snapshots}) must not exceed steps ({self.steps})")
        if isinstance(self.ema, PostHocSettings) and self.ema.kept > self.steps:
            raise ValueError(f"ema.kept ({self.ema.kept}) must not exceed steps ({self.steps})")
        return self


def _check_grid(objective: ICTSettings, t_max: float) -> None:
    """The lognormal must reach the grid, or no interval has a probability; and neighbours of the
    grid must differ in float32, or a loss is divided by zero."""
    low, high = (time ** (1 / objective.rho) for time in (objective.t_min, t_max))
    gap = 1 - (1 - (1 - low / high) / objective.s1) ** objective.rho
    if gap < 1e-6:
        raise ValueError(
            f"objective.s1 ({objective.s1}) puts points of the time grid closer than float32 can "
            "tell; make it smaller, or t_min and t_max more different"
        )
    reach = 5 * objective.p_std
    low, high = math.log(objective.t_min) - reach, math.log(t_max) + reach
    if not low < objective.p_mean < high:
        raise ValueError(
            f"objective.p_mean ({objective.p_mean}) is too far from ln t for t between t_min and "
            f"t_max; choose it between {low:.3g} and {high:.3g}"
        )
