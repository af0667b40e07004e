"""Thousands of scalars in params.yaml, as keys and as values: what vct accepts, DVC reads alike."""

import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.serialize import parse_yaml

from vct.lab.errors import UserError
from vct.lab.settings import reading, yaml_file

FILE = """\
datasets:
  mix: {{source: mixture, train: 256, test: 64}}
  {key}: &shared {{source: mixture, train: {flow}, {flow_key}: 64}}
experiments:
  m:
    train:
      dataset: mix
      steps: {value}
      merged: {{<<: *shared, test: 3}}
    seeds: [0, {flow}]
suites:
  cpu:
    - m
    - {value}
"""
KNOWN = (
    *("00", "010", "08", "0777", "-010", "+010", "0o17", "+0o17", "0o8", "0b1", "0B1", "0x1F"),
    *("0X1F", "1_000", "1__0", "_1", "0_7", "1:30", "1:30.5", "-1:30", "190:20:30", "1:60"),
    *("1e3", "1e-3", "1.0e3", "1.0e-3", "1.e+3", "1E3", "12e03", ".5", "+.5", "._1", "1.", "-0.0"),
    *(".inf", "+.inf", "-.INF", ".nan", ".NaN", "inf", "nan", "1e999", "9" * 30),
    *("yes", "No", "ON", "off", "y", "N", "true", "True", "tRue", "FALSE", "null", "~", "Null"),
    *("=", "<<", "2020-01-01", "2020-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43"),
    *('"010"', "'yes'", "!!str 010", "!!int 010", "!!int '010'", "!!float 1", "!!bool yes"),
    *("x#y", "x:y", "a\\x85b", "a\u2028b", "\u00a0010", "0\u0661", "é", "*", "&", "%1", "@a", "`"),
)
LETTERS = "0011223456789__..--++:eEoxXbBnyNYtrfailsuTFO~=< "
FORMS = ("{0}", "{0}", "{0}{0}", "0{0}", "-{0}", "{0}:{1}", "{0}e{1}", "{0}.{1}e-{1}", "0o{0}")


def scalar(draw: random.Random) -> str:
    """A scalar as somebody might write it, or a near miss."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(KNOWN)
    if kind < 0.7:
        numbers = [str(draw.choice((draw.randrange(10), draw.randrange(10**4)))) for _ in "ab"]
        return draw.choice(FORMS).format(*numbers)
    return "".join(draw.choices(LETTERS, k=draw.randint(1, 7))).strip() or "0"


def slots(draw: random.Random) -> tuple[dict[str, str], str]:
    """What to write into FILE: one odd scalar, as a value or a key, in a block or in brackets; and
    the place and the scalar in words."""
    filled = {"key": "other", "flow_key": "test", "value": "40", "flow": "1"}
    place = draw.choice(list(filled))
    filled[place] = scalar(draw)
    return filled, f"{place} {filled[place]!r}"


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal, types of numbers and order of keys included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def try_all(folder: Path, count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Read so many files; return how each ended, and what vct and DVC read differently."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "params.yaml"
    outcomes, different = Counter[str](), []
    for number in range(count):
        filled, words = slots(random.Random(f"scalar {seed}-{number}"))
        path.write_text(FILE.format(**filled), encoding="utf-8")
        outcome = _outcome(path)
        outcomes[outcome] += 1
        if outcome not in ("read alike", "refused in one sentence"):
            different.append(f"file {number}, {words}: {outcome}")
    return outcomes, different


def _outcome(path: Path) -> str:
    try:
        reading.load(path)
    except UserError as error:
        if "\n" in str(error) or not str(error).startswith(str(path)):
            return "refused otherwise"
    except Exception:
        return "traceback"
    try:
        ours = yaml_file.read(path)
    except UserError:
        return "refused in one sentence"
    try:
        theirs = parse_yaml(path.read_text(encoding="utf-8"), path)
    except DvcException:
        return "refused by DVC alone"
    return "read alike" if same(ours, theirs) else "read differently"
