"""Commands for the cache of stage results. They run on the machine that has the runs folder."""

from typing import Annotated

import typer

from babylm.options import AsJson, load_settings

group = typer.Typer(
    help="List and prune the cached stage results in the runs folder of this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="cache")


@group.command("list")
def list_entries(as_json: AsJson = False) -> None:
    """List the cached results, the least recently used first."""
    from babylm.output import age, in_bytes, print_json, print_table
    from core.storage.cache import Cache

    entries = Cache(load_settings().cache_folder).entries()
    if as_json:
        print_json(
            [
                {
                    "stage": entry.stage,
                    "fingerprint": entry.fingerprint,
                    "bytes": entry.bytes,
                    "used_at": entry.used_at.isoformat(),
                }
                for entry in entries
            ]
        )
        return
    rows = [
        (entry.stage, entry.fingerprint, in_bytes(entry.bytes), age(entry.used_at.isoformat()))
        for entry in entries
    ]
    print_table(("stage", "result", "size", "used"), rows, empty="the cache is empty")


@group.command()
def prune(
    max_bytes: Annotated[
        int | None,
        typer.Option(
            "--max-bytes",
            min=0,
            help="Maximum size of the cache in bytes  [default: BABYLM_CACHE_BYTES, or 0]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove cached results, the least recently used first, until the cache is small enough.

    Results that an unfinished run needs are kept.
    """
    from babylm.output import in_bytes, print_json
    from core.storage.cache import Cache

    settings = load_settings()
    limit = max_bytes if max_bytes is not None else settings.cache_bytes or 0
    dropped = Cache(settings.cache_folder).prune(limit)
    total = sum(entry.bytes for entry in dropped)
    if as_json:
        print_json({"dropped": len(dropped), "bytes": total})
    else:
        print(f"{len(dropped)} results dropped, {in_bytes(total)}")
