"""Networks: `network` of a training, `encoder` of a coupling."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from vct.lab.settings.base import Count, OwnSettings, Probability, Section, _tag
from vct.networks.groups import unfit


class MLPSettings(Section):
    """A perceptron for 2-D data and tiny images."""

    kind: Literal["mlp"]
    width: Annotated[int, Field(ge=1, le=65_536)] = 256
    depth: Annotated[int, Field(ge=1, le=1000)] = 4
    dropout: Probability = 0.0


class UNetSettings(Section):
    """DDPM++ or NCSN++ (EDM, Appendix F; Song et al. 2021)."""

    kind: Literal["ddpmpp", "ncsnpp"]
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


class ADMSettings(Section):
    """ADM (EDM, Appendix F); blocks of fewer than 64 channels do not attend."""

    kind: Literal["adm"]
    channels: Annotated[int, Field(ge=4, multiple_of=4)]
    mult: Annotated[list[Count], Field(min_length=1)]
    blocks: Count = 3
    attention: list[Count] = [32, 16, 8]
    dropout: Probability = 0.0


class EDM2Settings(Section):
    """EDM2's magnitude-preserving network; blocks of fewer than 64 channels do not attend.

    Dropout acts at sizes up to `dropout_up_to` pixels, or at all.
    """

    kind: Literal["edm2"]
    channels: Count
    mult: Annotated[list[Count], Field(min_length=1)]
    blocks: Count = 3
    attention: list[Count] = [16, 8]
    dropout: Probability = 0.0
    dropout_up_to: Count | None = None


NetworkSettings = Annotated[
    Annotated[MLPSettings, Tag("mlp")]
    | Annotated[UNetSettings, Tag("ddpmpp")]
    | Annotated[UNetSettings, Tag("ncsnpp")]
    | Annotated[ADMSettings, Tag("adm")]
    | Annotated[EDM2Settings, Tag("edm2")]
    | Annotated[OwnSettings, Tag("own")],
    Discriminator(_tag),
]
