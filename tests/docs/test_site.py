"""The documentation builds without a warning, names all settings, and loads nothing from afar."""

import re
import subprocess
import sys

import pytest
from support import ROOT

from vct.lab.settings.base import members
from vct.lab.settings.couplings import CouplingSettings
from vct.lab.settings.schema import schema


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(ROOT / "docs")]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_setting_is_described(site):
    page = (site / "settings.html").read_text(encoding="utf-8")
    for name, definition in schema()["$defs"].items():
        for key in definition.get("properties", {}):
            assert re.search(rf">{key}[<:]", page), f"{name}.{key}"


def test_every_module_of_the_method_has_its_place(site):
    page = (site / "api.html").read_text(encoding="utf-8")
    theory = ROOT / "src/vct"
    for path in sorted(theory.rglob("*.py")):
        parts = path.relative_to(theory).with_suffix("").parts
        if parts[0] not in ("lab", "lazy") and not parts[-1].startswith("__"):
            assert f'id="module-vct.{".".join(parts)}"' in page, path


def test_links_to_the_api_are_links(site):
    """Sphinx does not warn of a name that it does not know."""
    for path in ["method.html", *(f"extending/{p.stem}.html" for p in pages())]:
        page = (site / path).read_text(encoding="utf-8")
        names = re.findall(r'(<[^<>]*>)<code class="xref py[^"]*"[^>]*>(.*?)</code>', page, re.S)
        assert [name for tag, name in names if not tag.startswith("<a ")] == [], path


def pages():
    return sorted((ROOT / "docs/extending").glob("*.md"))


def test_pages_load_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page)


def test_the_method_names_every_coupling_as_tables_do():
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| `vct\.(\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted(
        (kind, settings.label or kind, settings.target.rpartition(":")[2])
        for settings, kind in members(CouplingSettings)
        if kind != "own"
    )
