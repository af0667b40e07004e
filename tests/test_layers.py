"""Who may import whom (CONTRIBUTING.md): theory below, the laboratory above, floor by floor."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from vct.lab.settings import params  # noqa: F401  (it knows all families)
from vct.lab.settings.base import FamilySettings, members

PACKAGE = ROOT / "src/vct"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FLOORS = (
    ("errors", "versions"),
    ("files",),
    ("records",),
    ("settings",),
    ("processes",),
    ("data",),
    ("model",),
    ("build",),
    ("runs",),
    ("training", "sampling", "metrics", "report", "pretrained"),
    ("reuse",),
    ("tracking", "estimate", "diagnosis"),
    ("workflow",),
    ("commands",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
THEORY = [name for name in MODULES if not name.startswith("vct.lab") and name != "vct.__main__"]
LAB = [name for name in MODULES if name.startswith("vct.lab.")]
LIBRARY = {"torch", "numpy", "scipy", "vct"}
"""What `pip install .` brings."""


def imports(name):
    """Modules that a module imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{name} imports by a relative path"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Constant) and str(node.value) in MODULES:  # for importlib
            yield node.value


def room(name):
    """`vct.lab.files.whole` is in the room `files`."""
    return name.split(".")[2]


@pytest.mark.parametrize("name", THEORY)
def test_theory_imports_no_laboratory_and_needs_three_libraries(name):
    for imported in imports(name):
        if (name, imported) == ("vct", "vct.lab.reuse"):
            continue  # vct.load, when it is called
        assert not imported.startswith("vct.lab"), f"{name} imports {imported}"
        top = imported.partition(".")[0]
        assert top in LIBRARY or top in sys.stdlib_module_names, f"{name} imports {imported}"


@pytest.mark.parametrize("name", LAB)
def test_a_floor_imports_what_stands_below_it(name):
    assert room(name) in FLOOR, f"{name} stands on no floor"
    for imported in imports(name):
        if imported in MODULES and imported.startswith("vct.lab.") and room(imported) != room(name):
            assert FLOOR[room(imported)] < FLOOR[room(name)], f"{name} imports {imported}"


FAMILIES = [base for base in FamilySettings.__subclasses__() if base.__subclasses__()]
BUILT_IN = [member for base in FAMILIES for member, word in members(base) if word != "own"]
TESTS = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]


@pytest.mark.parametrize("member", BUILT_IN, ids=lambda member: member.__name__)
def test_a_member_of_a_family_has_one_file_and_a_test(member):
    module, _, name = member.target.partition(":")
    if module.startswith("vct."):  # others are torch's optimisers
        assert module in MODULES
        tested = re.compile(
            rf"from {module} import|from {module.rpartition('.')[0]} import .*{name}"
        )
        assert any(tested.search(text) for text in TESTS), f"no test imports {module}"


JSON = {
    "vct.lab.files.whole": "reads and writes whole files",
    "vct.lab.files.tensors": "the header of a safetensors file",
    "vct.lab.records": "keys of our files",
    "vct.lab.settings.run": "hashes settings",
    "vct.lab.estimate.rows": "compares settings",
    "vct.lab.workflow.handshake": "reads what DVC says",
    "vct.lab.tracking.files": "reads a log that is being written",
    "vct.lab.tracking.names": "MLflow's parameters are texts",
    "vct.lab.tracking.datasets": "MLflow takes facts of a data set as a text",
    "vct.lab.tracking.view": "what MLflow keeps in a browser",
    "vct.lab.tracking.app": "a page for a browser",
}


def test_keys_of_json_files_are_spelled_in_one_place():
    """Others use records, or say here what they need JSON for."""
    found = {name for name in LAB if "json" in imports(name)}
    assert found == set(JSON), f"use vct.lab.records in {found - set(JSON)}"


@pytest.mark.parametrize("rooms", ["settings", "records", "report"])
def test_torch_is_not_needed_to_read_and_report(rooms):
    names = [name for name in LAB if room(name) == rooms]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


COMMANDS = [name for name in LAB if room(name) == "commands"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_short(name):
    assert len(Path(MODULES[name]).read_text().splitlines()) <= 60
