"""The figure of gains."""

from vct.lab.report.gains import apart


def test_labels_of_near_places_do_not_run_into_each_other():
    assert apart([1500, 1650, 1800, 2400]) == [1500, 1800, 2400]
    assert apart([64, 196, 784]) == [64, 196, 784] and apart([]) == []
