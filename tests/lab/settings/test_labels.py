"""What a table calls the numbers of metrics."""

from vct.lab.settings.score import label


def test_only_inception_features_give_an_fid():
    assert label("fid_inception").label == "FID"
    assert label("fid_classifier").label == "Fréchet distance (classifier features)"
    assert not label("aggregate_variance").lower_is_better


def test_what_is_measured_beside_the_distance():
    """Only Inception features make a kernel distance a KID; the arrow says what is better."""
    assert label("kid_inception").label == "KID"
    assert label("kid_lite0").short == "KD (lite0)"
    assert label("kid_lite0").label == "kernel distance (lite0 features)"
    assert label("precision_inception").label == "precision"
    assert label("recall_lite0").label == "recall (lite0 features)"
    assert label("isc_inception").label == "Inception Score"
    for key in ("precision_x", "recall_x", "isc_inception"):
        assert label(key).higher_is_better and not label(key).lower_is_better
    assert label("kid_x").lower_is_better and not label("kid_x").higher_is_better
