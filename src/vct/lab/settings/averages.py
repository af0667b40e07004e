"""Averages of the weights: `ema` of a training."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from vct.lab.settings.base import Probability, Section, _default

Width = Annotated[float, Field(ge=1e-3, lt=0.28)]


class EMASettings(Section):
    """Exponential (constant decay) or power-function average of the weights."""

    kind: Literal["constant", "power"] = "constant"
    decay: Probability = 0.9999
    width: Width = 0.1
    warm_up: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, exclude_if=_default(None)
    )

    @model_validator(mode="after")
    def _warm_up_of_constant(self) -> "EMASettings":
        if self.kind == "power" and self.warm_up is not None:
            raise ValueError("warm_up is for kind constant; a power-function average needs none")
        return self


class PostHocSettings(Section):
    """Power-function averages, kept along training to rebuild others (EDM2, arXiv 2312.02696).

    The first width is the one that is sampled from unless `sample.ema_width` asks for another.
    """

    kind: Literal["post_hoc"]
    widths: Annotated[list[Width], Field(min_length=2)] = [0.05, 0.1]
    kept: Annotated[int, Field(ge=2, le=1000)] = 32

    @field_validator("widths")
    @classmethod
    def _different(cls, value: list[float]) -> list[float]:
        if len(set(value)) < len(value):
            raise ValueError("a width stands there twice")
        return value


def _ema_tag(value: Any) -> str:
    """Tag of the union by `kind`, which is constant unless another is given."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "constant" if kind is None else str(kind)


AverageSettings = Annotated[
    Annotated[EMASettings, Tag("constant")]
    | Annotated[EMASettings, Tag("power")]
    | Annotated[PostHocSettings, Tag("post_hoc")],
    Discriminator(_ema_tag),
]
