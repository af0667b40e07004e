"""Built-in names, nearest names, and a user's own class."""

import re
import string
import sys
from pathlib import Path

import pytest
import torch
from support import pairing, run_settings

from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.settings import params, registry  # noqa: F401  (params knows all families)
from vct.lab.settings.base import FamilySettings, members

OWN = '''
from vct.couplings.base import Coupling

class {name}(Coupling):
    """Shifts the noise."""

    def __init__(self, shape, by=0.0):
        super().__init__(shape)
        self.by = by

    def couple(self, x, eps, labels=None):
        return eps + self.by
'''


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """An empty current folder, from which modules may be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


MEMBERS = [
    member
    for base in FamilySettings.__subclasses__()
    for member, word in members(base)
    if word != "own"
]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.__name__)
def test_what_a_member_builds_can_be_imported(member):
    built = registry.find(member.target)
    assert callable(built)
    if member.interface:
        assert issubclass(built, registry.find(member.interface))


def test_members_of_a_family_build_different_things():
    assert len(MEMBERS) > 20
    assert len({member.target for member in MEMBERS}) == len(MEMBERS)


def test_own_coupling_from_a_file_here_is_built_and_used(own_folder):
    (own_folder / "shifted.py").write_text(OWN.format(name="Shifted"))
    settings = run_settings({"kind": "shifted.Shifted", "options": {"by": 2.5}}).coupling
    coupling = build.instantiate(settings, shape=(2, 1, 1), sigma_data=0.5, t_max=80.0)
    assert coupling.shape == (2, 1, 1)
    eps = torch.zeros(3, 2, 1, 1)
    assert torch.equal(coupling.couple(eps, eps), eps + 2.5)
    pair = coupling.pair(eps, eps, pairing(3))
    assert pair.kl.tolist() == [0, 0, 0]


def test_own_class_in_a_package_here(own_folder):
    (own_folder / "mine").mkdir()
    (own_folder / "mine" / "couplings.py").write_text(OWN.format(name="Deep"))
    assert registry.find("mine.couplings:Deep").__name__ == "Deep"


def test_own_class_that_takes_other_settings(own_folder):
    (own_folder / "picky.py").write_text(OWN.format(name="Picky"))
    settings = run_settings({"kind": "picky.Picky", "options": {"to": 1}}).coupling
    with pytest.raises(UserError, match=r"picky\.Picky.*to"):
        build.instantiate(settings, shape=(2, 1, 1))


@pytest.mark.parametrize(
    ("file", "content", "path", "why"),
    [
        ("absent", "", "nowhere.Class", "cannot be imported (ModuleNotFound"),
        ("empty_one", "", "empty_one.Class", "cannot be imported of {here}/empty_one.py ("),
        ("string", "", "string.Class", "cannot be imported of {library}/string.py ("),
        ("broken_one", "def (:", "broken_one.Class", "fails when its file is read (SyntaxError"),
        ("needs_one", "import not_installed_at_all", "needs_one.Class", "fails when its file is"),
    ],
)
def test_class_that_cannot_be_imported(own_folder, file, content, path, why):
    """A file called as one of the standard library is hidden by that one."""
    (own_folder / f"{file}.py").write_text(content)
    why = why.format(here=own_folder, library=Path(string.__file__).parent)
    with pytest.raises(UserError, match=re.escape(f"coupling '{path}' {why}")):
        registry.find(":".join(path.rsplit(".", 1)), "coupling")
