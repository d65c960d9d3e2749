"""A checkpoint of a job: downloads, generated text and evaluations."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from babylm.client import wire
from babylm.client._async.connection import AsyncConnection, entries_of
from babylm.client._async.download import Advance, download_checkpoint
from babylm.client.errors import BabylmError
from babylm.client.paths import path_part
from babylm.client.view import html_table

GENERATE_SECONDS = 300.0
"""Maximum seconds to wait for generated text.

The first request takes the longest time, because the service loads the model."""
POLL_SECONDS = 0.5


class AsyncCheckpoint:
    """A checkpoint, which can be downloaded, loaded, evaluated, and used to generate text.

    Attributes:
        job_id: Id of the job to which the checkpoint belongs.
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
        """The optimizer step at which the checkpoint was saved."""
        return self.data["step"]

    @property
    def validation_loss(self) -> float | None:
        """The validation loss at this step; None if it was not measured."""
        return self.data.get("validation_loss")

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file["size"] for file in self.data["files"])

    def __repr__(self) -> str:
        return f"<Checkpoint {self.name!r} step {self.step} of job {self.job_id[:8]}>"

    async def download(
        self,
        output: str | Path | None = None,
        *,
        replace: bool = False,
        advance: Advance = lambda _: None,
    ) -> Path:
        """Downloads all files into a folder, verifies them, and returns the folder.

        Args:
            output: The folder. Default: `ID-NAME` in the working folder, with the id of the job and
                the name of the checkpoint.
            replace: Whether to overwrite files of the folder that have the name of a file of the
                checkpoint and other content.
            advance: Called with the number of bytes that arrived since the last call.

        Raises:
            InvalidUsage: If `replace` is False and a file would be overwritten; nothing is written
                then.
            TransferFailed: If a file cannot be fetched, or arrives with the wrong content.
        """
        folder = Path(output) if output is not None else Path(f"{self.job_id}-{self.name}")
        await download_checkpoint(
            self._client, self.job_id, self.data, folder, replace=replace, advance=advance
        )
        return folder

    async def load(
        self, output: str | Path | None = None, *, replace: bool = False
    ) -> tuple[Any, Any]:
        """Downloads the checkpoint and loads it with the package transformers.

        Args:
            output: The folder of the download. Default: as for `download`.
            replace: As for `download`.

        Returns:
            The model and the tokenizer, as instances of classes of transformers.

        Raises:
            BabylmError: If transformers is not installed.
            InvalidUsage: If `replace` is False and a file would be overwritten.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise BabylmError(
                f"the package transformers, which loads checkpoints, cannot be imported: {error}",
                hint="pip install transformers torch",
            ) from error
        folder = await self.download(output, replace=replace)
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
        """Lets the service generate text; returns the prompt and the generated text.

        Args:
            prompt: The beginning of the text.
            max_new_tokens: Maximum number of tokens of the continuation.
            temperature: 0 always chooses the most probable token; a higher value gives more
                varied text.
            top_k: Number of most probable tokens to choose from. Default: all tokens.
            seed: The same seed gives the same text. Default: a random seed.
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
            advance: Called with the finished share of the evaluation, 0 to 1.
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
        return f"/v1/jobs/{self.job_id}/checkpoints/{path_part(self.name, 'checkpoint')}"


class AsyncCheckpoints(dict[str, AsyncCheckpoint]):
    """The checkpoints of a job by name.

    A kind of checkpoint, such as `best`, is also a key: it finds the latest checkpoint of this
    kind, for example `best-000020`.
    """

    def __init__(self, checkpoints: Iterable[AsyncCheckpoint] = ()) -> None:
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
