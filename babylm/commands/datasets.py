"""Commands for datasets: list, add, download, remove."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babylm.options import AsJson, Url, open_client

if TYPE_CHECKING:
    from babylm.client import Client

Origin = dict[str, Any]
"""The body of `POST /v1/datasets/{name}/origins`."""

group = typer.Typer(
    help="List datasets, add text, and download text from the internet.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="datasets")


@group.callback()
def datasets(context: typer.Context, url: Url = None, as_json: AsJson = False) -> None:
    """List the datasets of the service, or run one of the commands below."""
    if context.invoked_subcommand is not None:
        return
    from babylm.output import in_bytes, print_json, print_table

    with open_client(url) as client:
        found = client.listing("/v1/datasets")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(each.get("name", "")),
            ", ".join(each.get("sources", [])),
            in_bytes(each.get("bytes")),
            ("" if each.get("is_words_exact") else "about ") + f"{each.get('words', 0):,}",
        )
        for each in found
    ]
    columns = ("dataset", "files", "size", "words")
    print_table(columns, rows, empty="no datasets; add one with `babylm datasets add NAME PATH`")


@group.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of a new or existing dataset.")],
    path: Annotated[
        Path | None,
        typer.Argument(help="A file, a zip or tar archive, or a folder; omit it with --hub."),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option("--hub", help="OWNER/NAME of a dataset on the Hugging Face Hub."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="With --hub: a branch, tag or commit  [default: main]"),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="With --hub: the split  [default: the only one]")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", help="With --hub: the column with the text  [default: text]"),
    ] = None,
    folder: Annotated[str | None, typer.Option("--folder", help="Use only this subfolder.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that exist.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Upload text to the service: text files, .jsonl, .csv, .parquet or .arrow, also compressed.

    A folder may have subfolders, or be a saved Hugging Face dataset. With --hub the command first
    downloads a dataset of the Hugging Face Hub, and records its commit for the model card.

    If the transfer is interrupted, the same command continues it.
    """
    from babylm.errors import UsageError

    if (path is None) == (hub is None):
        raise UsageError("give either a path or --hub OWNER/NAME")
    with open_client(url) as client:
        if hub is not None:
            if folder is not None:
                raise UsageError("--folder works only with a path; with --hub, use --split")
            _add_from_hub(
                client,
                name,
                hub,
                revision=revision,
                split=split,
                column=column,
                replace=replace,
                as_json=as_json,
            )
            return
        if revision or split or column:
            raise UsageError("--revision, --split and --column work only with --hub")
        assert path is not None
        published, total = _upload(client, name, path, folder=folder, replace=replace)
    _report(name, published, total, as_json=as_json)


def _add_from_hub(
    client: "Client",
    name: str,
    repository: str,
    *,
    revision: str | None,
    split: str | None,
    column: str | None,
    replace: bool,
    as_json: bool,
) -> None:
    from tempfile import TemporaryDirectory

    from babylm.client.paths import path_part
    from babylm.hub_dataset import download_files, find_files
    from babylm.output import print_note
    from babylm.progress import byte_bar

    path_part(name, "dataset")  # checked before the download
    found = find_files(repository, revision=revision, split=split)
    other = None if column == "text" else column
    with TemporaryDirectory(prefix="babylm-hub-") as staging:
        with byte_bar("download", sum(found.sizes.values())) as advance:
            notes = download_files(found, Path(staging), column=other, advance=advance)
        for note in notes:
            print_note(note)
        published, total = _upload(client, name, Path(staging), folder=None, replace=replace)
    origin = {
        "repository": found.repository,
        "commit": found.commit,
        "revision": revision,
        "split": split,
        "column": column,
        "licence": found.licence,
        "files": published,
    }
    path = f"/v1/datasets/{path_part(name, 'dataset')}/origins"
    client.call("POST", path, json=origin)
    _report(name, published, total, as_json=as_json, origin=origin)


def _upload(
    client: "Client", name: str, path: Path, *, folder: str | None, replace: bool
) -> tuple[list[str], int]:
    """Uploads with a progress bar; returns the published files and the number of bytes."""
    from babylm.client._sync.upload import files_to_send
    from babylm.output import print_note
    from babylm.progress import byte_bar

    def leave_out(name: str, reason: str) -> None:
        print_note(f"left out: {name} {reason}")

    total = sum(file.stat().st_size for file in files_to_send(path, folder))
    with byte_bar("upload", total) as advance:
        published = client.upload(
            name, path, folder=folder, replace=replace, advance=advance, leave_out=leave_out
        )
    return published, total


def _report(
    name: str, published: list[str], total: int, *, as_json: bool, origin: Origin | None = None
) -> None:
    from babylm.output import in_bytes, print_json

    if as_json:
        more = {} if origin is None else {"origin": origin}
        print_json({"dataset": name, "files": published, "bytes": total, **more})
        return
    print(f"{name}: {', '.join(published)} ({in_bytes(total)} sent)")
    if origin is not None:
        print(f"from {origin['repository']} at commit {origin['commit']}")


@group.command()
def download(
    address: Annotated[str, typer.Argument(metavar="URL", help="http:// or https:// address.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write  [default: name in the URL]"),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", help="Expected hash; a file with another hash is discarded."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the file if it exists.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a file, such as the official BabyLM data, for `babylm datasets add`.

    If the transfer is interrupted, the same command continues it. The service itself never
    downloads anything.
    """
    from babylm.fetch import fetch_file, name_in
    from babylm.output import in_bytes, print_json
    from babylm.progress import byte_bar

    target = output or Path(name_in(address))
    if target.is_dir():
        target = target / name_in(address)
    with byte_bar("download", None) as advance:
        found = fetch_file(address, target, sha256=sha256, replace=replace, advance=advance)
    if as_json:
        print_json({"file": str(target), "bytes": found.size, "sha256": found.sha256})
    else:
        print(f"{target}: {in_bytes(found.size)}, SHA-256 {found.sha256}")


@group.command()
def delete(
    name: Annotated[str, typer.Argument(help="Name of the dataset.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset that no unfinished job needs."""
    from babylm.output import print_json

    with open_client(url) as client:
        client.delete_dataset(name)
    if as_json:
        print_json({"deleted": name})
    else:
        print(f"{name} is removed")
