"""SQL expressions that SQLite and Postgres write differently."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Boolean, Dialect, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from jobs.tables import UtcDateTime


class SecondsAgo(FunctionElement[datetime]):
    """The time of the database server minus `seconds`; with SQLite, the time of the host.

    A query that compares a column with it needs no second query for the time.
    """

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)


class IsOneOf(FunctionElement[bool]):
    """See `is_one_of`."""

    type = Boolean()
    inherit_cache = True


def is_one_of(
    column: SQLCoreOperations[Any], parameter: str, item: type[TypeEngine[Any]]
) -> IsOneOf:
    """Whether a column has one of the values of a list, which is a single bind parameter.

    SQLAlchemy's `in_` creates a bind parameter for each value, so the SQL text depends on the
    length of the list: SQLAlchemy rebuilds it at each execution, and Postgres plans it again. For
    40 values, this took longer than the query itself.
    """
    return IsOneOf(column, bindparam(parameter, type_=_ListOf(item)))


class _ListOf(TypeDecorator[Sequence[Any]]):
    """A list as a parameter: an array on Postgres, and JSON on SQLite, which has no arrays."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the parameter."""
        kind: TypeEngine[Any] = ARRAY(self.item) if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        """The list in the form that the dialect takes."""
        values = list(value or ())
        return values if dialect.name == "postgresql" else json.dumps(values)


@compiles(SecondsAgo, "sqlite")
def _seconds_ago_sqlite(element: SecondsAgo, compiler: SQLCompiler, **options: Any) -> str:
    # SQLAlchemy stores times with six decimal places. SQLite's clock has three, so zeros follow.
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', -{seconds} || ' seconds')"


@compiles(SecondsAgo, "postgresql")
def _seconds_ago_postgres(element: SecondsAgo, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(statement_timestamp() - make_interval(secs => {seconds}))"


@compiles(IsOneOf, "sqlite")
def _is_one_of_sqlite(element: IsOneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(IsOneOf, "postgresql")
def _is_one_of_postgres(element: IsOneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({values})"
