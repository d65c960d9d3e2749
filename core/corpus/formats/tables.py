"""Reads the text column of Parquet files and saved Hugging Face datasets with pyarrow.

pyarrow parses in C++, where an error can crash the process, so only the processes of runs and of
the short worker use it. This module imports pyarrow only when it reads a file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.corpus.formats.compression import MAX_TEXT_BYTES, damaged
from core.corpus.formats.rows import BadRow, Row, column_missing
from core.errors import CorpusColumnMissing, CorpusReaderMissing, CorpusTooLarge

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

BATCH_ROWS = 256
MAX_GROUP_BYTES = 1 << 30
"""Maximum bytes of the text column in one row group. A reader may hold a whole group in memory.
Programs that write Parquet aim at groups of 128 MiB."""
FILE_MAGIC = b"ARROW1"


def read_parquet(path: Path, name: Path, column: str) -> Iterator[Row]:
    """The rows of a Parquet file; `name` is its path in error messages.

    Raises:
        CorpusColumnMissing: If the file lacks the column, or the column is not text.
        CorpusDamaged: If the file cannot be read.
        CorpusTooLarge: If the column or one of its row groups exceeds a limit.
        CorpusReaderMissing: If pyarrow is not installed.
    """
    pyarrow = require_pyarrow(name)
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, pre_buffer=False) as file:
            _require_text_column(file.schema_arrow, name, column)
            _require_small_groups(file.metadata, name, column)
            batches = file.iter_batches(BATCH_ROWS, columns=[column], use_threads=False)
            yield from _rows(batches, column)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(name, error) from error


def read_arrow(path: Path, name: Path, column: str) -> Iterator[Row]:
    """The rows of an Arrow file or stream, as `Dataset.save_to_disk` writes them.

    Raises:
        CorpusColumnMissing, CorpusDamaged, CorpusReaderMissing: As `read_parquet`.
    """
    pyarrow = require_pyarrow(name)
    try:
        with pyarrow.memory_map(str(path)) as file:
            is_file = file.read(len(FILE_MAGIC)) == FILE_MAGIC
            file.seek(0)
            if is_file:
                table = pyarrow.ipc.open_file(file)
                batches = (table.get_batch(each) for each in range(table.num_record_batches))
            else:
                table = batches = pyarrow.ipc.open_stream(file)
            _require_text_column(table.schema, name, column)
            yield from _rows(batches, column)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(name, error) from error


TABLE_READERS: dict[str, Callable[[Path, Path, str], Iterator[Row]]] = {
    ".parquet": read_parquet,
    ".arrow": read_arrow,
}
"""Readers by suffix, for the formats that only pyarrow can read. pyarrow must be able to seek in
the file."""


def require_pyarrow(name: Path) -> Any:  # a module without types
    """The module `pyarrow`.

    Raises:
        CorpusReaderMissing: If it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise pyarrow_missing(name) from error
    return pyarrow


def pyarrow_missing(name: Path) -> CorpusReaderMissing:
    """The error for a file that only pyarrow can read."""
    return CorpusReaderMissing(
        f"{name} is read by the package pyarrow, which is not installed",
        hint="Install it with `pip install 'babylm-service[parquet]'`, or save the text as .jsonl "
        "or .txt.",
    )


def _rows(batches: "Iterator[RecordBatch]", column: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        values = batch.column(batch.schema.get_field_index(column))
        for begin in range(0, len(values), BATCH_ROWS):
            for value in values.slice(begin, BATCH_ROWS):
                number += 1
                try:
                    yield value.as_py() or ""
                except UnicodeDecodeError as error:
                    yield BadRow(f"row {number:,}", f"is not UTF-8 at byte {error.start + 1:,}")


def _require_text_column(schema: Any, name: Path, column: str) -> None:  # pyarrow.Schema
    place = schema.get_field_index(column)
    if place < 0:
        raise column_missing(name, column, schema.names)
    if not _is_text(schema.field(place).type):
        raise CorpusColumnMissing(
            f"the column {column!r} of {name} holds {schema.field(place).type}, not text"
        )


def _is_text(kind: "DataType") -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(test(kind) for test in (types.is_string, types.is_large_string, types.is_null))


def _require_small_groups(metadata: Any, name: Path, column: str) -> None:  # FileMetaData
    total = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.path_in_schema == column:
                total += chunk.total_uncompressed_size
                if chunk.total_uncompressed_size > MAX_GROUP_BYTES or total > MAX_TEXT_BYTES:
                    raise CorpusTooLarge(
                        f"{name} has more than {MAX_GROUP_BYTES >> 30} GiB of text in row group "
                        f"{number}, or more than {MAX_TEXT_BYTES >> 30} GiB in all",
                        hint="Write the file again with smaller row groups, or as several files.",
                    )
