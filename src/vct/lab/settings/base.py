"""What all sections of params.yaml share: validation, ranges of numbers, and families of classes.

A family is what a field can name by a word: a coupling, a network, a source of data. Each member is
a settings class that says what it builds (`target`) and what a reader calls it (`label`); a dotted
path in the place of the word names a class of the user's.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Union, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Section(BaseModel):
    """A part of params.yaml. Numbers are not read from strings, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FamilySettings(Section):
    """A section that builds something; see `vct.lab.build.instantiate`."""

    family: ClassVar[str]
    """What a message calls a member, such as "coupling"."""
    word: ClassVar[str] = "kind"
    """The key that names the member."""
    target: ClassVar[str]
    """What is built, "module:attribute"; it is imported when it is built."""
    label: ClassVar[str] = ""
    """What a table calls it; the name in params.yaml where this is empty."""
    aside: ClassVar[tuple[str, ...]] = ()
    """Fields that are not for what is built."""
    interface: ClassVar[str] = ""
    """What a user's class must be, "module:class"."""

    @property
    def member(self) -> str:
        """The word, or the dotted path, that names the member."""
        return str(getattr(self, self.word))

    @property
    def builds(self) -> str:
        """What is built, "module:attribute"."""
        return self.target

    @property
    def is_own(self) -> bool:
        """Whether that is a user's class."""
        return False

    def misfit(self, **offered: Any) -> str | None:
        """Why it cannot be built for what is offered (see `build.instantiate`), if so."""
        return None

    def arguments(self) -> dict[str, Any]:
        """The fields, as keyword arguments of what is built; nested sections are built before."""
        passed = [name for name in type(self).model_fields if name not in (self.word, *self.aside)]
        return {name: getattr(self, name) for name in passed}


OWN = "own"
"""What stands for the word of a user's class."""
DOTTED = r"^[\w]+(\.[\w]+)+$"


class OwnSettings(FamilySettings):
    """A user's class, named by its dotted path; `options` are its keyword arguments."""

    options: dict[str, Any] = {}

    @property
    def builds(self) -> str:
        module, _, attribute = self.member.rpartition(".")
        return f"{module}:{attribute}"

    @property
    def is_own(self) -> bool:
        return True

    def arguments(self) -> dict[str, Any]:
        return dict(self.options)


DottedPath = Annotated[str, Field(pattern=DOTTED, max_length=200)]


class _Choice(Discriminator):
    """A discriminator that may stand in a union; pydantic's cannot be hashed with a context."""

    __hash__ = object.__hash__


def any_of(base: type[FamilySettings], default: str | None = None) -> Any:
    """The type of a field that takes any member of a family that is known by now.

    Args:
        base: the members are its subclasses with a word of their own, and one for a user's class.
        default: the member that is meant where the word is missing.
    """
    tagged = [Annotated[member, Tag(word)] for member, word in members(base)]

    def word_of(value: Any) -> str | None:
        """Tag of the union: a dotted word is the user's own class."""
        get = value.get if isinstance(value, dict) else lambda key, _: getattr(value, key, None)
        word = value if isinstance(value, str) else get(base.word, None)
        if word is None:
            return default
        return OWN if isinstance(word, str) and "." in word else str(word)

    known = ", ".join(word for _, word in members(base) if word != OWN)
    context: dict[str, int | str | float] = {
        "family": base.family,
        "word": base.word,
        "known": known,
    }
    pick = _Choice(
        word_of,
        custom_error_type="unknown_member",
        custom_error_message="unknown member of a family",
        custom_error_context=context,
    )
    return Annotated[Union[tuple(tagged)], pick]  # noqa: UP007


def members(base: type[FamilySettings]) -> Iterator[tuple[type[FamilySettings], str]]:
    """Settings classes of a family, each with its word; `OWN` for that of a user's class."""
    if issubclass(base, OwnSettings):
        yield base, OWN
    elif base.word in base.model_fields:
        for word in get_args(base.model_fields[base.word].annotation):
            yield base, word
    for below in base.__subclasses__():
        yield from members(below)


def default(value: Any) -> Callable[[Any], bool]:
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
