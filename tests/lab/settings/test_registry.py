"""Built-in names, nearest names, and a user's own class."""

import sys

import pytest
import torch
from support import run_settings

from vct.lab import build
from vct.lab.errors import UserError
from vct.lab.settings import registry

OWN = '''
from vct.couplings.base import Coupling

class {name}(Coupling):
    """Shifts the noise."""

    def __init__(self, shape, sigma_data, by=0.0):
        super().__init__(shape, sigma_data)
        self.by = by

    def couple(self, x, eps):
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


@pytest.mark.parametrize("family", registry.BUILT_IN)
def test_every_built_in_can_be_found(family):
    found = [registry.find(family, name) for name in registry.names(family)]
    assert all(callable(entry) for entry in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("family", "wrong", "near"),
    [
        ("coupling", "variatonal", "variational"),
        ("network", "ddpm++", "ddpmpp"),
        ("objective", "itc", "ict"),
        ("data source", "minst", "mnist"),
    ],
)
def test_nearest_name_is_offered(family, wrong, near):
    with pytest.raises(UserError, match=f"{family} .*did you mean .*{near}"):
        registry.find(family, wrong)


def test_all_names_are_offered_when_none_is_near():
    with pytest.raises(UserError, match=r"independent, ot, .*variational"):
        registry.find("coupling", "zzzzzz")


def test_own_coupling_from_a_file_here_is_built_and_used(own_folder):
    (own_folder / "shifted.py").write_text(OWN.format(name="Shifted"))
    settings = run_settings({"kind": "shifted.Shifted", "options": {"by": 2.5}}).coupling
    coupling = build.coupling(settings, (2, 1, 1), 0.5)
    assert coupling.shape == (2, 1, 1)
    eps = torch.zeros(3, 2, 1, 1)
    assert torch.equal(coupling.couple(eps, eps), eps + 2.5)
    pair = coupling.pair(eps, eps, None)
    assert pair.kl.tolist() == [0, 0, 0]


def test_own_class_in_a_package_here(own_folder):
    (own_folder / "mine").mkdir()
    (own_folder / "mine" / "couplings.py").write_text(OWN.format(name="Deep"))
    assert registry.find("coupling", "mine.couplings.Deep").__name__ == "Deep"


def test_own_class_that_takes_other_settings(own_folder):
    (own_folder / "picky.py").write_text(OWN.format(name="Picky"))
    settings = run_settings({"kind": "picky.Picky", "options": {"to": 1}}).coupling
    with pytest.raises(UserError, match=r"picky\.Picky.*to"):
        build.coupling(settings, (2, 1, 1), 0.5)


@pytest.mark.parametrize(
    ("file", "content", "path"),
    [
        ("absent", "", "nowhere.Class"),
        ("empty_one", "", "empty_one.Class"),
        ("broken_one", "def (:", "broken_one.Class"),
        ("needs_one", "import not_installed_at_all", "needs_one.Class"),
    ],
)
def test_class_that_cannot_be_imported(own_folder, file, content, path):
    (own_folder / f"{file}.py").write_text(content)
    with pytest.raises(UserError, match=f"coupling '{path}' cannot be imported"):
        registry.find("coupling", path)
