"""Section `suites`: experiments that are run, tabled and compared together."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from vct.lab.settings.base import Section
from vct.samplers.base import parse_key

Experiments = Annotated[list[str], Field(min_length=1)]


class SuiteSettings(Section):
    """Experiments, and what is to be decided of them; a list alone decides nothing.

    `primary` are the samples whose first metric decides, such as steps1; it is written before the
    runs. Every row is compared with independent noise and the best of `rivals`, paired by seed.
    """

    experiments: Experiments
    primary: str | None = None
    rivals: Annotated[list[str], Field(min_length=1)] = ["independent"]

    @model_validator(mode="after")
    def _key(self) -> "SuiteSettings":
        if self.primary is not None and not parse_key(self.primary):
            raise ValueError(
                f"primary: {self.primary!r} names no samples; take a key such as steps1 or heun18"
            )
        return self


def _whole(value: Any) -> Any:
    return {"experiments": value} if isinstance(value, list) else value


Suite = Annotated[
    SuiteSettings, BeforeValidator(_whole, json_schema_input_type=Experiments | SuiteSettings)
]
