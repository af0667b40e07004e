"""What the pages on extending say works: their files, settings and commands, as a reader uses them.

A Python block whose first line names a file is that file; any other is run. A YAML block is merged
into a small params.yaml; lines `$ vct ...` of a console block are run.
"""

import importlib
import re
import shlex
import sys

import pytest
import yaml
from support import MLP, ROOT, real_params

from vct.lab import cli

PAGES = sorted(path for path in (ROOT / "docs/extending").glob("*.md") if path.stem != "index")
PAGES.append(ROOT / "README.md")
EXAMPLES = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
"""Tested for themselves."""


def small_params():
    """The project's experiments on mixture and digits, with next to no budget."""
    content = real_params()
    content["datasets"]["mixture"] |= {"train": 64, "test": 32}
    content["extractors"]["digits-classifier"]["epochs"] = 1
    content["suites"] = {"cpu": ["mixture", "digits"]}
    content["runtime"] = {"threads": 1, "tracking": False}
    content["experiments"] = {name: content["experiments"][name] for name in ("mixture", "digits")}
    for experiment in content["experiments"].values():
        experiment["train"] |= {"network": MLP, "batch_size": 8, "steps": 6, "snapshots": 1}
        experiment["couplings"]["variational"]["encoder"] = MLP
        experiment["sample"] |= {"num_samples": 16, "batch_size": 8, "snapshot_samples": 0}
    return content


def merged(old, new):
    """`new` over `old`; a section that names a member of a family replaces the one before."""
    names_one = isinstance(new, dict) and {"kind", "source", "metric"} & new.keys()
    if names_one or not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return old | {key: merged(old.get(key), value) for key, value in new.items()}


def blocks(page):
    """Language and text of each fenced block of a page."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [(language, text) for language, text in found if text not in EXAMPLES]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A reader's folder; what is imported there is forgotten."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - known:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_does_what_it_says(page, here, capsys):
    params = small_params()
    found = blocks(page)
    assert found
    for language, text in found:
        named = re.match(r"# (\w+\.py)\b", text)
        if language == "python" and named:
            (here / named[1]).write_text(text, encoding="utf-8")
            importlib.import_module(named[1].removesuffix(".py"))
        elif language == "python":
            exec(compile(text, page.name, "exec"), {"__name__": "__main__"})
        elif language == "yaml":
            params = merged(params, yaml.safe_load(text))
            (here / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
            assert cli.main(["check"]) == 0, capsys.readouterr().err
        elif language == "console":
            for command in re.findall(r"^\$ vct (.*)$", text, re.M):
                assert cli.main(shlex.split(command, comments=True)) == 0, capsys.readouterr().err
