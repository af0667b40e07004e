"""Reading a YAML file that nobody vouches for.

YAML is larger than settings need. A short file can expand to any size (aliases of aliases, merges
of merges), refer to itself, hold the same key twice, or hold dates, sets and bytes. What `read`
returns is plain: dictionaries with words as keys, lists, text, truth values, None, and numbers of
64 bits.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vct.lab.errors import UserError, quoted

MOST_BYTES = 256 * 1024
MOST_CHARACTERS = 10_000
MOST_VALUES = 100_000
MOST_LEVELS = 50
MOST_OPEN = 300
LARGEST = 2**63 - 1


def read(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: one sentence, if the file is missing, unreadable, no YAML, too large, or holds
            more than plain data.
    """
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES} bytes; it is no settings file.")
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run vct in the folder that holds it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; save it as UTF-8 text.") from None
    try:
        if _open_brackets(text) > MOST_OPEN:
            raise RecursionError
        found = yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise UserError(f"{path} is no valid YAML: it is nested without end.") from None
    except MemoryError:
        raise
    except Exception as error:  # a wrong tag, such as `!!bool x`, fails in many ways
        raise UserError(f"{path} is no valid YAML: {' '.join(str(error).split())}.") from None
    if problem := impurity(found):
        raise UserError(f"{path}: {problem}.")
    return found


def _open_brackets(text: str) -> int:
    """Most brackets that stand open at once: PyYAML takes seconds for thousands of them."""
    level = most = 0
    for character in text:
        if character in "[{":
            level += 1
            most = max(most, level)
        elif character in "]}":
            level -= 1
    return most


def impurity(content: Any) -> str | None:
    """The first thing in `content` that is not plain data, as a sentence with its key."""
    return next(_impurities(content, "", 0), None)


def _impurities(value: Any, key: str, level: int) -> Iterator[str]:
    here = f"{key}: " if key else ""
    if level > MOST_LEVELS:
        yield f"{here}this is nested deeper than {MOST_LEVELS} levels"
    elif isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str) or not name.isprintable():
                yield f"{here}the key {quoted(repr(name))} must be a word; put it in quotes"
                return
            yield from _impurities(part, f"{key}.{name[:80]}".lstrip("."), level + 1)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _impurities(part, f"{key}.{index}".lstrip("."), level + 1)
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield f"{here}the number is too large; it must lie within ±2^63"
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{here}the text holds half a character; write it as UTF-8"
    elif value is not None and not isinstance(value, bool | int | float):
        kind = type(value).__name__
        yield f"{here}a value of type {kind} is not allowed here; put it in quotes if it is text"


class _Loader(yaml.SafeLoader):
    """Checks how much a document would expand to before anything is built from it."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return self.construct_document(node)


class _Size(NamedTuple):
    """Of a node with all aliases and merges written out."""

    values: int
    levels: int


def _measure(node: yaml.Node, known: dict[int, _Size | None]) -> _Size:
    """Size of a node; each node is visited once, however often it is referred to."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.YAMLError(f"the section at {_line(node)} refers to itself")
        return size
    known[id(node)] = None
    parts = [_measure(part, known) for part in _parts(node)]
    levels = 1 + max(part.levels for part in parts) if parts else 0
    size = _Size(1 + sum(part.values for part in parts), levels)
    if size.values > MOST_VALUES:
        raise yaml.YAMLError(f"the section at {_line(node)} expands to over {MOST_VALUES} values")
    if size.levels > MOST_LEVELS:
        raise yaml.YAMLError(f"{_line(node)} is nested deeper than {MOST_LEVELS} levels")
    known[id(node)] = size
    return size


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        return [value for _, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if len(node.value) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"the text at {_line(node)} is over {MOST_CHARACTERS} characters long")
    return []


def _check_keys(node: yaml.MappingNode) -> None:
    """YAML lets a later key silently replace an earlier one of the same name; we do not."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or len(key.value) > MOST_CHARACTERS:
            raise yaml.YAMLError(f"a key of the section at {_line(node)} is no word")
        if key.value in seen:
            raise yaml.YAMLError(f"'{key.value[:80]}' stands twice in the section at {_line(node)}")
        seen.add(key.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
