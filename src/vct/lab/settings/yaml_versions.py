"""What the two versions of YAML read differently.

vct and Snakemake read params.yaml by version 1.1 (PyYAML), DVC by 1.2 (ruamel.yaml). So 010 is
eight to the ones and ten to the other, 1e-3 a text or a number, yes true or a text. Each scalar is
made by both; `disagreement` names the first that comes out as two things.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from ruamel.yaml import YAML, YAMLError

from vct.lab.errors import quoted

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's, compiled where it was built so: ten times as fast."""

MERGE = "tag:yaml.org,2002:merge"
LARGEST = 2**63 - 1
"""Of whole numbers that can be shown."""
ROUND = 1e9
"""Below, a whole number may have been meant by 1e5."""
POWER = re.compile(r"([-+]?\d+)(\.\d*)?e([-+]?)(\d+)", re.IGNORECASE)


def disagreement(text: str) -> str | None:
    """The first place of a YAML text that the two versions read differently: its line, what it is
    to both, and how to write it. None if there is none.

    Raises:
        YAMLError: if it is no YAML of version 1.2.
        yaml.YAMLError: if it is no YAML of version 1.1.
    """
    older = SafeLoader(text)
    read = older.get_single_node()
    try:
        # With the compiled parser where there is one, as DVC.
        return _differing(older, read, YAML(typ="safe"), text)
    except YAMLError:
        # The other one reads more, and can say what is wrong with it.
        if problem := _differing(older, read, YAML(typ="safe", pure=True), text):
            return problem
        raise


def _differing(older: Any, read: Any, newer: YAML, text: str) -> str | None:
    """What the text, which `older` has read, is otherwise to a parser of version 1.2."""
    pairs = _pairs(read, newer.compose(text))
    for one, other, is_key in pairs:
        line = f"line {(one or other).start_mark.line + 1}"
        if not _is_scalar(one, other):
            return f"{line}: YAML 1.1 and YAML 1.2 (DVC) read this differently; put texts in quotes"
        if one.tag == other.tag == MERGE:
            continue
        values = _made(older, one), _made(newer.constructor, other)
        what = f"the key {quoted(one.value)}" if is_key else quoted(one.value)
        if any(isinstance(value, Exception) for value in values):
            return f"{line}: {what} is a word of YAML's own; put it in quotes"
        if not _same(*values):
            return (
                f"{line}: {what} is {_shown(values[0])} to vct and Snakemake (YAML 1.1) but "
                f"{_shown(values[1])} to DVC (YAML 1.2); write {_advice(one.value, values, is_key)}"
            )
    return None


def agreed(text: str) -> bool:
    """Whether both make the same of a plain scalar, such as `1.0e-3`."""
    return _same(yaml.safe_load(text), YAML(typ="safe", pure=True).load(text))


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any, bool]]:
    """Scalars of the two documents side by side, in order, and whether each is a key; nodes that
    are not both scalars where the documents part."""
    waiting, seen = [(one, other, False)], set()
    while waiting:
        one, other, is_key = waiting.pop()
        if one in seen or one is other is None:
            continue
        seen.add(one)
        same_kind = type(one).__name__ == type(other).__name__
        if not same_kind or _is_scalar(one, other) or len(one.value) != len(other.value):
            yield one, other, is_key
        elif isinstance(one, yaml.SequenceNode):
            parts = zip(one.value, other.value, strict=True)
            waiting += reversed([(*pair, False) for pair in parts])
        else:
            entries = zip(one.value, other.value, strict=True)
            for keys, values in reversed([tuple(zip(*entry, strict=True)) for entry in entries]):
                waiting += [(*values, False), (*keys, True)]


def _is_scalar(*nodes: Any) -> bool:
    return all(type(node).__name__ == "ScalarNode" for node in nodes)


def _made(constructor: Any, node: Any) -> Any:
    """What a scalar becomes; of one that cannot be made, the error."""
    try:
        return constructor.construct_object(node)
    except (YAMLError, yaml.YAMLError, ValueError) as error:
        return error


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    unequal_to_themselves = isinstance(one, float) and math.isnan(one) and math.isnan(other)
    return bool(one == other) or unequal_to_themselves


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _written(value)
    if _is_number(value):
        return f"the number {value}"
    return "text" if isinstance(value, str) else "something else"


def _is_number(value: Any) -> bool:
    """Whether it is a number, or true or false, that can be shown."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= LARGEST)


def _advice(text: str, values: tuple[Any, Any], is_key: bool) -> str:
    """How to write what may have been meant, so that both make the same of it."""
    as_text = "it in quotes" if '"' in text or "\\" in text else f'"{text[:80]}"'
    forms = [_number(text, value) for value in values if value is None or _is_number(value)]
    if is_key or not forms:
        return as_text
    return f"{' or '.join(dict.fromkeys(forms))}, or {as_text} for text"


def _number(text: str, value: Any) -> str:
    """Forms of `value` near to what was written."""
    if isinstance(value, float) and (found := POWER.fullmatch(text)):
        first, rest, sign, power = found.groups()
        mended = f"{first}{rest if rest and rest != '.' else '.0'}e{sign or '+'}{power}"
        if yaml.safe_load(mended) == value and agreed(mended):
            whole = value.is_integer() and abs(value) < ROUND
            return f"{int(value)} or {mended}" if whole else mended
    return _written(value)


def _written(value: Any) -> str:
    return str(yaml.safe_dump(value)).splitlines()[0]
