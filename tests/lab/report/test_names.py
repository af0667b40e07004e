"""Names as a reader sees them."""

from vct.lab.report import names


def test_headings_of_samples():
    assert [names.heading(key) for key in ("steps1", "steps2", "heun18", "steps", "")] == [
        "1 step",
        "2 steps",
        "Heun, 18 steps",
        "steps",
        "",
    ]
