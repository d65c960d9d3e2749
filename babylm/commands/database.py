"""Commands about the database: db copy."""

from typing import Annotated

import typer

from babylm.errors import CommandError
from babylm.options import AsJson, load_service_settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_the_database)  # or typer drops the name of the only command
    group.command()(copy)
    app.add_typer(group, name="db")


def _the_database() -> None:
    """Look after the database."""


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
    from importlib import import_module

    from sqlalchemy.exc import SQLAlchemyError

    from babylm.output import print_json, print_table

    load_service_settings()
    copying, errors = import_module("jobs.copy"), import_module("jobs.errors")
    try:
        counts = copying.copy_database(source, target)
    except errors.JobsError as error:
        raise CommandError(error.message) from error
    except SQLAlchemyError as error:
        raise CommandError(f"the copy failed and the target is unchanged: {error}") from error
    if as_json:
        print_json({"copied": counts})
    else:
        rows = [(name, f"{count:,}") for name, count in counts.items()]
        print_table(("table", "rows"), rows, empty="")
