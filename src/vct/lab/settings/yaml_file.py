"""Reading a YAML file that nobody vouches for.

YAML is larger than settings need. A short file can expand to any size (aliases of aliases, merges
of merges), refer to itself, hold the same key twice, or hold dates, sets and bytes. What `read`
returns is plain: dictionaries with words as keys, lists, text, truth values, None, and numbers of
64 bits.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from vct.lab.errors import UserError, quoted
from vct.lab.settings.yaml_versions import SafeLoader, disagreement

MOST_BYTES = 256 * 1024
MOST_CHARACTERS = 10_000
MOST_KEYS = 1000
MERGE = "tag:yaml.org,2002:merge"
MOST_VALUES = 100_000
MOST_LEVELS = 50
MOST_OPEN = 300
LARGEST = 2**63 - 1


def read(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises:
        UserError: one sentence, if the file is missing, unreadable, no YAML, too large, or holds
            more than plain data, or what YAML 1.1 and 1.2 read differently.
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
    return parse(text, str(path))


def parse(text: str, source: str) -> Any:
    """The content of a text in YAML; see `read`.

    Args:
        source: what a message calls the text.
    """
    try:
        _check_depth(text)
        found = yaml.load(text, Loader=_Loader)
        problem = disagreement(text) or impurity(found)
    except RecursionError:
        raise UserError(f"{source} is no valid YAML: it is nested without end.") from None
    except MemoryError:
        raise
    except Exception as error:  # a wrong tag, such as `!!bool x`, fails in many ways
        raise UserError(f"{source} is no valid YAML: {' '.join(str(error).split())}.") from None
    if problem:
        raise UserError(f"{source}: {problem}.")
    return found


def _check_depth(text: str) -> None:
    """Refuse what compiled parsers would go down in until they crash; they read events one by one.

    Raises:
        RecursionError: if something is open within more than MOST_OPEN others.
    """
    depth = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_OPEN:
            raise RecursionError


class _Loader(SafeLoader):
    """Refuses keys that stand twice, long scalars, and merges that grow without bound."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._seen: set[yaml.Node] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if node not in self._seen:  # once flattened, a key may have been merged and replaced
            self._seen.add(node)
            self._check_keys(node)
            if sum(_size(value) for key, value in node.value if key.tag == MERGE) > MOST_KEYS:
                raise self._too_many(node)
        super().flatten_mapping(node)
        if len(node.value) > MOST_KEYS:
            raise self._too_many(node)

    @staticmethod
    def _too_many(node: yaml.Node) -> yaml.YAMLError:
        return yaml.YAMLError(f"the section at {_line(node)} expands to over {MOST_KEYS} keys")

    def _check_keys(self, node: yaml.MappingNode) -> None:
        """YAML lets a later key silently replace an earlier one of the same name; we do not."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key of the section at {_line(node)} is no word")
            if key.value in seen:
                word = quoted(key.value)
                raise yaml.YAMLError(f"{word} stands twice in the section at {_line(node)}")
            seen.add(key.value)

    def construct_scalar(self, node: Any) -> Any:
        if len(node.value) > MOST_CHARACTERS:
            raise yaml.YAMLError(f"{_line(node)} holds a text of over {MOST_CHARACTERS} characters")
        return super().construct_scalar(node)


def _size(node: yaml.Node) -> int:
    """How many keys a merge of this node brings."""
    if isinstance(node, yaml.SequenceNode):
        return sum(_size(each) for each in node.value)
    return len(node.value)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def impurity(content: Any) -> str | None:
    """The first thing in `content` that is not plain data, as a sentence with its key."""
    return next(_impurities(content, "", 0, count()), None)


def _impurities(value: Any, key: str, level: int, visited: Iterator[int]) -> Iterator[str]:
    here = f"{key}: " if key else ""
    if level > MOST_LEVELS:
        yield f"{here[:200]}this is nested deeper than {MOST_LEVELS} levels"
    elif next(visited) > MOST_VALUES:
        yield f"{here}this expands to over {MOST_VALUES} values"
    elif isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str) or not name.isprintable():
                yield f"{here}the key {quoted(repr(name))} must be a word; put it in quotes"
                return
            yield from _impurities(part, f"{key}.{name[:80]}".lstrip("."), level + 1, visited)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _impurities(part, f"{key}.{index}".lstrip("."), level + 1, visited)
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield f"{here}the number is too large; it must lie within ±2^63"
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            yield f"{here}the text holds half a character; write it as UTF-8"
    elif value is not None and not isinstance(value, bool | int | float):
        kind = type(value).__name__
        yield f"{here}a value of type {kind} is not allowed here; put it in quotes if it is text"
