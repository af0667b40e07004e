"""Networks: `network` of a training, `encoder` of a coupling."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from vct.lab.settings.base import (
    Count,
    DottedPath,
    FamilySettings,
    OwnSettings,
    Probability,
    any_of,
    default,
)
from vct.networks import levels
from vct.networks.groups import group_count, unfit


@dataclass(frozen=True)
class Outputs:
    """Beside a field's type: the network there has so many outputs for each channel of the data."""

    factor: int


class NetworkSettings(FamilySettings):
    """A network F(x, c_noise, labels)."""

    family = "network"
    interface = "torch.nn:Module"

    @property
    def shrinks(self) -> int:
        """How many times the coarsest level is smaller than the image."""
        return 1

    def misfit(self, **offered: Any) -> str | None:
        _, height, width = offered["shape"]
        if height % self.shrinks or width % self.shrinks:
            return (
                f"network.mult shrinks images {self.shrinks} times, which does not divide {height} "
                f"x {width} pixels; use fewer levels."
            )
        return None


class MLPSettings(NetworkSettings):
    """A perceptron for 2-D data and tiny images."""

    target = "vct.networks.mlp:MLP"

    kind: Literal["mlp"]
    width: Annotated[int, Field(ge=1, le=65_536)] = 256
    depth: Annotated[int, Field(ge=1, le=1000)] = 4
    dropout: Probability = 0.0


class LevelsSettings(NetworkSettings):
    """What networks share whose levels halve the image; `mult` has one number a level."""

    kind: str
    channels: Count
    mult: Annotated[list[Count], Field(min_length=1)]

    @property
    def shrinks(self) -> int:
        return 2 ** (len(self.mult) - 1)


class UNetSettings(LevelsSettings):
    """What DDPM++ and NCSN++ share (EDM, Appendix F; Song et al. 2021)."""

    channels: Annotated[int, Field(ge=4, le=8192, multiple_of=4)]
    mult: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=12)]
    blocks: Annotated[int, Field(ge=1, le=100)] = 4
    attention: Annotated[list[Count], Field(max_length=12)] = [16]
    dropout: Probability = 0.0

    @model_validator(mode="after")
    def _norms(self) -> "UNetSettings":
        width = unfit(self.channels, self.mult, self.blocks)
        if width is not None:
            raise ValueError(
                f"channels ({self.channels}) and mult give a layer of {width} channels, which 32 "
                "groups of the normalisation do not divide; take channels of a multiple of 32"
            )
        return self


class DDPMppSettings(UNetSettings):
    """DDPM++: positional embedding, box filter."""

    target = "vct.networks.unet:DDPMpp"

    kind: Literal["ddpmpp"]


class NCSNppSettings(UNetSettings):
    """NCSN++: Fourier embedding, (1, 3, 3, 1) filter, the image fed to every level.

    `fourier_scale` is 16 in EDM's checkpoints, 0.02 in the published consistency training.
    """

    target = "vct.networks.unet:NCSNpp"

    kind: Literal["ncsnpp"]
    fourier_scale: Annotated[float, Field(ge=1e-4, le=1e4, exclude_if=default(16.0))] = 16.0


class AttendingSettings(LevelsSettings):
    """What ADM and EDM2 share: heads of attention of 64 channels or more."""

    grouped: ClassVar[bool] = False
    """Whether channels are normalised in groups."""

    blocks: Count = 3
    attention: list[Count] = [32, 16, 8]

    def misfit(self, **offered: Any) -> str | None:
        if why := super().misfit(**offered):
            return why
        plan = offered["shape"][1], [self.channels * each for each in self.mult], self.blocks
        blocks = levels.encoder(*plan, self.attention) + levels.decoder(*plan, self.attention)
        for block in blocks:
            widths = (block.inputs, block.outputs) if self.grouped else ()
            parts = [(width, group_count(width)) for width in widths]
            for width, count in [*parts, (block.outputs, block.heads)]:
                if count and width % count:
                    return (
                        f"channels ({self.channels}) and mult give {block.name} {width} channels, "
                        f"which are not of {count} equal groups; take a multiple of 64."
                    )
        return None


class ADMSettings(AttendingSettings):
    """ADM (EDM, Appendix F); blocks of fewer than 64 channels do not attend."""

    target = "vct.networks.adm:ADM"

    grouped = True

    kind: Literal["adm"]
    channels: Annotated[int, Field(ge=4, multiple_of=4)]
    dropout: Probability = 0.0


class EDM2Settings(AttendingSettings):
    """EDM2's magnitude-preserving network; blocks of fewer than 64 channels do not attend.

    Dropout acts at sizes up to `dropout_up_to` pixels, or at all.
    """

    target = "vct.networks.edm2:EDM2"

    kind: Literal["edm2"]
    attention: list[Count] = [16, 8]
    dropout: Probability = 0.0
    dropout_up_to: Count | None = None


class OwnNetworkSettings(OwnSettings, NetworkSettings):
    """A user's network, called as Class(shape=(C, H, W), outputs=..., classes=..., **options).

    Where the objective asks it at two times, it is called with two_times=True too, and its forward
    with a fourth argument c_span: r/t (B,), or None for r = 0.
    """

    kind: DottedPath


if TYPE_CHECKING:
    Network = NetworkSettings
else:
    Network = any_of(NetworkSettings)
