# Generated from babylm/client/_async by `python -m babylm.generate_sync`. Do not edit.
"""A job of the service."""

from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING, Self

from babylm.client import wire
from babylm.client._sync.checkpoint import Checkpoint, Checkpoints
from babylm.client._sync.connection import Connection
from babylm.client._sync.events import follow_events
from babylm.client.choose import choose_checkpoint
from babylm.client.errors import JobFailed
from babylm.client.metrics import Metrics, read_metrics
from babylm.client.plot import Plot, plot_series
from babylm.client.view import bar_for_output, html_table

if TYPE_CHECKING:
    import pandas

LOSSES = ("train/loss", "validation/loss")
MAX_POINTS = 10_000


class Job:
    """A job. Its attributes have the values of the last response; `refresh` requests new ones.

    Attributes:
        data: The job as the service sent it.
    """

    def __init__(self, client: Connection, data: wire.Job) -> None:
        self._client = client
        self.data = data

    @property
    def id(self) -> str:
        """The id."""
        return self.data["id"]

    @property
    def name(self) -> str:
        """The name from the spec."""
        return self.data.get("name") or ""

    @property
    def status(self) -> str:
        """queued, running, paused, succeeded, failed or cancelled."""
        return self.data["status"]

    @property
    def stage(self) -> str | None:
        """The current stage of the pipeline, or the last one if the job has ended."""
        return self.data.get("stage")

    @property
    def progress(self) -> float:
        """The finished share of the job, 0 to 1."""
        return self.data.get("progress") or 0.0

    @property
    def is_over(self) -> bool:
        """True if the job succeeded, failed or was cancelled."""
        return self.status in wire.FINAL_STATUSES

    @property
    def error(self) -> wire.JobError | None:
        """Code, message and hint of the failure; None if the job did not fail."""
        return self.data.get("error")

    @property
    def spec(self) -> wire.Body:
        """The complete spec."""
        return self.data["spec"]

    @property
    def url(self) -> str:
        """The page of the job on the dashboard."""
        return f"{self._client.url}/#/jobs/{self.id}"

    def __repr__(self) -> str:
        return f"<Job {self.id[:8]} {self.name!r} {self.status} {self.progress:.0%}>"

    def _repr_html_(self) -> str:
        rows = {
            "job": f'<a href="{escape(self.url)}">{escape(self.id[:8])}</a>',
            "name": escape(self.name),
            "status": f"{escape(self.status)} {escape(self.stage or '')}",
            "progress": f'<progress max="1" value="{self.progress}"></progress> '
            f"{self.progress:.0%}",
            "error": escape(self.error["message"]) if self.error else "",
        }
        return html_table(rows)

    def refresh(self) -> Self:
        """Requests the current state of the job."""
        self.data = self._client.call("GET", f"/v1/jobs/{self.id}")
        return self

    def cancel(self) -> Self:
        """Cancels a queued, running or paused job."""
        return self.act("cancel")

    def pause(self) -> Self:
        """Pauses the job: it saves a checkpoint and frees its device."""
        return self.act("pause")

    def resume(self) -> Self:
        """Puts a paused job back in the queue."""
        return self.act("resume")

    def retry(self) -> Self:
        """Puts a failed or cancelled job back in the queue; it continues at its last checkpoint."""
        return self.act("retry")

    def act(self, action: str) -> Self:
        """Requests an action by its name.

        Args:
            action: `cancel`, `pause`, `resume` or `retry`.

        Raises:
            ServiceError: If the status of the job forbids the action.
        """
        self.data = self._client.call("POST", f"/v1/jobs/{self.id}/{action}")
        return self

    def delete(self) -> None:
        """Deletes a job that has ended, and all its files."""
        self._client.call("DELETE", f"/v1/jobs/{self.id}")

    def follow(
        self,
        *,
        after: int = 0,
        on_break: Callable[[str], None] = lambda _: None,
    ) -> Iterator[wire.Event]:
        """Yields events until the job ends; reconnects after a broken connection.

        Args:
            after: Sequence number after which the events begin. Default: all events.
            on_break: Called with the reason if two or more connections in a row bring no event.
        """
        return follow_events(self._client, self.id, after=after, on_break=on_break)

    def wait(self, *, progress: bool = True) -> Self:
        """Waits until the job has ended, with a progress bar in notebooks and terminals.

        Args:
            progress: Whether to show the progress bar.

        Raises:
            JobFailed: If the job failed or was cancelled.
        """
        with bar_for_output(show=progress) as bar:
            for event in self.follow():
                bar.show(event)
        self.refresh()
        if self.status != "succeeded":
            raise self.failure()
        return self

    def failure(self) -> JobFailed:
        """The error that says why the job ended without success."""
        error = self.error
        reason = f": {error['message']} ({error['code']})" if error else ""
        return JobFailed(
            f"job {self.id} {self.status}{reason}",
            job_id=self.id,
            job_status=self.status,
            hint=(error.get("hint") or None) if error else None,
            code=error["code"] if error else self.status,
            details=dict(self.data),
        )

    def metrics(self, *names: str) -> "pandas.DataFrame | Metrics":
        """The metrics by step: a pandas DataFrame if pandas is installed, else a `Metrics`.

        Args:
            names: Names of metrics, such as `train/loss`. Default: all metrics.
        """
        return read_metrics(self._series(names))

    def plot(self, *names: str) -> Plot:
        """A plot of metrics over steps. Notebooks show it; its method `save` writes an SVG file.

        Args:
            names: Names of metrics with the same unit. Default: training and validation loss.
        """
        return plot_series(self._series(names or LOSSES), title=self.name or self.id[:8])

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints by name, such as `best` and `last`."""
        return self._checkpoints()

    def checkpoint(self, name: str | None = None) -> Checkpoint:
        """One checkpoint.

        Args:
            name: The name or the kind of the checkpoint, such as `best`. Default: `last`, or the
                checkpoint of the latest step if there is no `last`.

        Raises:
            BabylmError: If the job has no such checkpoint.
        """
        known = self._checkpoints()
        if name is None:
            name = choose_checkpoint([each.data for each in known.values()])["name"]
        return known[name]

    def logs(self, *, tail: int = 200) -> str:
        """The last lines of the log.

        Args:
            tail: Number of lines.
        """
        query = {"tail": str(tail)}
        with self._client.stream(f"/v1/jobs/{self.id}/logs", params=query) as answer:
            return (answer.read()).decode("utf-8", "replace")

    def _checkpoints(self) -> Checkpoints:
        page = self._client.call("GET", f"/v1/jobs/{self.id}/checkpoints")
        return Checkpoints(Checkpoint(self._client, self.id, each) for each in page["data"])

    def _series(self, names: tuple[str, ...]) -> dict[str, wire.Series]:
        query: dict[str, str | int] = {"max_points": MAX_POINTS}
        query |= {"names": ",".join(names)} if names else {}
        page = self._client.call("GET", f"/v1/jobs/{self.id}/metrics", params=query)
        series: dict[str, wire.Series] = page["series"]
        return series
