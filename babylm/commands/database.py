"""Commands for the database: db copy."""

from typing import Annotated

import typer

from babylm.options import AsJson, load_service_settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_the_database)  # otherwise typer drops the name of a single command
    group.command()(copy)
    app.add_typer(group, name="db")


def _the_database() -> None:
    """Manage the database."""


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Address of the database to read.")],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="Address of an empty database to write.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy all jobs into another, empty database: SQLite to Postgres, or back.

    Stop the service first, and set BABYLM_DATABASE_URL to the new address afterwards. Files in the
    runs folder stay where they are.
    """
    from babylm.database import database_errors
    from babylm.output import print_json, print_table
    from jobs.copy import copy_database
    from jobs.database import make_engine

    load_service_settings()
    for url in (source, target):
        with database_errors(url):
            make_engine(url).connect().close()
    with database_errors(target):
        counts = copy_database(source, target)
    if as_json:
        print_json({"copied": counts})
    else:
        rows = [(name, f"{count:,}") for name, count in counts.items()]
        print_table(("table", "rows"), rows, empty="")
