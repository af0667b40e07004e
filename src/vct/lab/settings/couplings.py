"""Section `couplings` of an experiment."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from vct.lab.settings.base import Count, OwnSettings, Positive, Section, Weight, _default, _tag
from vct.lab.settings.networks import NetworkSettings


class CouplingSection(Section):
    """What every coupling may set: its own `optimizer.clip_grad_norm`, in place of the common one.

    The published trainings clip those of variational couplings alone.
    """

    clip_grad_norm: Positive | None = Field(default=None, exclude_if=_default(None))


class IndependentSettings(CouplingSection):
    """z = eps."""

    kind: Literal["independent"]


# On the global batch, or on what each device holds.
Over = Annotated[Literal["batch", "device"], Field(exclude_if=_default("batch"))]


class MinibatchOTSettings(CouplingSection):
    """Optimal transport between the images and the noise of a batch."""

    kind: Literal["ot"]
    over: Over = "batch"


class VariationalSettings(CouplingSection):
    """An encoder gives the noise of each image (VCT, Section 4)."""

    kind: Literal["variational"]
    kl_weight: Weight
    encoder: NetworkSettings
    initial_std: Annotated[float, Field(ge=1e-3, le=100)] = 1.0


class SinkhornSettings(CouplingSection):
    """Entropic optimal transport between the images and the noise of a batch."""

    kind: Literal["sinkhorn"]
    entropy: Annotated[float, Field(ge=1e-3, le=1e3)] = 0.1
    iterations: Count = 100
    over: Over = "batch"


class OwnCouplingSettings(OwnSettings, CouplingSection):
    """A user's coupling."""


_BaseKinds = (
    Annotated[IndependentSettings, Tag("independent")]
    | Annotated[MinibatchOTSettings, Tag("ot")]
    | Annotated[SinkhornSettings, Tag("sinkhorn")]
    | Annotated[VariationalSettings, Tag("variational")]
    | Annotated[OwnCouplingSettings, Tag("own")]
)
BaseCouplingSettings = Annotated[_BaseKinds, Discriminator(_tag)]


class GeneratorAugmentedSettings(CouplingSection):
    """Some data points are replaced by the averaged model's (GC, arXiv 2406.09570)."""

    kind: Literal["generator_augmented"]
    base: BaseCouplingSettings = IndependentSettings(kind="independent")
    mu: Annotated[float, Field(gt=0, le=1)] = 0.5
    noise: Literal["keep", "recouple"] = "keep"

    @model_validator(mode="after")
    def _clip_outside(self) -> "GeneratorAugmentedSettings":
        if self.base.clip_grad_norm is not None:
            raise ValueError(
                "base.clip_grad_norm would do nothing; set clip_grad_norm beside base instead"
            )
        return self


CouplingSettings = Annotated[
    _BaseKinds | Annotated[GeneratorAugmentedSettings, Tag("generator_augmented")],
    Discriminator(_tag),
]
