"""Classes of samples: in turn, or in the shares of the data, whatever part of them is looked at."""

import numpy as np
import pytest
from support import dataset

from vct.lab.sampling.classes import in_shares, tell_unequal


@pytest.mark.parametrize("classes", [1, 3, 10, 1000])
def test_equal_shares_come_in_turn(classes):
    found = in_shares(np.full(classes, 7), 3 * classes + 2)
    assert np.array_equal(found, np.arange(3 * classes + 2) % classes)


@pytest.mark.parametrize("shares", [[9, 1], [0.5, 0.3, 0.2], [100, 1, 1, 30], [0, 1, 3]])
def test_each_class_is_as_often_as_it_is_in_the_data(shares):
    found, wanted = in_shares(np.array(shares), 500), np.array(shares) / sum(shares)
    for count in range(1, 501):
        drawn = np.bincount(found[:count], minlength=len(shares))
        assert np.abs(drawn - count * wanted).max() < 1 + 1e-6


def test_it_is_said_when_the_score_will_count_a_mixture_of_classes(capsys):
    data = dataset((1, 2, 2), size=90)
    data.train.labels[:] = np.arange(90) % 3
    tell_unequal(data, "in_turn")
    assert capsys.readouterr().err == ""
    data.train.labels[:60] = 0
    tell_unequal(data, "in_turn")
    assert "10 to 70 images of a class" in capsys.readouterr().err
    tell_unequal(data, "as_data")
    assert capsys.readouterr().err == ""
