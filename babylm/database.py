"""Explains errors of the database; messages show its address without the password."""

from collections.abc import Iterator
from contextlib import contextmanager

from babylm.errors import CommandError, UsageError

EXAMPLES = "Use sqlite:///runs/babylm.sqlite3 or postgresql+psycopg://USER:PASSWORD@HOST/NAME."


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turns errors of the database within the block into errors that explain the cause.

    Raises:
        UsageError: If the address is not valid.
        CommandError: If the driver is missing, or the database does not answer or reports an
            error.
    """
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

    from jobs.errors import JobsError

    try:
        yield
    except JobsError as error:
        raise CommandError(error.message) from error
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("psycopg", "psycopg2"):
            raise
        raise CommandError(
            f"the database {shown_url(url)} needs the package {error.name}",
            hint="pip install 'babylm-service[postgres]', and write postgresql+psycopg://",
        ) from error
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        message = f"the database address {shown_url(url)} is not valid: {error}"
        raise UsageError(message, hint=EXAMPLES) from error
    except OperationalError as error:
        raise CommandError(
            f"the database {shown_url(url)} cannot be used: {_first_line(error)}",
            hint="Check that the server runs and that BABYLM_DATABASE_URL names it.",
        ) from error
    except SQLAlchemyError as error:
        message = f"an error occurred while using the database {shown_url(url)}"
        raise CommandError(f"{message}: {_first_line(error)}") from error


def check_database(url: str) -> None:
    """Raises an error if the database does not answer or its schema is not that of this version.

    See `database_errors` for the errors.
    """
    from jobs.database import Database

    with database_errors(url):
        database = Database(url)
        try:
            database.check_schema()
        finally:
            database.dispose()


def shown_url(url: str) -> str:
    """The address without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.partition("://")[0] + "://..."


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
