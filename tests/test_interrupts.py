"""Signals that ask to stop: a KeyboardInterrupt, once, when it may come; what others handle stays theirs."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from crossent._system.interrupts import Interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as Unix has them")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_interrupts_and_the_others_are_noted(number):
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        for other in SIGNALS:
            signal.raise_signal(other)
        assert interrupts.number == number
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_it_waits_where_it_has_to(number):
    with Interrupts() as interrupts:
        interrupts.check()
        with interrupts.deferred():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_handlers_come_back_and_what_is_not_the_systems_own_stays():
    before = [signal.getsignal(number) for number in SIGNALS]
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        heard = []
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        theirs = [signal.getsignal(number) for number in SIGNALS]
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            interrupts.check()
        assert heard == [signal.SIGTERM]
        assert [signal.getsignal(number) for number in SIGNALS] == theirs
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)


def test_another_thread_changes_nothing():
    found = []

    def work():
        with Interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]
