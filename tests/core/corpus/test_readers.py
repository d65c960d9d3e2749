"""Files of rows and compressed files give the same text as a plain file, in bounded memory."""

import csv
import gzip
import json
import lzma
import tracemalloc

import pytest

from core.corpus.formats import compression, extract
from core.corpus.formats.rows import LONGEST_ROW_BYTES, RowOptions
from core.corpus.sources import find_source_files, scan_folder
from core.corpus.stage import clean_corpus, preview
from core.errors import (
    CorpusColumnMissing,
    CorpusDamaged,
    CorpusEncoding,
    CorpusNotText,
    CorpusTooLarge,
    Stopped,
)
from core.spec.corpus import CleanOptions

pyarrow = pytest.importorskip("pyarrow")
zstandard = pytest.importorskip("zstandard")

DOCUMENTS = [
    'She said: "no, thanks", and left.\nThen it rained.',
    "caf\u00e9 \u4e2d\u6587 \U0001f98a, a\ttab; and a ; semicolon",
    "*MOT:\tmore cookie [= biscuit] .",
    "0 1 2",
] * 40
LINES = ["a line", "another, \u00e9", "", "a second document", "its 2nd line"] * 40
COMPRESS = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def jsonl(texts, column):
    return "".join(json.dumps({"id": i, column: t}) + "\n" for i, t in enumerate(texts)).encode()


def as_csv(texts, column, folder):
    with (folder / "table").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", column], *enumerate(texts)])
    return (folder / "table").read_bytes()


def table(texts, column):
    return pyarrow.table({"id": list(range(len(texts))), column: texts})


def parquet(texts, column):
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table(texts, column), sink, row_group_size=37)
    return sink.getvalue().to_pybytes()


def arrow(texts, column, make="new_stream"):
    sink = pyarrow.BufferOutputStream()
    with getattr(pyarrow.ipc, make)(sink, table(texts, column).schema) as writer:
        writer.write_table(table(texts, column), max_chunksize=37)
    return sink.getvalue().to_pybytes()


def clean(folder, output, rows=None, should_stop=lambda: False):
    output.mkdir()
    return clean_corpus(
        find_source_files(folder, rows=rows),
        options=CleanOptions(),
        output=output,
        progress=lambda _: None,
        should_stop=should_stop,
        processes=1,
    )


def dataset(path, name, content):
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("mode", ["documents", "lines"])
@pytest.mark.parametrize("stem", ["childes", "mine"])
def test_each_format_gives_the_same_text_as_its_plain_form(tmp_path, stem, mode):
    texts = DOCUMENTS if mode == "documents" else LINES
    rows = RowOptions(column="content", mode=mode)
    plain = ("\n\n" if mode == "documents" else "\n").join(texts).encode()
    forms = {
        ".txt": plain,
        ".jsonl": jsonl(texts, "content"),
        ".train.csv": as_csv(texts, "content", tmp_path),
        ".parquet": parquet(texts, "content"),
        ".arrow": arrow(texts, "content"),
    }
    names = dict(forms)
    for suffix, content in forms.items():
        names |= {suffix + end: compress(content) for end, compress in COMPRESS.items()}
    names[".ARROW"] = arrow(texts, "content", "new_file")
    results = {}
    for suffix, content in names.items():
        folder = dataset(tmp_path / f"data{suffix}", f"{stem}{suffix}", content)
        output = tmp_path / f"out{suffix}"
        report = clean(folder, output, rows).sources[stem]
        has_rows = not suffix.startswith(".txt")
        assert (report.rows.read if report.rows else None) == (len(texts) if has_rows else None)
        assert {path.name for path in output.iterdir()} == {"report.json", f"{stem}.txt"}
        text = (output / f"{stem}.txt").read_bytes()
        results[suffix] = (text, report.words_out, report.documents, report.source)
    assert results[".txt"][1] > 200
    assert {suffix for suffix, found in results.items() if found != results[".txt"]} == set()


def test_malformed_rows_are_counted_with_line_and_reason_and_too_many_are_refused(tmp_path):
    good = jsonl(["some words"] * 600, "text").splitlines(keepends=True)
    bad = [
        b'{"text": "cut\n',
        b'{"other": "no text"}\n',
        b'{"text": 7}\n',
        b'{"text": "\\ud800"}\n',
        b'"text"\n',
    ]
    empty = [b'{"text": null}\n', b'{"text": " "}\n', b"\n"]
    folder = dataset(tmp_path / "data", "mine.jsonl", b"".join([*good, *bad, *empty]))
    rows = clean(folder, tmp_path / "out").sources["mine"].rows
    assert (rows.read, rows.empty, rows.malformed) == (607, 2, 5)
    assert rows.examples == [
        "line 601 is not JSON: Invalid control character at at column 14",
        "line 602 has no field 'text'",
        "line 603 has a field 'text' that is no string",
        "row 604 has half of a surrogate pair",
        "line 605 is no JSON object",
    ]
    dataset(tmp_path / "data", "mine.jsonl", b"".join([*good, *bad, *bad]))
    with pytest.raises(CorpusDamaged, match=r"mine\.jsonl has 10 malformed rows of 610.*line 601"):
        clean(folder, tmp_path / "refused")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.jsonl", b'{"content": "x", "id": 1}\n', CorpusColumnMissing, "'content', 'id'"),
        ("a.csv", b"id;text\n1;x\n", CorpusColumnMissing, "'id;text'"),
        ("a.csv", b"", CorpusColumnMissing, "no column at all"),
        ("a.csv", b"id,text\n1,caf\xe9\n", CorpusEncoding, "line 2, byte 6"),
        ("a.csv", b"id,text\n1,two, words\n", CorpusDamaged, "line 2 has 3 fields"),
        ("a.jsonl", b"[" * 100_000, CorpusDamaged, "1 malformed rows of 1"),
        ("a.parquet", b"PAR1 is no table", CorpusDamaged, r"a\.parquet cannot be read"),
        ("a.arrow", b"ARROW1 is none", CorpusDamaged, r"a\.arrow cannot be read"),
        ("a.txt.gz", b"plain text", CorpusDamaged, r"a\.txt\.gz cannot be read as \.gz"),
        ("a.txt.gz", gzip.compress(b"words " * 999, mtime=0)[:-9], CorpusDamaged, "ended before"),
        ("a.txt.xz", lzma.compress(b"words " * 999)[:-9], CorpusDamaged, "ends within"),
        ("a.txt.zst", COMPRESS[".zst"](b"words " * 999)[:-9], CorpusDamaged, "ends within"),
        (
            "a.txt.gz",
            gzip.compress(b"<html>", mtime=0),
            CorpusNotText,
            r"a\.txt\.gz is an HTML page",
        ),
        (
            "a.txt.gz",
            gzip.compress(b"ok\ncaf\xe9\n", mtime=0),
            CorpusEncoding,
            r"a\.txt\.gz .* line 2",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name_with_the_reason(
    tmp_path, name, content, error, message
):
    folder = dataset(tmp_path / "data", name, content)
    with pytest.raises(error, match=message) as raised:
        clean(folder, tmp_path / "out")
    assert ".plain-" not in raised.value.message
    assert list((tmp_path / "out").glob(".plain-*")) == []


def test_a_column_that_is_no_text_is_refused_with_its_type(tmp_path):
    folder = dataset(tmp_path / "data", "a.parquet", parquet(["x"], "text"))
    with pytest.raises(CorpusColumnMissing, match=r"column 'id' of .*a\.parquet holds int64"):
        clean(folder, tmp_path / "out", RowOptions(column="id"))


@pytest.mark.parametrize("end", COMPRESS)
def test_a_decompression_bomb_is_refused_in_bounded_memory(tmp_path, end, monkeypatch):
    monkeypatch.setattr(compression, "FREE_BYTES", 1 << 20)
    bomb = COMPRESS[end](b"a " * (15 << 20))
    assert len(bomb) * compression.MAX_RATIO < 16 << 20
    folder = dataset(tmp_path / "data", f"a.txt{end}", bomb)
    tracemalloc.start()
    try:
        with pytest.raises(CorpusTooLarge, match=f"a.txt{end}"):
            clean(folder, tmp_path / "out")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


def test_an_xz_file_that_asks_for_more_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "MAX_WINDOW_BYTES", 1 << 20)
    folder = dataset(tmp_path / "data", "a.txt.xz", lzma.compress(b"words " * 999, preset=6))
    with pytest.raises(CorpusDamaged, match="Memory usage limit"):
        clean(folder, tmp_path / "out")


def test_a_row_that_is_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("core.corpus.formats.rows.LONGEST_ROW_BYTES", 1 << 20)
    assert LONGEST_ROW_BYTES > 1 << 20
    for name, content in (
        ("a.jsonl", b'{"text": "' + b"x" * (3 << 20)),
        ("a.csv", b'id,text\n1,"never closed\n' + b"words\n" * (1 << 19)),
    ):
        folder = dataset(tmp_path / name, name, content)
        with pytest.raises(CorpusEncoding, match="row of more than 1,048,576 bytes"):
            clean(folder, tmp_path / f"out-{name}")


def test_a_stop_request_ends_an_extraction(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "ROWS_PER_CHECK", 1)
    folder = dataset(tmp_path / "data", "a.jsonl", jsonl(["x"] * 3, "text"))
    with pytest.raises(Stopped):
        clean(folder, tmp_path / "out", should_stop=lambda: True)


def test_the_preview_of_rows_is_their_text_and_of_tables_empty(tmp_path):
    folder = dataset(
        tmp_path, "a.jsonl.gz", gzip.compress(jsonl(["one  two", "three"], "text"), mtime=0)
    )
    dataset(tmp_path, "b.parquet", parquet(["x"], "text"))
    dataset(tmp_path, "c.jsonl", b"no json\n")
    dataset(tmp_path, "dataset_info.json", b"{}")
    files = {file.stem: file for file in find_source_files(folder)}
    lines = preview(files["a"], options=CleanOptions())
    assert lines[:3] == [("one  two", "one two"), ("", None), ("three", "three")]
    assert preview(files["b"], options=CleanOptions()) == []
    assert preview(files["c"], options=CleanOptions()) == []
    _, left_out = scan_folder(tmp_path)
    assert [each.reason for each in left_out] == ["describes a saved dataset and contains no text"]
