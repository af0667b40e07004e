"""Names as a reader sees them."""

from vct.lab.report import names


def test_only_inception_features_give_an_fid():
    assert names.metric("fid_inception").label == "FID"
    assert names.metric("fid_classifier").label == "Fréchet distance (classifier features)"
    assert not names.metric("aggregate_variance").lower_is_better


def test_what_is_measured_beside_the_distance():
    """Only Inception features make a kernel distance a KID; the arrow says what is better."""
    assert names.metric("kid_inception").label == "KID"
    assert names.metric("kid_lite0").short == "KD (lite0)"
    assert names.metric("kid_lite0").label == "kernel distance (lite0 features)"
    assert names.metric("precision_inception").label == "precision"
    assert names.metric("recall_lite0").label == "recall (lite0 features)"
    assert names.metric("isc_inception").label == "Inception Score"
    for key in ("precision_x", "recall_x", "isc_inception"):
        assert names.metric(key).higher_is_better and not names.metric(key).lower_is_better
    assert names.metric("kid_x").lower_is_better and not names.metric("kid_x").higher_is_better


def test_headings_of_samples():
    assert [names.heading(key) for key in ("steps1", "steps2", "heun18", "steps", "")] == [
        "1 step",
        "2 steps",
        "Heun, 18 steps",
        "steps",
        "",
    ]
