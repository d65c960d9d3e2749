"""Signal handlers that may take locks."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


def handler_in_thread(call: Callable[[], object]) -> Callable[..., None]:
    """A signal handler that calls `call` in another thread.

    Python runs a signal handler in the main thread, between any two of its instructions. If a
    handler set a `threading.Event` while the main thread is inside `wait` or `set` of the same
    event, the handler would wait for a lock that its own thread holds, and the process would hang.
    The handler of this function only puts an item into a `SimpleQueue`, which the documentation of
    `queue` allows at any moment.
    """
    received: SimpleQueue[None] = SimpleQueue()

    def watch() -> None:
        while True:
            received.get()
            call()

    def handle(*_: object, **__: object) -> None:
        received.put(None)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    return handle
