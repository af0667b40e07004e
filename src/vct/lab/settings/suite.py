"""Section `suites`: experiments that are run, tabled and compared together."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from vct.lab.settings.base import Section
from vct.samplers.base import parse_key

Names = Annotated[list[str], Field(min_length=1)]


class ComparisonSettings(Section):
    """A row of each experiment that is compared with another, or with the best of several.

    Rows are couplings, and such as variational/fitted. `of` are the experiments that decide; else
    all that have the row. `equal: time` takes the rivals from the experiment that the suite's
    `matched` names: they trained as long as the row did.
    """

    row: str
    against: Names
    of: Names | None = None
    equal: Literal["steps", "time"] = "steps"

    @model_validator(mode="after")
    def _others(self) -> "ComparisonSettings":
        if self.equal == "steps" and self.row in self.against:
            raise ValueError(f"against: {self.row} is the row itself; name another")
        return self

    @property
    def coupling(self) -> str:
        """The coupling of the row."""
        return self.row.partition("/")[0]


class SuiteSettings(Section):
    """Experiments, and what is to be decided of them; a list alone decides nothing.

    `primary` are the samples whose first metric decides, such as steps1; it is written before the
    runs. So is what is compared, paired by seed: the `comparisons`, or without any, every row with
    independent noise and with the best of `rivals`.
    """

    experiments: Names
    primary: str | None = None
    rivals: Names = ["independent"]
    comparisons: list[ComparisonSettings] = []
    matched: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "SuiteSettings":
        if self.primary is not None and not parse_key(self.primary):
            raise ValueError(
                f"primary: {self.primary!r} names no samples; take a key such as steps1 or heun18"
            )
        if self.comparisons and self.primary is None:
            raise ValueError("comparisons: there is no endpoint to compare by; add primary")
        if self.comparisons and "rivals" in self.model_fields_set:
            raise ValueError("rivals would do nothing beside comparisons; remove one of them")
        if bool(self.matched) != any(each.equal == "time" for each in self.comparisons):
            raise ValueError(
                "matched names the experiments of the comparisons with equal: time; give both, or "
                "neither"
            )
        named = {name for each in self.comparisons for name in each.of or ()}
        for name in sorted({*self.matched, *self.matched.values(), *named} - {*self.experiments}):
            raise ValueError(f"{name!r} is none of the suite's experiments; add it there")
        return self

    def opponents(self, experiment: str, comparison: ComparisonSettings) -> str | None:
        """The experiment whose rows are the rivals; None where nothing is compared."""
        if comparison.of is not None and experiment not in comparison.of:
            return None
        return experiment if comparison.equal == "steps" else self.matched.get(experiment)


def _whole(value: Any) -> Any:
    return {"experiments": value} if isinstance(value, list) else value


Suite = Annotated[
    SuiteSettings, BeforeValidator(_whole, json_schema_input_type=Names | SuiteSettings)
]
