"""What all sections of params.yaml share: validation, ranges of numbers, classes of the user's."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of params.yaml. Numbers are not read from strings, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _default(value: Any) -> Callable[[Any], bool]:
    """For settings that came later: left out of hashes where they are what they always were."""
    return lambda given: given == value


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Points = Annotated[int, Field(ge=2, le=10_000_000)]
Seed = Annotated[int, Field(ge=0, le=999_999_999)]
Probability = Annotated[float, Field(ge=0, lt=1)]
# Beyond these, times, weights and losses leave the range of float32.
Positive = Annotated[float, Field(ge=1e-12, le=1e12)]
Rate = Annotated[float, Field(ge=1e-12, le=10)]
Time = Annotated[float, Field(ge=1e-6, le=1e5)]
Scale = Annotated[float, Field(ge=1e-3, le=1e3)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
LogTime = Annotated[float, Field(ge=-10, le=10)]
LogTimeSpread = Annotated[float, Field(gt=0, le=5)]


class OwnSettings(Section):
    """A user's class, named by its dotted path; `options` are its keyword arguments."""

    kind: Annotated[str, Field(pattern=r"^[\w]+(\.[\w]+)+$", max_length=200)]
    options: dict[str, Any] = {}


def _tag(value: Any) -> str:
    """Tag of the union by `kind`: a dotted name is the user's own class."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "own" if isinstance(kind, str) and "." in kind else str(kind)
