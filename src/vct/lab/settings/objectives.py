"""Objectives of a training."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from vct.lab.settings.base import (
    Count,
    DottedPath,
    FamilySettings,
    LogTime,
    LogTimeSpread,
    OwnSettings,
    Positive,
    Time,
    Weight,
    any_of,
    default,
)

Trained = Literal["consistency", "denoiser"]


class ObjectiveSettings(FamilySettings):
    """What a network is trained for."""

    family = "objective"
    interface = "vct.objectives.base:Objective"

    trains: ClassVar[Trained | None] = "consistency"
    """What comes out: a consistency function, which is called, or a denoiser, which is integrated;
    None where only the class knows."""

    differentiates: ClassVar[bool] = False
    """Whether it takes forward-mode derivatives of the network."""
    asks_lower: ClassVar[bool] = True
    """Whether the network is asked at the lower of two levels too, whose answer a coupling may
    put in the place of the data."""

    def least_time(self, t_max: float) -> float:
        """Smallest time that sampling may use, of T = `t_max`."""
        return getattr(self, "t_min", 0.0)

    def check(self, t_max: float) -> None:
        """Raise ValueError where the objective cannot do with T = `t_max`."""
        least = self.least_time(t_max)
        if least >= t_max:
            raise ValueError(f"t_max ({t_max}) must be larger than objective.t_min ({least})")

    def caution(self, steps: int) -> str | None:
        """Why `steps` steps are too few for it, as a sentence; None where nothing says so."""
        return None


class ICTSettings(ObjectiveSettings):
    """iCT, arXiv 2310.14189."""

    target = "vct.objectives.ict:ICT"
    label = "iCT"

    kind: Literal["ict"]
    s0: Count = 10
    s1: Annotated[int, Field(ge=1, le=1_000_000)] = 1280
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0
    t_min: Time = 0.002
    p_mean: LogTime = -1.1
    p_std: LogTimeSpread = 2.0
    huber_c: Annotated[float, Field(ge=1e-9, le=1e3)] = 0.00054
    distance: Literal["per-element", "norm", "cauchy"] = "per-element"
    # Of arXiv 2502.01441.
    c_power: Annotated[float, Field(ge=0, le=4, exclude_if=default(0.0))] = 0.0
    diffusion: Annotated[Weight, Field(exclude_if=default(0.0))] = 0.0
    early: Annotated[float, Field(gt=0, le=1, exclude_if=default(0.25))] = 0.25

    @model_validator(mode="after")
    def _order(self) -> "ICTSettings":
        if self.s1 < self.s0:
            raise ValueError(f"s1 ({self.s1}) must not be smaller than s0 ({self.s0})")
        if not self.diffusion and "early" in self.model_fields_set:
            raise ValueError("early: is of the diffusion loss; remove it, or set diffusion")
        if self.diffusion and self.early * self.s1 < 1:
            raise ValueError(f"early ({self.early}) reaches no interval of the grid; raise it")
        return self

    def check(self, t_max: float) -> None:
        """The lognormal must reach the grid, or no interval has a probability; and neighbours of
        the grid must differ in float32, or a loss is divided by zero."""
        super().check(t_max)
        low, high = (time ** (1 / self.rho) for time in (self.t_min, t_max))
        gap = 1 - (1 - (1 - low / high) / self.s1) ** self.rho
        if gap < 1e-6:
            raise ValueError(
                f"objective.s1 ({self.s1}) puts points of the time grid closer than float32 can "
                "tell; make it smaller, or t_min and t_max more different"
            )
        reach = 5 * self.p_std
        low, high = math.log(self.t_min) - reach, math.log(t_max) + reach
        if not low < self.p_mean < high:
            raise ValueError(
                f"objective.p_mean ({self.p_mean}) is too far from ln t for t between t_min and "
                f"t_max; choose it between {low:.3g} and {high:.3g}"
            )


class ECMSettings(ObjectiveSettings):
    """ECM of ECT, arXiv 2406.14548."""

    target = "vct.objectives.ecm:ECM"
    label = "ECM"

    kind: Literal["ecm"]
    q: Annotated[float, Field(gt=1)] = 2.0
    stages: Count = 8
    kappa: Weight = 8.0
    b: Positive = 1.0
    c: Weight = 0.0
    t_min: Time = 0.003
    p_mean: LogTime = -1.1
    p_std: LogTimeSpread = 2.0
    weight: Literal["consistency", "edm"] = "consistency"

    @model_validator(mode="after")
    def _gap(self) -> "ECMSettings":
        if self.stages * math.log2(self.q) > 20:
            raise ValueError(
                f"q ({self.q}) to the power of stages ({self.stages}) must not exceed 2^20, or the "
                "two times of a pair become equal in float32"
            )
        return self


class EDMSettings(ObjectiveSettings):
    """Diffusion pretraining of EDM, arXiv 2206.00364."""

    target = "vct.objectives.edm:EDM"
    label = "EDM"
    trains = "denoiser"
    asks_lower = False

    kind: Literal["edm"]
    p_mean: LogTime = -1.2
    p_std: LogTimeSpread = 1.2


def _check_times(settings: "FlowSettings | MeanFlowSettings") -> None:
    idle = sorted({"p_mean", "p_std"} & settings.model_fields_set)
    if settings.times == "uniform" and idle:
        raise ValueError(f"{idle[0]}: is of times logit-normal; remove it, or ask for them")


class FlowSettings(ObjectiveSettings):
    """Flow matching, arXiv 2210.02747; with kernel li and t_max 1, as there."""

    target = "vct.objectives.flow:Flow"
    label = "flow matching"
    trains = "denoiser"
    asks_lower = False

    kind: Literal["flow"]
    t_min: Time = 0.002
    times: Literal["uniform", "logit-normal"] = "uniform"
    # Left out where they are not given, so that settings that were written are read again.
    p_mean: Annotated[LogTime, Field(exclude_if=default(0.0))] = 0.0
    p_std: Annotated[LogTimeSpread, Field(exclude_if=default(1.0))] = 1.0

    @model_validator(mode="after")
    def _used(self) -> "FlowSettings":
        _check_times(self)
        return self


class ConsistencyFlowSettings(ObjectiveSettings):
    """Consistency flow matching, arXiv 2407.02398; with kernel li and t_max 1, as there."""

    target = "vct.objectives.consistency_flow:ConsistencyFlow"
    label = "consistency flow"

    kind: Literal["consistency_flow"]
    gap: Annotated[float, Field(ge=1e-6, le=0.5)] = 1e-3
    near: Annotated[float, Field(ge=0, lt=1)] = 0.1
    alpha: Weight = 1e-5

    def least_time(self, t_max: float) -> float:
        return self.gap * t_max


class SCTSettings(ObjectiveSettings):
    """sCT, arXiv 2410.11081."""

    target = "vct.objectives.sct:SCT"
    label = "sCT"
    differentiates = True
    asks_lower = False

    kind: Literal["sct"]
    p_mean: LogTime = -1.0
    p_std: LogTimeSpread = 1.4
    warm_up: Annotated[int, Field(ge=0, le=1_000_000_000)] = 10_000
    c: Positive = 0.1

    def caution(self, steps: int) -> str | None:
        if self.warm_up < steps:
            return None
        return (
            f"{steps} steps end within a warm_up of {self.warm_up}, before the loss is that of a "
            "consistency function; lower it."
        )


class MeanFlowSettings(ObjectiveSettings):
    """MeanFlow, arXiv 2505.13447; with kernel li and t_max 1, as there."""

    target = "vct.objectives.mean_flow:MeanFlow"
    label = "MeanFlow"
    differentiates = True
    asks_lower = False

    kind: Literal["mean_flow"]
    t_min: Time = 0.002
    times: Literal["uniform", "logit-normal"] = "logit-normal"
    p_mean: Annotated[LogTime, Field(exclude_if=default(-0.4))] = -0.4
    p_std: Annotated[LogTimeSpread, Field(exclude_if=default(1.0))] = 1.0
    apart: Annotated[float, Field(gt=0, le=1)] = 0.25
    power: Annotated[float, Field(ge=0, le=2)] = 1.0
    c: Positive = 1e-3

    @model_validator(mode="after")
    def _used(self) -> "MeanFlowSettings":
        _check_times(self)
        return self


class OwnObjectiveSettings(OwnSettings, ObjectiveSettings):
    """A user's objective, called as Class(**options); also with t_max, sigma_data or clip (whether
    times beyond T are out of the kernel's range) where its signature takes them."""

    trains = None

    kind: DottedPath

    def least_time(self, t_max: float) -> float:
        given = self.options.get("t_min")
        return given if isinstance(given, float | int) else 0.0


if TYPE_CHECKING:
    Objective = ObjectiveSettings
else:
    Objective = any_of(ObjectiveSettings)
