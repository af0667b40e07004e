"""What pydantic finds wrong in params.yaml, as one sentence for the user."""

import difflib
from typing import Any

from pydantic import ValidationError

from vct.lab.errors import LONGEST
from vct.lab.settings import registry
from vct.lab.settings.base import DOTTED, OWN, FamilySettings, members

FORMS = {
    "raw": "it is the name of a folder or .zip in data/raw; put it there, or a link to it",
    "teacher": "it is EXPERIMENT/COUPLING",
    "device": "it is auto, cpu, cuda or cuda:0",
    DOTTED: "it is a dotted path, such as antithetic.Antithetic, of letters, digits and _",
}
"""What a key, or a text of a pattern, must look like."""


def sentence(error: ValidationError, content: Any, known_keys: list[str]) -> str:
    """The first error as one sentence: key, what is wrong, what is allowed."""
    first = _cause(error.errors())
    path = [str(part) for part in first["loc"]]
    key = ".".join(part[:LONGEST] for part in _real_keys(path, content))
    kind, context = first["type"], first.get("ctx", {})
    if kind == "extra_forbidden" and path[-2:-1] == [OWN]:
        return f"{key}: unknown key; what your own class takes stands under 'options'."
    if kind == "extra_forbidden":
        return (
            f"{key}: unknown key{_near_key(path[-1], known_keys)}; remove it or correct its name."
        )
    if kind == "missing":
        return f"{key}: this key is missing; add it."
    if kind == "unknown_member":
        return _member_sentence(key, first)
    if kind == "value_error":
        message = str(context["error"]).rstrip(".")
        end = "" if message.endswith("?") else "."
        return f"{key}: {message}{end}" if key else f"{message}{end}"
    given = first["input"]
    shown = repr(given) if isinstance(given, str | int | float | bool | None) else "this value"
    message = first["msg"][0].lower() + first["msg"][1:]
    if kind == "string_pattern_mismatch":
        message = FORMS.get(key.rpartition(".")[2]) or FORMS.get(context["pattern"], message)
    if kind == "model_type":
        message = "there must be keys with values"
    return f"{key or 'it'}: {shown[:80]} is not allowed here: {message}."


def _cause(errors: list[Any]) -> Any:
    """The first one; where a key is missing that stands there misspelt, the one on its spelling."""
    first = errors[0]
    if first["type"] == "missing":
        *section, missing = first["loc"]
        for each in errors:
            *same, key = each["loc"]
            misspelt = difflib.get_close_matches(str(key), [str(missing)])
            if each["type"] == "extra_forbidden" and same == section and misspelt:
                return each
    return first


def _real_keys(path: list[str], content: Any) -> list[str]:
    """Drop the tags that pydantic puts into the path of a union."""
    keys, here, words = [], content, _words()
    for part in path:
        if isinstance(here, dict) and part in {str(key) for key in here}:
            here = next(value for key, value in here.items() if str(key) == part)
        elif isinstance(here, list) and part.isdigit() and int(part) < len(here):
            here = here[int(part)]
        elif isinstance(here, dict) and part in words:
            continue
        keys.append(part)
    return keys


def _words() -> set[str]:
    """What pydantic may call a member of a family in a path."""
    return {word for base in FamilySettings.__subclasses__() for _, word in members(base)}


def _member_sentence(key: str, first: Any) -> str:
    """On a section whose word is missing or unknown."""
    family, word, known = (first["ctx"][name] for name in ("family", "word", "known"))
    given = first["input"]
    if isinstance(given, dict) and word not in given:
        return f"{key}: the key '{word}' is missing; add it."
    wrong = given[word] if isinstance(given, dict) else given
    return f"{key}: {registry.unknown(family, str(wrong), known.split(', '))}"


def _near_key(key: str, known_keys: list[str]) -> str:
    # The same key may be known elsewhere.
    near = difflib.get_close_matches(key, [known for known in known_keys if known != key], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
