"""Names as a reader sees them."""

from vct.reporting import names


def test_only_inception_features_give_an_fid():
    assert names.metric("fid_inception").label == "FID"
    assert names.metric("fid_classifier").label == "Fréchet distance (classifier features)"
    assert not names.metric("aggregate_variance").lower_is_better


def test_headings_of_samples():
    assert [names.heading(key) for key in ("steps1", "steps2", "steps", "real data")] == [
        "1 step",
        "2 steps",
        "steps",
        "real data",
    ]


def test_unknown_names_stay_as_they_are():
    assert names.coupling("mine.Own") == "mine.Own"
    assert names.kernel("ve") == "VE" and names.kernel("x") == "x"
