"""Signals wait until a step is done, and then are somebody else's again."""

import os
import signal
import threading

import pytest

from vct.lab.training.signals import Interrupted, collected


class Raised(Exception):
    pass


@pytest.fixture
def before():
    """Handlers of somebody else."""

    def handler(number, frame):
        raise Raised(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    old = {number: signal.signal(number, handler) for number in numbers}
    yield numbers
    for number, each in old.items():
        signal.signal(number, each)


def test_ctrl_c_and_sigterm_are_noted_in_their_order_and_interrupt_nothing(before):
    with collected() as received:
        for number in (*before, *reversed(before)):
            os.kill(os.getpid(), number)
        assert received == [*before, *reversed(before)]
    assert str(Interrupted(received[0], 7)) == "stopped by SIGINT after step 7"


def test_afterwards_also_after_an_error_they_are_handled_as_before(before):
    with pytest.raises(ValueError), collected():
        raise ValueError
    for number in before:
        with pytest.raises(Raised):
            os.kill(os.getpid(), number)


def test_in_a_thread_signals_stay_the_callers(before):
    def train():
        with collected() as received:
            done.append(received)

    done = []
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [[]]
    with pytest.raises(Raised):
        os.kill(os.getpid(), signal.SIGTERM)
