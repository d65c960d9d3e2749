"""Commands for evaluation tasks: list, add."""

from pathlib import Path
from typing import Annotated

import typer

from babylm.options import AsJson, Url, open_client

group = typer.Typer(
    help="List evaluation tasks, or upload the files of a task.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="evaluations")


@group.callback()
def evaluations(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """List the evaluation tasks of the service, or run one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from babylm.output import in_bytes, print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/evaluations")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each["name"]),
            str(each["kind"] or each["error"]),
            str(each["paradigms"]),
            in_bytes(each["bytes"]),
        )
        for each in found
    ]
    empty = "no evaluation tasks; add one with `babylm evaluations add NAME PATH`"
    print_table(("task", "kind", "files", "size"), rows, empty=empty)


@group.command()
def add(
    name: Annotated[
        str, typer.Argument(help="Name of a new or existing task, such as blimp_fast.")
    ],
    path: Annotated[
        Path,
        typer.Argument(help="A .jsonl, .csv or .json file, a zip or tar archive, or a folder."),
    ],
    folder: Annotated[
        str | None, typer.Option("--folder", help="Use only this folder of an archive.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that exist.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload the files of an evaluation task to the service, which may run on another machine.

    The service parses the files completely and refuses invalid ones. If the transfer is
    interrupted, the same command continues it.
    """
    from babylm.client._sync.upload import evaluation_files, send_evaluation
    from babylm.output import in_bytes, print_json
    from babylm.progress import byte_bar

    files = evaluation_files(path)
    total = sum(file.stat().st_size for file in files)
    published: list[str] = []
    with open_client(url) as client, byte_bar("upload", total) as advance:
        for file in files:
            published += send_evaluation(
                client, name, file, folder=folder, replace=replace, advance=advance
            )
    if as_json:
        print_json({"task": name, "files": published, "bytes": total})
    else:
        print(f"{name}: {', '.join(published)} ({in_bytes(total)} sent)")
