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


def test_priors_are_named():
    assert names.heading("fitted-steps2") == "2 steps, fitted prior"
    assert names.label("variational", "fitted") == "variational, fitted prior"
    assert names.label("variational", "standard") == "variational"
    assert names.coupling_of("variational/fitted") == "variational"
