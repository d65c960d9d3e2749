"""Progress of a job on the screen: HTML in a notebook, a bar in a terminal, nothing elsewhere."""

import sys
from collections.abc import Mapping
from html import escape
from types import TracebackType
from typing import Any, Protocol, Self

from babylm.client.wire import Event


class Bar(Protocol):
    """Shows events; used as a context manager."""

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


class NoBar:
    """Draws nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Ignores the event."""


class NotebookBar:
    """A bar in the output of a notebook cell, drawn again after each event that changes it."""

    def __init__(self) -> None:
        from babylm.watch import RunView

        self._view = RunView()
        self._handle: Any = None  # Any, because IPython has no types
        self._html = ""

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Draws the state of the run after the event."""
        from IPython.display import HTML

        self._view.apply(event)
        html = bar_html(self._view.progress, self._view.label(), self._view.figures())
        if html != self._html and self._handle is not None:
            self._handle.update(HTML(html))
            self._html = html


def bar_for_output(*, show: bool) -> Bar:
    """The bar for a notebook or a terminal; `NoBar` for another output or if `show` is False."""
    if show and is_notebook():
        return NotebookBar()
    if show and sys.stdout.isatty():
        from babylm.display import BarDisplay

        return BarDisplay()
    return NoBar()


def is_notebook() -> bool:
    """True in a Jupyter kernel. Does not import IPython, which a kernel has loaded already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def bar_html(progress: float, label: str, figures: str) -> str:
    """A progress bar with its label and figures."""
    return (
        f'<progress max="1" value="{progress:.4f}" style="width:20em"></progress> '
        f"{progress:.0%} {escape(label)}<br><small>{escape(figures)}</small>"
    )


def html_table(rows: Mapping[str, str]) -> str:
    """A table of names and values. The values are HTML; rows with an empty value are left out."""
    cells = "".join(
        f"<tr><th>{name}</th><td>{html}</td></tr>" for name, html in rows.items() if html
    )
    return f"<table>{cells}</table>"
