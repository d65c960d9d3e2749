"""The client: submits jobs, finds them, and manages datasets."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2 as httpx

from babylm.client._async.connection import TIMEOUT_SECONDS, AsyncConnection
from babylm.client._async.job import AsyncJob
from babylm.client._async.pages import PAGE_SIZE, id_that_begins, job_pages
from babylm.client._async.study import AsyncStudy
from babylm.client._async.upload import (
    Advance,
    LeaveOut,
    upload_file,
    upload_folder,
)
from babylm.client.discovery import find_key, find_service, key_for
from babylm.client.errors import BabylmError, ServiceError, ServiceUnreachable
from babylm.client.fields import not_found, with_fields
from babylm.client.figures import SHORTEST_ID
from babylm.client.paths import path_part
from babylm.client.wire import Body

SUBMIT_TRIES = 4
"""Maximum number of requests for one submit.

All these requests have the same idempotency key, so the service creates only one job."""
RETRY_SECONDS = 0.5
NO_SUCH_ID = (404, 422)
"""HTTP statuses for an unknown id (404) and for a text that is not a valid id (422)."""
Section = Mapping[str, Any]
"""A section of a spec: a JSON object, which the service checks."""


class AsyncClient(AsyncConnection):
    """A client of one service; use it as a context manager, or call `aclose` at the end."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Does not connect to the service; the first request opens the connection.

        Args:
            url: `http://HOST:PORT` or `unix:PATH`. Default: `BABYLM_URL`; if it is not set, the
                address of the `babylm serve` that runs in the folder `BABYLM_RUNS_DIR` (`runs` if
                not set); if none runs there, the socket `BABYLM_SOCKET`, or else the address of
                `BABYLM_HOST` and `BABYLM_PORT` (`http://127.0.0.1:8000` if not set).
            api_key: A key of the service; an empty text sends none. Default: the first key in
                `BABYLM_API_KEY`. That key is sent only if `url` is missing or names the default
                service.
            timeout_seconds: Maximum seconds to wait for an answer.

        Raises:
            InvalidUsage: If the address is not valid.
        """
        service = find_service()
        key = key_for(url or service, find_key(), service=service) if api_key is None else api_key
        super().__init__(url or service, api_key=key, timeout_seconds=timeout_seconds)

    async def submit(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        name: str | None = None,
        track: str | None = None,
        data: Section | None = None,
        tokenizer: Section | None = None,
        model: Section | None = None,
        training: Section | None = None,
        evaluation: Section | None = None,
        resources: Section | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """Submits a job; docs/spec.md lists the fields of each section.

        Args:
            spec: A whole spec; the other arguments replace its fields.
            preset: Name of a preset to start from, see `presets`.
            name: Name of the job.
            track: `strict-small`, `strict` or `free`.
            data: Fields of the section `data`, for example `{"dataset": "train_10M"}`.
            tokenizer: Fields of the section `tokenizer`.
            model: Fields of the section `model`.
            training: Fields of the section `training`, for example `{"seed": 1}`.
            evaluation: Fields of the section `evaluation`.
            resources: Fields of the section `resources`.
            idempotency_key: Two submits with the same key create one job. Default: a random key.

        Raises:
            ServiceError: If the spec is not valid; the message names every wrong field.
            ServiceUnreachable: If no service answers.
        """
        given = {
            **{"preset": preset, "name": name, "track": track, "data": data},
            **{"tokenizer": tokenizer, "model": model, "training": training},
            **{"evaluation": evaluation, "resources": resources},
        }
        return await self.submit_spec(
            with_fields(spec, given), idempotency_key=idempotency_key or str(uuid4())
        )

    async def finetune(
        self,
        job: str,
        tasks: Sequence[str] | None = None,
        *,
        checkpoint: str = "last",
        folder: str = "glue_filtered",
        **settings: Any,
    ) -> AsyncJob:
        """Submits a job that fine-tunes a checkpoint on classification tasks such as (Super)GLUE.

        The scores also become evaluations of the job that trained the checkpoint.

        Args:
            job: Id of the job that trained the checkpoint.
            tasks: Names of tasks, such as `["boolq", "rte"]`. Default: all tasks of the folder.
            checkpoint: Name of the checkpoint.
            folder: Name of a folder in the folder `evaluations` of the data folder.
            settings: Further fields of the section `finetune` of the spec, such as `seed`.
        """
        section = {"job": job, "checkpoint": checkpoint, "folder": folder, **settings}
        if tasks is not None:
            section["tasks"] = list(tasks)
        return await self.submit({"task": "finetune", "finetune": section})

    async def submit_spec(
        self,
        body: Body,
        *,
        idempotency_key: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncJob:
        """Submits a whole spec.

        Args:
            body: The spec.
            idempotency_key: Two requests with the same key create one job.
            sleep: Function that waits before a repeated request.
        """
        answer = await self._create("/v1/jobs", body, idempotency_key=idempotency_key, sleep=sleep)
        return AsyncJob(self, answer)

    async def _create(
        self,
        path: str,
        body: Body,
        *,
        idempotency_key: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Any:  # any JSON value
        """Sends a POST request; repeats it with the same key if no answer arrives.

        If no connection can be opened, the method raises the error at once.
        """
        headers = {"Idempotency-Key": idempotency_key}
        for attempt in range(1, SUBMIT_TRIES):
            try:
                return await self.call("POST", path, json=body, headers=headers)
            except ServiceUnreachable as error:
                if isinstance(error.__cause__, httpx.ConnectError):
                    raise
            await sleep(RETRY_SECONDS * attempt)
        return await self.call("POST", path, json=body, headers=headers)

    async def study(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        name: str | None = None,
        grid: Mapping[str, Sequence[Any]] | None = None,
        seeds: int | Sequence[int] = 1,
        idempotency_key: str | None = None,
        **sections: Section,
    ) -> AsyncStudy:
        """Creates a study: a job for each combination of the grid's values and each seed.

        Args:
            spec: The base spec; the other arguments replace its fields.
            preset: Name of a preset to start from, see `presets`.
            name: Name of the study.
            grid: The values of each field to vary, such as
                `{"training.learning_rate": [1e-4, 5e-4]}`. The combination of the first values is
                the baseline, with which the others are compared.
            seeds: Number of consecutive seeds from `training.seed` on, or a list of seeds.
            idempotency_key: Two requests with the same key create one study. Default: a random key.
            sections: Sections of the spec, such as `training={"epochs": 3}`.

        Raises:
            ServiceError: If the spec of a condition is not valid. In this case, no job is created.
            ServiceUnreachable: If no service answers.
        """
        base = with_fields(spec, {"preset": preset, **sections})
        title = name or base.pop("name", None)
        body: Body = {
            "spec": base,
            "grid": {field: list(values) for field, values in (grid or {}).items()},
            "seeds": seeds if isinstance(seeds, int) else list(seeds),
        }
        if title is not None:
            body["name"] = title
        key = idempotency_key or str(uuid4())
        return AsyncStudy(self, await self._create("/v1/studies", body, idempotency_key=key))

    async def studies(self, *, limit: int = 20) -> list[AsyncStudy]:
        """The studies, the newest first.

        They have no table and no members; the method `refresh` of a study requests these.

        Args:
            limit: Maximum number of studies.
        """
        found = await self.listing("/v1/studies", params={"limit": limit})
        return [AsyncStudy(self, each) for each in found]

    async def find_study(self, name: str = "last") -> AsyncStudy:
        """One study.

        Args:
            name: The id of the study, the beginning of the id, or `last` for the newest study.

        Raises:
            BabylmError: If there is no such study, or more than one.
        """
        known = await self.studies(limit=PAGE_SIZE)
        found = [each for each in known if name == "last" or each.id.startswith(name)]
        if name == "last":
            found = found[:1]
        if len(found) > 1:
            raise BabylmError(
                f"{name} is the beginning of {len(found)} study ids",
                hint="Give more characters of the one that you mean.",
            )
        if found:
            return await found[0].refresh()
        if name == "last":
            raise BabylmError("there is no study yet", hint="Create one with `babylm study`.")
        try:
            answer = await self.call("GET", f"/v1/studies/{path_part(name, 'study')}")
        except ServiceError as error:
            if error.status_code not in NO_SUCH_ID:
                raise
            hint = (
                "`babylm studies` lists the ids; their beginning is enough, and `last` is the "
                "newest study."
            )
            raise not_found("study", name, hint, error) from error
        return AsyncStudy(self, answer)

    async def estimate(self, spec: Mapping[str, Any]) -> Body:
        """Estimates the time, memory and disk space of a spec; the service stores nothing.

        Args:
            spec: The spec, which may name a preset.
        """
        found: Body = await self.call("POST", "/v1/jobs/estimate", json=dict(spec))
        return found

    async def jobs(
        self, *, status: str | None = None, sort: str | None = None, limit: int = 20
    ) -> list[AsyncJob]:
        """The jobs, the newest first or in the order of `sort`.

        Args:
            status: Only jobs with this status. Default: all jobs.
            sort: The value to sort by, such as `validation/loss`. A leading `-` means descending
                order. Jobs without the value come last.
            limit: Maximum number of jobs.
        """
        found: list[AsyncJob] = []
        async for page in job_pages(self, status=status, sort=sort, limit=limit):
            found += [AsyncJob(self, each) for each in page]
        return found[:limit]

    async def job(self, name: str = "last") -> AsyncJob:
        """One job.

        Args:
            name: The id of the job, the beginning of the id, or `last` for the newest job.

        Raises:
            BabylmError: If there is no such job, or more than one.
        """
        if name == "last":
            newest = await self.jobs(limit=1)
            if not newest:
                raise BabylmError("there is no job yet", hint="Submit one with `babylm submit`.")
            return await newest[0].refresh()
        try:
            answer = await self.call("GET", f"/v1/jobs/{path_part(name, 'job')}")
        except ServiceError as error:
            if error.status_code not in NO_SUCH_ID:
                raise
            job_id = await id_that_begins(self, name) if len(name) >= SHORTEST_ID else None
            if job_id is None:
                hint = (
                    f"`babylm jobs` lists the ids; their beginning ({SHORTEST_ID} characters or "
                    "more) is enough, and `last` is the newest job."
                )
                raise not_found("job", name, hint, error) from error
            answer = await self.call("GET", f"/v1/jobs/{job_id}")
        return AsyncJob(self, answer)

    async def presets(self) -> list[Body]:
        """The presets: named starting points for a spec."""
        return await self.listing("/v1/presets")

    async def workers(self) -> list[Body]:
        """The live workers with their devices and running jobs."""
        return await self.listing("/v1/workers")

    async def tokenizers(self) -> list[Body]:
        """The tokenizers of all jobs."""
        return await self.listing("/v1/tokenizers")

    async def datasets(self) -> list[Body]:
        """The datasets with their files, sizes and words."""
        return await self.listing("/v1/datasets")

    async def dataset(self, name: str) -> Body:
        """One dataset with details of its files.

        Args:
            name: The name of the dataset.
        """
        found: Body = await self.call("GET", f"/v1/datasets/{path_part(name, 'dataset')}")
        return found

    async def delete_dataset(self, name: str) -> None:
        """Deletes a dataset. The service refuses this if an unfinished job needs the dataset.

        Args:
            name: The name of the dataset.
        """
        await self.call("DELETE", f"/v1/datasets/{path_part(name, 'dataset')}")

    async def upload(
        self,
        dataset: str,
        path: str | Path,
        *,
        folder: str | None = None,
        replace: bool = False,
        advance: Advance = lambda _: None,
        leave_out: LeaveOut = lambda *_: None,
    ) -> list[str]:
        """Uploads a text file, an archive or the text files of a folder; resumes partial uploads.

        Args:
            dataset: Name of the dataset, new or existing.
            path: The file or the folder to upload.
            folder: Name of a folder inside the archive or the folder `path`. If given, only
                the files in it are used.
            replace: Whether to overwrite existing files.
            advance: Called with the number of bytes that were sent since the last call.
            leave_out: Called for each file that is not used, with its name and the reason.

        Returns:
            The names of the files that the service created.
        """
        send = upload_folder if Path(path).is_dir() else upload_file
        return await send(
            self,
            dataset,
            Path(path),
            folder=folder,
            replace=replace,
            advance=advance,
            leave_out=leave_out,
        )
