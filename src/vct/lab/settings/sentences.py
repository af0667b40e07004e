"""What pydantic finds wrong in params.yaml, as one sentence for the user."""

import difflib
from typing import Any

from pydantic import ValidationError

from vct.lab.errors import LONGEST
from vct.lab.settings import registry


def sentence(error: ValidationError, content: Any, known_keys: list[str]) -> str:
    """The first error as one sentence: key, what is wrong, what is allowed."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(part[:LONGEST] for part in _real_keys(path, content))
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden":
        return (
            f"{key}: unknown key{_near_key(path[-1], known_keys)}; remove it or correct its name."
        )
    if kind == "missing":
        return f"{key}: this key is missing; add it."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _kind_sentence(key, first)
    if kind == "value_error":
        message = str(context["error"]).rstrip(".")
        end = "" if message.endswith("?") else "."
        return f"{key}: {message}{end}" if key else f"{message}{end}"
    given = first["input"]
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else "this value"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{key}: {shown[:80]} is not allowed here: {message}."


def _real_keys(path: list[str], content: Any) -> list[str]:
    """Drop the tags that pydantic puts into the path of a union."""
    keys, here = [], content
    for part in path:
        if isinstance(here, dict) and part in {str(key) for key in here}:
            here = next(value for key, value in here.items() if str(key) == part)
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, dict) and part in _tags(here):
            continue
        keys.append(part)
    return keys


def _tags(section: dict[Any, Any]) -> tuple[Any, ...]:
    """What pydantic may call a section in a path; an average without a kind is constant."""
    return (section.get("kind", "constant"), section.get("source"), "own")


def _kind_sentence(key: str, first: Any) -> str:
    context = first["ctx"]
    given = first["input"]
    field = str(context.get("discriminator", "kind")).strip("'")
    field = "kind" if "_tag" in field else field
    if not isinstance(given, dict) or field not in given:
        return f"{key}: the key '{field}' is missing; add it."
    tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
    known = [tag for tag in tags if tag != "own"]
    family = key.split(".")[-1] if field == "kind" else "data source"
    if ".couplings." in f".{key}." and not key.endswith("encoder"):
        family = "coupling"
    if key.startswith("extractors."):
        family = "extractor"
    return f"{key}: {registry.unknown(family, str(given[field]), known)}"


def _near_key(key: str, known_keys: list[str]) -> str:
    # The same key may be known elsewhere.
    near = difflib.get_close_matches(key, [known for known in known_keys if known != key], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
