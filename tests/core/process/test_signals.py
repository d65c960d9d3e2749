"""Signal handlers that may take locks."""

import signal
import threading

from core.process.signals import handler_in_thread
from tests.waiting import DEADLINE


def test_a_handler_may_set_an_event_while_the_main_thread_waits_for_it():
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, handler_in_thread(event.set))
    try:
        with event._cond:  # `Event.wait` holds this lock for a moment
            signal.raise_signal(signal.SIGUSR1)
            assert not event.is_set()
        assert event.wait(DEADLINE)
        event.clear()
        signal.raise_signal(signal.SIGUSR1)
        assert event.wait(DEADLINE)
    finally:
        signal.signal(signal.SIGUSR1, before)
