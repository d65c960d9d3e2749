"""Commands for tokenizers: list them, train one, show how a text is split."""

from pathlib import Path
from typing import Annotated

import typer

from babylm.client.wire import Body
from babylm.options import AsJson, JobName, Url, open_client

group = typer.Typer(
    help="List tokenizers, train or upload a tokenizer, or show how a tokenizer splits a text.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="tokenizer")


@group.callback()
def tokenizer(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """List the tokenizers of jobs, or run one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/tokenizers")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each["job"]),
            str(each["name"]),
            f"{each['vocab_size']:,}",
            _figure(each, "bytes_per_word"),
            _figure(each, "characters_per_word"),
            _figure(each, "tokens_per_word"),
        )
        for each in found
    ]
    columns = ("job", "name", "entries", "bytes/word", "characters/word", "tokens/word")
    print_table(columns, rows, empty="no tokenizer; train one with `babylm tokenizer train`")


@group.command()
def train(
    dataset: Annotated[str, typer.Option("--dataset", help="Dataset to train on.")] = "train_10M",
    validation: Annotated[
        str, typer.Option("--validation", help="Text on which the tokenizer is measured.")
    ] = "dev",
    vocab_size: Annotated[int, typer.Option("--vocab-size", min=260)] = 32_000,
    min_frequency: Annotated[int, typer.Option("--min-frequency", min=1)] = 2,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job until it ends.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train only a tokenizer, as a job. Other jobs use it with --set tokenizer.from_job=JOB."""
    from uuid import uuid4

    from babylm.client import Job
    from babylm.follow import follow_job
    from babylm.output import print_json

    body: Body = {
        "data": {"dataset": dataset, "validation": validation},
        "tokenizer": {"vocab_size": vocab_size, "min_frequency": min_frequency},
    }
    with open_client(url) as client:
        headers = {"Idempotency-Key": str(uuid4())}
        job = Job(client, client.call("POST", "/v1/tokenizers", json=body, headers=headers))
        if follow:
            follow_job(job, as_json=as_json)
        elif as_json:
            print_json(job.data)
        else:
            print(f"job {job.id}")


@group.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the tokenizer.")],
    path: Annotated[Path, typer.Argument(help="A tokenizer.json, or a folder with one.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload an existing tokenizer. Jobs use it with --set tokenizer.path=tokenizers/NAME."""
    from babylm.client.errors import InvalidUsage
    from babylm.client.paths import path_part
    from babylm.output import print_json

    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise InvalidUsage(f"{path} is neither a tokenizer.json nor a folder that has one")
    with open_client(url) as client:
        answer = client.call(
            "POST",
            f"/v1/tokenizer-files/{path_part(name, 'tokenizer')}",
            content=file.read_bytes(),
            headers={"Content-Type": "application/octet-stream"},
        )
    if as_json:
        print_json(answer)
    else:
        print(f"{answer['path']}: {answer['vocab_size']:,} entries")


@group.command()
def encode(
    job: JobName,
    text: Annotated[str, typer.Argument(help="The text to split.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show how the tokenizer of a job splits a text."""
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        path = f"/v1/tokenizers/{client.job(job).id}/encode"
        answer = client.call("POST", path, json={"text": text}, timeout=150.0)
    if as_json:
        print_json(answer)
        return
    rows = [
        (str(each["id"]), each["piece"], repr(each["text"]), f"{each['start']}-{each['end']}")
        for each in answer["tokens"]
    ]
    print_table(("id", "entry", "text", "characters"), rows, empty="the text is empty")


def _figure(tokenizer: Body, name: str) -> str:
    value = (tokenizer.get("validation") or {}).get(name)
    return f"{value:.2f}" if value is not None else ""
