"""Shows a run: a progress bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from babylm.client.wire import Event
from babylm.output import in_time
from babylm.watch import RunView

if TYPE_CHECKING:
    from rich.console import Group

PLAIN_SECONDS = 5.0
"""Minimum seconds between two lines of figures in a log; equal lines are not repeated."""


class Display(Protocol):
    """Shows events as they arrive; used as a context manager."""

    view: RunView

    def __enter__(self) -> Self:
        """Starts to draw."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the last state on the screen."""
        ...

    def show(self, event: Event) -> None:
        """Shows the state of the run after an event."""
        ...

    def note(self, text: str) -> None:
        """Shows a remark, for example that the connection broke."""
        ...


def display_for_output() -> Display:
    """A progress bar if standard output is a terminal, else plain lines."""
    from rich.console import Console

    console = Console(highlight=False)
    return BarDisplay() if console.is_terminal and not console.is_dumb_terminal else PlainDisplay()


class PlainDisplay:
    """Prints plain lines, for a log."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda line: print(line, flush=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.view = RunView(clock=clock)
        self._write = write
        self._clock = clock
        self._wrote_at = float("-inf")
        self._figures = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Prints the line of the event, if any, and figures at most every `PLAIN_SECONDS`."""
        kept = self.view.apply(event)
        if kept:
            self._write(kept)
        now = self._clock()
        if event["type"] not in ("progress", "metrics") or now - self._wrote_at < PLAIN_SECONDS:
            return
        figures = f"{self.view.label()} {self.view.figures()}"
        if figures != self._figures:
            self._write(self.view.line())
            self._figures, self._wrote_at = figures, now

    def note(self, text: str) -> None:
        """Writes `text`."""
        self._write(text)


class BarDisplay:
    """Draws a progress bar with figures below it; lines to keep are printed above the bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.view = RunView()
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def show(self, event: Event) -> None:
        """Applies an event; the bar is redrawn periodically."""
        kept = self.view.apply(event)
        if kept:
            self.note(kept)

    def note(self, text: str) -> None:
        """Prints `text` above the bar."""
        self._console.print(text, markup=False)

    def _draw(self) -> "Group":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        view = self.view
        left = f"{in_time(view.eta_seconds)} left" if view.eta_seconds is not None else ""
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=1.0, completed=view.progress, pulse=not view.progress)
        row.add_row(Text(view.label(), "bold"), bar, Text(f"{view.progress:.0%}  {left}".strip()))
        return Group(row, Text(view.figures(), "dim"))
