"""Samplers: `sampler` of an experiment's `sample`."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from vct.lab.settings.base import DottedPath, FamilySettings, OwnSettings, Positive, any_of
from vct.lab.settings.objectives import Trained


class SamplerSettings(FamilySettings):
    """A way from noise to data, other than the few steps of a consistency function."""

    family = "sampler"
    interface = "vct.samplers.base:Sampler"

    takes: ClassVar[Trained | None] = None
    """What it samples from; None: whatever was trained."""
    has_times: ClassVar[bool] = False
    """Whether it has times of its own, and no use for `mid_times`."""

    def check(self, t_max: float, least: float) -> None:
        """Raise ValueError where it cannot start from T = `t_max`, or asks below the time `least`,
        where nothing was trained."""


class HeunSettings(SamplerSettings):
    """EDM's deterministic sampler, for objectives edm and flow (arXiv 2206.00364, Algorithm 1)."""

    target = "vct.samplers.heun:Heun"
    takes = "denoiser"
    has_times = True

    kind: Literal["heun"]
    steps: Annotated[int, Field(ge=2, le=10_000)] = 18
    t_min: Positive = 0.002
    rho: Annotated[float, Field(ge=0.1, le=100)] = 7.0

    def check(self, t_max: float, least: float) -> None:
        if self.t_min >= t_max:
            raise ValueError(f"sample.sampler.t_min: {self.t_min} must be below t_max ({t_max})")
        if self.t_min < least:
            raise ValueError(
                f"sample.sampler.t_min: {self.t_min} is below the least time of training ({least})"
            )


class EulerSettings(SamplerSettings):
    """Euler's method, for objectives flow and edm (arXiv 2210.02747)."""

    target = "vct.samplers.euler:Euler"
    takes = "denoiser"
    has_times = True

    kind: Literal["euler"]
    steps: Annotated[int, Field(ge=1, le=10_000)] = 100
    rho: Annotated[float, Field(ge=0.1, le=100)] = 1.0

    def check(self, t_max: float, least: float) -> None:
        last, least = t_max * self.steps**-self.rho, max(least, 1e-9 * t_max)
        if last < least:
            raise ValueError(
                f"sample.sampler: euler's last time, t_max / steps^rho = {last:.3g}, is below the "
                f"least time of training ({least:.3g}); take fewer steps, or a smaller rho"
            )


class OwnSamplerSettings(OwnSettings, SamplerSettings):
    """A user's sampler, called as Class(**options); also with times (t_max and `mid_times`) or
    t_max where its signature takes them."""

    kind: DottedPath


if TYPE_CHECKING:
    AnySampler = SamplerSettings
else:
    AnySampler = any_of(SamplerSettings)
