"""A job of the service, and its checkpoints."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from babylm.client import wire
from babylm.client._async.connection import AsyncConnection, entries_of
from babylm.client._async.download import Advance, download_checkpoint
from babylm.client._async.events import follow_events
from babylm.client.choose import choose_checkpoint
from babylm.client.errors import BabylmError, JobFailed
from babylm.client.metrics import Metrics, read_metrics
from babylm.client.plot import Plot, plot_series
from babylm.client.properties import awaitable_property
from babylm.client.view import bar_for_output, html_table

if TYPE_CHECKING:
    import pandas

LOSSES = ("train/loss", "validation/loss")
MAX_POINTS = 10_000
GENERATE_SECONDS = 300.0
"""Seconds to wait for generated text; before the first text the service loads the model."""
POLL_SECONDS = 0.5


class AsyncJob:
    """A job. Its attributes have the values of the last response; `refresh` requests new ones.

    Attributes:
        data: The job as the service sent it.
    """

    def __init__(self, client: AsyncConnection, data: wire.Job) -> None:
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
        """The share that is done, 0 to 1."""
        return self.data.get("progress") or 0.0

    @property
    def is_over(self) -> bool:
        """True if the job succeeded, failed or was cancelled."""
        return self.status in wire.FINAL_STATUSES

    @property
    def error(self) -> wire.JobError | None:
        """Why the job failed: code, message and hint."""
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

    async def refresh(self) -> Self:
        """Requests the current state of the job."""
        self.data = await self._client.call("GET", f"/v1/jobs/{self.id}")
        return self

    async def cancel(self) -> Self:
        """Cancels a queued, running or paused job."""
        return await self.act("cancel")

    async def pause(self) -> Self:
        """Pauses the job: it saves a checkpoint and frees its device."""
        return await self.act("pause")

    async def resume(self) -> Self:
        """Puts a paused job back in the queue."""
        return await self.act("resume")

    async def retry(self) -> Self:
        """Puts a failed or cancelled job back in the queue; it continues at its last checkpoint."""
        return await self.act("retry")

    async def act(self, action: str) -> Self:
        """Requests one of the four actions above by name.

        Args:
            action: `cancel`, `pause`, `resume` or `retry`.

        Raises:
            ServiceError: If the status of the job forbids the action.
        """
        self.data = await self._client.call("POST", f"/v1/jobs/{self.id}/{action}")
        return self

    async def delete(self) -> None:
        """Deletes a job that has ended, and all its files."""
        await self._client.call("DELETE", f"/v1/jobs/{self.id}")

    def follow(
        self,
        *,
        after: int = 0,
        on_break: Callable[[str], None] = lambda _: None,
    ) -> AsyncIterator[wire.Event]:
        """Yields events until the job ends; reconnects after a broken connection.

        Args:
            after: Sequence number after which the events begin. Default: all events.
            on_break: Called with the reason whenever the connection broke.
        """
        return follow_events(self._client, self.id, after=after, on_break=on_break)

    async def wait(self, *, progress: bool = True) -> Self:
        """Waits until the job has ended, with a progress bar in notebooks and terminals.

        Args:
            progress: Whether to show the progress bar.

        Raises:
            JobFailed: If the job failed or was cancelled.
        """
        with bar_for_output(show=progress) as bar:
            async for event in self.follow():
                bar.show(event)
        await self.refresh()
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

    async def metrics(self, *names: str) -> "pandas.DataFrame | Metrics":
        """The metrics by step: a pandas DataFrame if pandas is installed, else a `Metrics`.

        Args:
            names: Names of metrics, such as `train/loss`. Default: all metrics.
        """
        return read_metrics(await self._series(names))

    async def plot(self, *names: str) -> Plot:
        """A plot of metrics over steps. Notebooks show it; its method `save` writes an SVG file.

        Args:
            names: Names of metrics with the same unit. Default: training and validation loss.
        """
        return plot_series(await self._series(names or LOSSES), title=self.name or self.id[:8])

    @awaitable_property
    async def checkpoints(self) -> "AsyncCheckpoints":
        """The checkpoints by name, such as `best` and `last`."""
        page = await self._client.call("GET", f"/v1/jobs/{self.id}/checkpoints")
        return AsyncCheckpoints(
            AsyncCheckpoint(self._client, self.id, each) for each in page["data"]
        )

    async def checkpoint(self, name: str | None = None) -> "AsyncCheckpoint":
        """The checkpoint `name`; `best` and `last` also find `best-000020`.

        Args:
            name: Default: `last`, or else the checkpoint of the latest step.

        Raises:
            BabylmError: If the job has no such checkpoint.
        """
        page = await self._client.call("GET", f"/v1/jobs/{self.id}/checkpoints")
        known = AsyncCheckpoints(
            AsyncCheckpoint(self._client, self.id, each) for each in page["data"]
        )
        return known[choose_checkpoint(page["data"])["name"] if name is None else name]

    async def logs(self, *, tail: int = 200) -> str:
        """The last lines of the log.

        Args:
            tail: Number of lines.
        """
        query = {"tail": str(tail)}
        async with self._client.stream(f"/v1/jobs/{self.id}/logs", params=query) as answer:
            return (await answer.aread()).decode("utf-8", "replace")

    async def _series(self, names: tuple[str, ...]) -> dict[str, wire.Series]:
        query: dict[str, str | int] = {"max_points": MAX_POINTS}
        query |= {"names": ",".join(names)} if names else {}
        page = await self._client.call("GET", f"/v1/jobs/{self.id}/metrics", params=query)
        series: dict[str, wire.Series] = page["series"]
        return series


class AsyncCheckpoint:
    """A checkpoint, which can be downloaded, loaded, evaluated, and used to generate text.

    Attributes:
        job_id: The job that it belongs to.
        data: The checkpoint as the service sent it.
    """

    def __init__(self, client: AsyncConnection, job_id: str, data: wire.Checkpoint) -> None:
        self._client = client
        self.job_id = job_id
        self.data = data

    @property
    def name(self) -> str:
        """The name."""
        return self.data["name"]

    @property
    def kind(self) -> str:
        """The kind: `last`, `best`, `milestone`, `rolling`, `ema` or another one."""
        return self.data["kind"]

    @property
    def step(self) -> int:
        """The optimizer step at which it was saved."""
        return self.data["step"]

    @property
    def validation_loss(self) -> float | None:
        """The validation loss, if it was measured at this step."""
        return self.data.get("validation_loss")

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file["size"] for file in self.data["files"])

    def __repr__(self) -> str:
        return f"<Checkpoint {self.name!r} step {self.step} of job {self.job_id[:8]}>"

    async def download(
        self, output: str | Path | None = None, *, advance: Advance = lambda _: None
    ) -> Path:
        """Downloads all files into a folder, verifies them, and returns the folder.

        Args:
            output: The folder. Default: JOB-NAME in the working folder.
            advance: Called with the number of bytes that arrived.
        """
        folder = Path(output) if output is not None else Path(f"{self.job_id}-{self.name}")
        await download_checkpoint(self._client, self.job_id, self.data, folder, advance=advance)
        return folder

    async def load(self, output: str | Path | None = None) -> tuple[Any, Any]:
        """Downloads the checkpoint and loads it with transformers, which is imported here.

        Args:
            output: The folder of the download. Default: JOB-NAME in the working folder.

        Returns:
            The model and the tokenizer, as instances of classes of transformers.

        Raises:
            BabylmError: If transformers is not installed.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise BabylmError(
                f"a checkpoint is loaded by transformers: {error}",
                hint="pip install transformers torch",
            ) from error
        folder = await self.download(output)
        model = AutoModelForCausalLM.from_pretrained(folder)
        return model, AutoTokenizer.from_pretrained(folder)

    async def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_k: int | None = None,
        seed: int | None = None,
    ) -> str:
        """The prompt and its continuation by the model, computed by the service.

        Args:
            prompt: The beginning of the text.
            max_new_tokens: Maximum number of tokens of the continuation.
            temperature: 0 always chooses the most probable token; higher values vary more.
            top_k: Number of most probable tokens to choose from. Default: all tokens.
            seed: The same seed gives the same text. Default: random.
        """
        body: wire.Body = {
            **{"prompt": prompt, "max_new_tokens": max_new_tokens, "temperature": temperature},
            **{"top_k": top_k, "seed": seed},
        }
        answer = await self.generate_raw({k: v for k, v in body.items() if v is not None})
        text = str(answer["text"])
        return text if text.startswith(prompt) else prompt + text

    async def generate_raw(self, body: wire.Body) -> wire.Body:
        """Sends a generation request; returns the whole response.

        Args:
            body: The body of `POST /v1/jobs/{id}/checkpoints/{name}/generate`.
        """
        path = f"{self._path}/generate"
        found: wire.Body = await self._client.call(
            "POST", path, json=body, timeout=GENERATE_SECONDS
        )
        return found

    async def evaluate(
        self,
        task: str,
        *,
        advance: Callable[[float], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> wire.Body:
        """Evaluates the checkpoint on a task, such as `blimp`, and waits for the scores.

        Args:
            task: Name of a folder in the folder `evaluations` of the data folder.
            advance: Called with the share that is done.
            sleep: Function that waits between two requests.

        Raises:
            BabylmError: If the evaluation was refused or failed.
        """
        answer = await self._client.call("POST", f"{self._path}/evaluations", json={"task": task})
        found: wire.Body = answer
        while found["status"] not in ("succeeded", "failed"):
            advance(found["progress"])
            await sleep(POLL_SECONDS)
            page = await self._client.poll(f"/v1/jobs/{self.job_id}/evaluations", sleep=sleep)
            now = next((each for each in entries_of(page) if each["id"] == found["id"]), None)
            if now is None:
                raise BabylmError("the evaluation is gone: its job was deleted")
            found = now
        advance(1.0)
        if found["status"] == "failed":
            error = found["error"] or {}
            raise BabylmError(
                f"the evaluation failed: {error.get('message')}",
                hint=error.get("hint") or None,
                code=error.get("code"),
                details={"evaluation": found},
            )
        return found

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{self.job_id}/checkpoints/{quote(self.name, safe='')}"


class AsyncCheckpoints(dict[str, AsyncCheckpoint]):
    """The checkpoints of a job by name; `best` and `last` also find `best-000020`."""

    def __init__(self, checkpoints: "Any" = ()) -> None:  # an iterable of checkpoints
        super().__init__((each.name, each) for each in checkpoints)

    def __missing__(self, name: str) -> AsyncCheckpoint:
        of_kind = [each for each in self.values() if each.kind == name]
        if of_kind:
            return max(of_kind, key=lambda each: each.step)
        there = ", ".join(self) or "none"
        raise BabylmError(
            f"no checkpoint {name!r}; there are: {there}", code="checkpoint_not_found"
        )

    def _repr_html_(self) -> str:
        rows = {
            escape(each.name): f"step {each.step:,}"
            + ("" if each.validation_loss is None else f", loss {each.validation_loss:.4f}")
            for each in self.values()
        }
        return html_table(rows)
