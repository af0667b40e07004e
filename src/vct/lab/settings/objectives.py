"""Objectives of a training."""

import math
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from vct.lab.settings.base import (
    Count,
    LogTime,
    LogTimeSpread,
    OwnSettings,
    Positive,
    Section,
    Time,
    Weight,
    _tag,
)


class ICTSettings(Section):
    """iCT, arXiv 2310.14189."""

    kind: Literal["ict"]
    s0: Count = 10
    s1: Annotated[int, Field(ge=1, le=1_000_000)] = 1280
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0
    t_min: Time = 0.002
    p_mean: LogTime = -1.1
    p_std: LogTimeSpread = 2.0
    huber_c: Annotated[float, Field(ge=1e-9, le=1e3)] = 0.00054
    distance: Literal["per-element", "norm"] = "per-element"

    @model_validator(mode="after")
    def _order(self) -> "ICTSettings":
        if self.s1 < self.s0:
            raise ValueError(f"s1 ({self.s1}) must not be smaller than s0 ({self.s0})")
        return self


class ECMSettings(Section):
    """ECM of ECT, arXiv 2406.14548."""

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


class EDMSettings(Section):
    """Diffusion pretraining of EDM, arXiv 2206.00364."""

    kind: Literal["edm"]
    p_mean: LogTime = -1.2
    p_std: LogTimeSpread = 1.2


ObjectiveSettings = Annotated[
    Annotated[ICTSettings, Tag("ict")]
    | Annotated[ECMSettings, Tag("ecm")]
    | Annotated[EDMSettings, Tag("edm")]
    | Annotated[OwnSettings, Tag("own")],
    Discriminator(_tag),
]
