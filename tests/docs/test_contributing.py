"""The rules that are written are those that are enforced."""

from support import ROOT
from test_layers import FLOORS


def test_floors_are_those_of_the_layers():
    written = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert " < ".join(", ".join(floor) for floor in FLOORS) in written
