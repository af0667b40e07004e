"""Averages of the weights: `ema` of a training."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vct.lab.settings.base import (
    DottedPath,
    FamilySettings,
    OwnSettings,
    Probability,
    any_of,
    default,
)

Width = Annotated[float, Field(ge=1e-3, lt=0.28)]
WARM_UP = 0.05
"""Of an average whose decay is not given: EDM's (arXiv 2206.00364, Appendix F)."""
MOST_LEFT = 0.01
"""Share of the initial weights in an average, beyond which it is not one of trained weights."""


class AverageSettings(FamilySettings):
    """An average of the weights, which samples are drawn with."""

    family = "average"
    interface = "vct.averages.ema:Average"

    @property
    def tracked(self) -> list[float]:
        """Widths of the averages that are kept along training, to rebuild others from."""
        return []

    @property
    def times_kept(self) -> int:
        """How often they are kept."""
        return 0

    def described(self, width: float | None) -> str:
        """What a protocol calls the average that samples were drawn with.

        Args:
            width: of a rebuilt average, or None.
        """
        return self.member

    def caution(self, steps: int) -> str | None:
        """Why the average after `steps` steps is not one of trained weights, as a sentence; None
        where nothing speaks against it."""
        return None


class EMASettings(AverageSettings):
    """What exponential averages share."""

    kind: str
    decay: Probability = 0.9999
    width: Width = 0.1
    warm_up: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, exclude_if=default(None)
    )


class ConstantSettings(EMASettings):
    """An average of constant `decay`; `warm_up` bounds its half-life by that share of the steps.

    Where neither is given, they are 0.9999 and 0.05: with the published decay alone, the average of
    a short training would be one of initial weights.
    """

    target = "vct.averages.ema:ConstantAverage"
    aside = ("width",)

    kind: Literal["constant"] = "constant"

    @model_validator(mode="before")
    @classmethod
    def _for_any_length(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.keys() & {"decay", "warm_up"}:
            if "width" in given and "kind" not in given:
                raise ValueError("width: is of kind power; add it, or remove width")
            return {**given, "warm_up": WARM_UP}
        return given

    @field_validator("width")
    @classmethod
    def _of_power(cls, value: float) -> float:
        if value != cls.model_fields["width"].get_default():
            raise ValueError("it is for kind power; a constant average has a decay")
        return value

    def caution(self, steps: int) -> str | None:
        left = self.decay**steps
        if self.warm_up is not None or left <= MOST_LEFT:
            return None
        return (
            f"after {steps} steps, a decay of {self.decay} leaves {left:.1%} of the initial "
            f"weights in the average; lower it, or add warm_up: {WARM_UP}."
        )

    def described(self, width: float | None) -> str:
        warm_up = "" if self.warm_up is None else f", warm-up {self.warm_up}"
        return f"constant {self.decay}{warm_up}"


class PowerSettings(EMASettings):
    """EDM2's power-function average of relative `width` (arXiv 2312.02696)."""

    target = "vct.averages.ema:PowerAverage"
    aside = ("decay", "warm_up")

    kind: Literal["power"]

    @field_validator("decay", "warm_up")
    @classmethod
    def _of_constant(cls, value: float | None, field: ValidationInfo) -> float | None:
        if value != cls.model_fields[str(field.field_name)].get_default():
            raise ValueError("it is for kind constant; a power-function average needs none")
        return value

    def described(self, width: float | None) -> str:
        return f"power {self.width}"


class PostHocSettings(AverageSettings):
    """Power-function averages, kept along training to rebuild others (EDM2, arXiv 2312.02696).

    The first width is the one that is sampled from unless `sample.ema_width` asks for another.
    """

    target = "vct.averages.post_hoc:TrackedAverages"
    aside = ("kept",)

    kind: Literal["post_hoc"]
    widths: Annotated[list[Width], Field(min_length=2)] = [0.05, 0.1]
    kept: Annotated[int, Field(ge=2, le=1000)] = 32

    @field_validator("widths")
    @classmethod
    def _different(cls, value: list[float]) -> list[float]:
        if len(set(value)) < len(value):
            raise ValueError("a width stands there twice")
        return value

    @property
    def tracked(self) -> list[float]:
        return self.widths

    @property
    def times_kept(self) -> int:
        return self.kept

    def described(self, width: float | None) -> str:
        return f"power {self.widths[0]}" if width is None else f"power {width}, rebuilt"


class OwnAverageSettings(OwnSettings, AverageSettings):
    """A user's average, called as Class(trained=module, **options)."""

    kind: DottedPath


if TYPE_CHECKING:
    AnyAverage = AverageSettings
else:
    AnyAverage = any_of(AverageSettings, default="constant")
