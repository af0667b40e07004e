"""Transition kernels; in params.yaml a kernel without options is one word."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from vct.lab.settings.base import DottedPath, FamilySettings, OwnSettings, any_of


class KernelSettings(FamilySettings):
    """How data and noise become x_t."""

    family = "kernel"
    interface = "vct.kernels:Kernel"

    kind: str

    @model_validator(mode="before")
    @classmethod
    def _of_word(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _as_word(self, handler: SerializerFunctionWrapHandler) -> Any:
        whole = handler(self)
        return whole if whole.get("options") else self.kind


class VarianceExplodingSettings(KernelSettings):
    """x_t = x + t z."""

    target = "vct.kernels:VarianceExploding"
    label = "VE"

    kind: Literal["ve"]


class LinearInterpolationSettings(KernelSettings):
    """x_t = (1 - t/T) x + t z."""

    target = "vct.kernels:LinearInterpolation"
    label = "LI"

    kind: Literal["li"]


class OwnKernelSettings(OwnSettings, KernelSettings):
    """A user's kernel, called as Class(t_max=T, **options)."""

    kind: DottedPath


if TYPE_CHECKING:
    Kernel = KernelSettings
else:
    Kernel = any_of(KernelSettings)
