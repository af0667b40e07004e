"""Files at the top agree with each other and with the package."""

import ast
import itertools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.version import Version
from support import ROOT

from vct import __version__
from vct.lab.settings import reading
from vct.lab.workflow import dvc

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = sorted((ROOT / "src" / "vct").rglob("*.py"))


def plain(name):
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def canonical(requirement):
    """Name as pip compares it, and version."""
    name, version = requirement.split("==")
    return plain(name), version.strip()


def extras():
    """What the extras ask for, but for other extras of this project."""
    listed = itertools.chain(*PROJECT["optional-dependencies"].values())
    return [requirement for requirement in listed if not requirement.startswith("vct[")]


def pinned():
    """Every pin of pyproject.toml."""
    return dict(map(canonical, extras()))


def conda():
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in content["dependencies"] if isinstance(entry, str)]
    (nested,) = (entry for entry in content["dependencies"] if isinstance(entry, dict))
    return plain, nested["pip"]


def test_every_requirement_of_an_extra_is_an_exact_pin_stated_once():
    assert len(pinned()) == len(extras())


def test_the_library_needs_three_packages_and_its_bounds_admit_the_pins():
    """A user's environment has a torch of its own; the laboratory's numbers were made with one."""
    bounds = dict(requirement.split(">=") for requirement in PROJECT["dependencies"])
    assert sorted(bounds) == ["numpy", "scipy", "torch"]
    assert all(Version(pinned()[name]) >= Version(least) for name, least in bounds.items())


def test_development_has_everything_that_the_tests_use():
    assert "vct[lab,docs]" in PROJECT["optional-dependencies"]["dev"]


def test_environment_and_pyproject_agree_on_every_pin():
    _, pip = conda()
    pins = [entry for entry in pip if not entry.startswith("-e")]
    assert dict(canonical(pin) for pin in pins) == pinned()
    assert len({canonical(pin)[0] for pin in pins}) == len(pins)


def test_environment_has_a_python_that_the_project_allows():
    plain, _ = conda()
    (python,) = (entry for entry in plain if entry.startswith("python="))
    assert "pip" in plain
    given = tuple(int(part) for part in python.removeprefix("python=").split("."))
    least = PROJECT["requires-python"].removeprefix(">=")
    assert given >= tuple(int(part) for part in least.split("."))


def test_constraints_agree_with_the_pins():
    """constraints.txt pins what the dependencies need in turn."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    given = [line.split(";")[0] for line in lines if line.strip() and not line.startswith("#")]
    constraints = dict(canonical(line) for line in given)
    pins = pinned()
    assert {name: version for name, version in constraints.items() if name in pins} == {
        name: version for name, version in pins.items() if name in constraints
    }
    assert len(constraints) == len(given)


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == __version__
    assert citation["license"] == PROJECT["license"]


def test_dvc_file_is_that_of_the_settings():
    params = reading.load(ROOT / "params.yaml")
    written = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert written == dvc.text(params, "cpu"), "write it again with: vct dvc cpu"


def imported(path):
    """Names of all modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                yield str(node.args[0].value)


def test_what_is_imported_is_required():
    """A dependency of a dependency may go with its next version."""
    roots = {name.split(".")[0] for path in SOURCES for name in imported(path)}
    listed = itertools.chain(*(PROJECT["optional-dependencies"][name] for name in ("load", "lab")))
    lab = {canonical(each)[0] for each in listed if "==" in each}
    packages = packages_distributions()
    foreign = roots - sys.stdlib_module_names - {"vct"}
    assert [name for name in sorted(foreign) if not lab & set(map(plain, packages[name]))] == []


def test_one_module_imports_mlflow():
    users = {
        str(path.relative_to(ROOT / "src/vct"))
        for path in SOURCES
        if any(name.split(".")[0] == "mlflow" for name in imported(path))
    }
    assert users == {"lab/tracking/store.py"}


@pytest.mark.parametrize("library", ["snakemake", "dvc"])
def test_the_package_imports_no_engine(library):
    """The engines call `vct`, and `vct` calls their commands; neither lives inside the other."""
    users = [
        str(path)
        for path in SOURCES
        if any(name.split(".")[0] == library for name in imported(path))
    ]
    assert not users


def test_settings_hold_no_paths_of_a_machine():
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert not re.search(r"(^|[\s\"'])(/|~|[A-Za-z]:\\)\w", text)
