"""What is read ahead is what would be read."""

import threading

import pytest

from vct.lab.data.prefetch import Prefetch


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_each_step_gets_its_own(ahead):
    prefetch = Prefetch(lambda step: step**2, ahead)
    assert [prefetch.at(step) for step in range(3, 20)] == [step**2 for step in range(3, 20)]
    assert [prefetch.at(step) for step in (7, 7, 2, 100)] == [49, 49, 4, 10_000]


def test_steps_to_come_are_loaded_before_they_are_asked_for():
    loaded, third = [], threading.Event()

    def load(step):
        loaded.append(step)
        if step == 2:
            third.set()
        return step

    prefetch = Prefetch(load, 2)
    assert prefetch.at(0) == 0
    assert third.wait(10)
    assert loaded == [0, 1, 2]


def test_nothing_is_loaded_ahead_unless_asked_for():
    loaded = []
    Prefetch(loaded.append, 0).at(0)
    assert loaded == [0]


def test_an_error_is_raised_at_its_step():
    def load(step):
        if step == 1:
            raise OSError("unreadable")
        return step

    prefetch = Prefetch(load, 3)
    assert prefetch.at(0) == 0
    with pytest.raises(OSError, match="unreadable"):
        prefetch.at(1)


def test_nothing_is_loaded_after_the_end_that_is_not_asked_for():
    loaded = []

    def load(step):
        loaded.append(step)
        return step

    prefetch = Prefetch(load, 3, stop=5)
    assert [prefetch.at(step) for step in range(3, 7)] == [3, 4, 5, 6]
    assert loaded == [3, 4, 5, 6]
    short = Prefetch(load, 3, stop=5)
    assert short.at(3) == 3 and short.at(4) == 4
    assert loaded[4:] == [3, 4]


def test_when_closed_it_loads_what_is_asked_for():
    prefetch = Prefetch(lambda step: step**2, 3)
    prefetch.at(1)
    prefetch.close()
    prefetch.close()
    assert prefetch.at(5) == 25
