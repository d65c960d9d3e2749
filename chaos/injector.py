"""The thread that injects faults at random intervals."""

import threading
import time

from chaos.faults import FAULTS, IN_TRAINER, Target

TRAINER_SECONDS, TRAINER_LOOK_SECONDS = 10.0, 0.05


class Injector(threading.Thread):
    """Injects faults at random intervals until it is stopped."""

    def __init__(self, target: Target, *, seconds: tuple[float, float]) -> None:
        super().__init__(name="injector", daemon=True)
        self.counts: dict[str, int] = {}
        self._target, self._seconds = target, seconds
        self._allowed = 0
        self._ended = threading.Event()

    def allow(self, count: int) -> None:
        """Sets the maximum number of faults since the start, so that jobs can make progress."""
        self._allowed = count

    def run(self) -> None:
        """The loop."""
        waiting: list[str] = []
        rng = self._target.random
        while not self._ended.wait(rng.uniform(*self._seconds)):
            if sum(self.counts.values()) >= self._allowed:
                continue
            while not self._ended.is_set():
                if not waiting:
                    waiting = sorted(FAULTS)
                    rng.shuffle(waiting)
                    self._ended.wait(0.05)  # a pause, in case no fault finds a target
                name = waiting.pop()
                if name in IN_TRAINER:
                    self._await_trainer()
                if FAULTS[name](self._target):
                    self.counts[name] = self.counts.get(name, 0) + 1
                    break

    def _await_trainer(self) -> None:
        """Waits for a process that is training, because a run is usually still starting."""
        deadline = time.monotonic() + TRAINER_SECONDS
        while self._target.trainer() is None and time.monotonic() < deadline:
            if self._ended.wait(TRAINER_LOOK_SECONDS):
                return

    def stop(self) -> None:
        """Ends the thread and waits until the effects of all faults are undone."""
        self._ended.set()
        if self.is_alive():
            self.join()
        for thread in self._target.later:
            thread.join()
        self._target.later.clear()
