"""Thousands of wrong params.yaml files: each must be accepted or refused in one sentence."""

import contextlib
import copy
import datetime
import io
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from vct.lab import cli

JUNK: list[Any] = [
    *(None, True, -1, 0, 1, 2.5, -0.0, 1e308, 10**30, float("nan"), float("inf")),
    *("", " ", "x", "../x", "a b", "a;b", "$(x)", "'", "é", chr(0x202E), "0", "1e3", "-rf"),
    *([], [[]], [1, 1], [None], {}, {"": 1}, {1: 2}),
    *({"kind": "os.system"}, {"kind": "a.b.C"}),
    *(datetime.date(2020, 1, 1), b"x", "x" * 5000),
]


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values inside nested mappings and lists."""
    pairs = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    found = []
    for key, value in pairs:
        found += [(*path, key), *places(value, (*path, key))]
    return found


def spoiled(content: dict[str, Any], draw: random.Random) -> bytes:
    """The file with one to three values replaced, removed, renamed or added, or bytes changed."""
    content = copy.deepcopy(content)
    for _ in range(draw.randint(1, 3)):
        *way, last = draw.choice(places(content))
        parent = content
        for key in way:
            parent = parent[key]
        action = draw.choice(["replace", "replace", "remove", "rename", "add"])
        if action == "replace":
            parent[last] = copy.deepcopy(draw.choice(JUNK))
        elif action == "remove" or not isinstance(parent, dict):
            del parent[last]
        elif action == "rename":
            parent[draw.choice(["x", "../x", "a b", f"{last}s", ""])] = parent.pop(last)
        else:
            parent[f"{last}_"] = draw.choice(JUNK)
    text = bytearray(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
    if draw.random() < 0.3:
        for _ in range(draw.randint(1, 5)):
            text[draw.randrange(len(text))] = draw.randrange(256)
    return bytes(text)


def try_all(folder: Path, count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Give `vct check` so many files; return how each ended, and what should not have ended so."""
    original = Path(__file__).parents[2] / "params.yaml"
    content = yaml.safe_load(original.read_text())
    outcomes, bad = Counter[str](), []
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        for number in range(count):
            Path("params.yaml").write_bytes(spoiled(content, random.Random(f"{seed}-{number}")))
            outcome, detail = _check()
            outcomes[outcome] += 1
            bad += [f"input {number}: {outcome}: {detail}"] if detail else []
    finally:
        os.chdir(before)
    return outcomes, bad


def _check() -> tuple[str, str]:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(["check"])
    except BaseException as error:
        return "traceback", repr(error)
    lines = errors.getvalue().splitlines()
    if code == 0:
        return "accepted", ""
    one = code == 2 and len(lines) == 1 and lines[0].startswith("vct: error: params.yaml")
    return ("refused in one sentence", "") if one else ("refused otherwise", errors.getvalue())
