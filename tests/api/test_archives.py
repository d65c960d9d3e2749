"""Archives that other programs made are read. The refusal of a damaged archive names the member."""

import gzip
import io
import random
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import archives, tar_reader
from api.errors import Problem
from tests.api.sending import TEXT, entry, send, tarred, tree, zipped


def read(content: bytes, name: str, folder: Path) -> dict[str, bytes]:
    """The text files of an archive, by path."""
    path = folder / "archive"
    path.write_bytes(content)
    found = {}
    for inner, reader in archives.members(path, name, lambda each: each.suffix == ".txt"):
        data = b""
        while block := reader.read(1000):
            data += block
        found[str(inner)] = data
    return found


def outcome(content: bytes, name: str, folder: Path) -> dict[str, bytes] | Problem:
    try:
        return read(content, name, folder)
    except Problem as problem:
        return problem


def refusal(content: bytes, name: str, folder: Path) -> Problem:
    with pytest.raises(Problem) as caught:
        read(content, name, folder)
    return caught.value


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=40)
"""Names of members, without backslashes, which separate folders in archives made on Windows."""
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join).filter(lambda each: each.strip("/."))


@given(
    members=st.dictionaries(PATHS.map(lambda path: f"a{path}.txt"), st.binary(max_size=2000)),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    compressed=st.booleans(),
)
def test_archives_written_by_tarfile_are_read(tmp_path_factory, members, form, compressed):
    target = io.BytesIO()
    with tarfile.open(
        fileobj=target,
        mode="w:gz" if compressed else "w",
        format=form,
        pax_headers={"comment": "x"},
    ) as archive:
        for name, content in members.items():
            archive.addfile(*_file(name, content))
    found = read(target.getvalue(), "a.tar", tmp_path_factory.mktemp("archive"))
    assert found == {str(Path(name)): content for name, content in members.items()}


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 0.5  # a fractional time makes tarfile write a pax header
    return info, io.BytesIO(content)


def test_an_old_ustar_name_with_a_prefix_is_read(tmp_path):
    target = io.BytesIO()
    name = "/".join(["folder" * 10] * 3 + ["a.txt"])
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(*_file(name, TEXT))
    assert read(target.getvalue(), "a.tar", tmp_path) == {name: TEXT}


def test_gzip_members_in_a_row_are_one_stream(tmp_path):
    content = tarred(entry("a.txt", TEXT), mode="w")
    parts = [content[at : at + 5000] for at in range(0, len(content), 5000)]
    joined = b"".join(gzip.compress(part) for part in parts) + bytes(512)
    assert read(joined, "a.tar.gz", tmp_path) == {"a.txt": TEXT}


def test_endless_empty_gzip_members_are_refused(tmp_path):
    content = gzip.compress(b"") * (tar_reader.MAX_GZIP_MEMBERS + 1)
    assert "gzip members" in refusal(content, "a.tgz", tmp_path).detail


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_without_bounded_output_is_refused_unread(tmp_path, method):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("big.txt", b" " * (1 << 20))
    problem = refusal(target.getvalue(), "a.zip", tmp_path)
    assert (problem.status, problem.code) == (422, "archive_invalid")
    assert "'big.txt' is compressed with method" in problem.detail
    assert "deflate" in problem.detail


def raw_tar(name: bytes, *, kind: bytes = b"0", size: bytes = b"0", content: bytes = b"") -> bytes:
    """A tar member with a header that is written byte by byte."""
    header = bytearray(512)
    header[: len(name)] = name
    header[124 : 124 + len(size)] = size
    header[156:157], header[257:263] = kind, b"ustar\0"
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def pax(records: bytes, then: bytes) -> bytes:
    return raw_tar(b"x", kind=b"x", size=b"%o" % len(records), content=records) + then


END = bytes(1024)
GOOD = raw_tar(b"a.txt", size=b"2", content=b"a\n")
SECOND = raw_tar(b"b.txt", size=b"2", content=b"b\n")
DAMAGED = {
    "a wrong checksum": b"A" + GOOD[1:] + END,
    "a wrong checksum of the second": GOOD + b"A" + SECOND[1:] + END,
    "a size that is no number": raw_tar(b"a.txt", size=b"zz") + END,
    "a size of 2^88": raw_tar(b"a.txt", size=b"\x80" + b"\xff" * 11) + END,
    "a negative size": raw_tar(b"a.txt", size=b"\xff" * 12) + END,
    "a member that is cut": raw_tar(b"a.txt", size=b"7777", content=b"a") + END,
    "a header that is cut": GOOD + SECOND[:100],
    "nothing": b"",
    "a pax record without an end": pax(b"12 path=x", GOOD) + END,
    "a pax record that is too long": pax(b"999 path=a.txt\n", GOOD) + END,
    "a pax record of length 0": pax(b"0 path=a.txt\n", GOOD) + END,
    "a pax record without a length": pax(b"path=a.txt\n", GOOD) + END,
    "a pax size that is no number": pax(b"11 size=-1\n", GOOD) + END,
    "a pax size of 30 digits": pax(b"40 size=" + b"9" * 31 + b"\n", GOOD) + END,
    "digits for a quadratic search": pax(b"1" * 1_000_000, GOOD) + END,
    "a long name without a member": raw_tar(b"n", kind=b"L", size=b"5", content=b"b.txt") + END,
    "an extended header of 2 MB": pax(b"x" * (2 << 20), GOOD) + END,
}
NOT_REGULAR = {
    "a sparse map of pax 0.1": pax(b"25 GNU.sparse.map=1,x,2,\n", GOOD) + END,
    "a sparse file of pax 1.0": pax(b"22 GNU.sparse.major=1\n", GOOD) + END,
    "an old sparse file": raw_tar(b"a.txt", kind=b"S") + END,
    "a volume label": raw_tar(b"a.txt", kind=b"V") + END,
}


@pytest.mark.parametrize("name", [*DAMAGED, *NOT_REGULAR])
@pytest.mark.parametrize("compressed", [False, True], ids=["tar", "tar.gz"])
def test_a_damaged_tar_is_refused(tmp_path, name, compressed):
    content = (DAMAGED | NOT_REGULAR)[name]
    problem = refusal(gzip.compress(content) if compressed else content, "a.tar.gz", tmp_path)
    assert (problem.status, problem.code) == (422, "archive_invalid")
    assert ("is not a regular file" in problem.detail) == (name in NOT_REGULAR)


def test_the_refusal_names_the_member_before_the_damage(tmp_path):
    problem = refusal(DAMAGED["a wrong checksum of the second"], "a.tar", tmp_path)
    assert "damaged at 'a.txt': a header has a wrong checksum" in problem.detail


def zip_with(signature: bytes, offset: int, value: bytes) -> bytes:
    """A zip in which `value` replaces bytes of the last header with this signature."""
    content = bytearray(zipped({"fine.txt": b"text\n", "bad.txt": b"more text\n"}))
    at = content.rindex(signature) + offset
    content[at : at + len(value)] = value
    return bytes(content)


LOCAL, CENTRAL, END_OF_ZIP = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
DAMAGED_ZIPS = {
    "a name that is not UTF-8": zip_with(CENTRAL, 46, b"\xff\xff"),
    "another local name": zip_with(LOCAL, 30, b"x"),
    "a local name that is not UTF-8": zip_with(LOCAL, 30, b"\xff\xff").replace(
        b"\0\0\x08\0", b"\0\x08\x08\0"
    ),
    "an offset beyond the file": zip_with(CENTRAL, 42, b"\xff\xff\xff\x7f"),
    "a wrong CRC": zip_with(CENTRAL, 16, b"\0\0\0\0"),
    "a stream that is no deflate": zip_with(LOCAL, 37, b"\xff\xff\xff"),
    "a method that is unknown": zip_with(CENTRAL, 10, b"\x63\0"),
    "patched data": zip_with(CENTRAL, 8, b"\x20\0"),
    "strong encryption": zip_with(CENTRAL, 8, b"\x40\0"),
    "a directory at a negative offset": zip_with(END_OF_ZIP, 16, b"\xff\xff\xff\x7f"),
    "more bytes than it says": zip_with(CENTRAL, 20, b"\x01\0\0\0"),
}


@pytest.mark.parametrize("name", DAMAGED_ZIPS)
def test_a_damaged_zip_is_refused(tmp_path, name):
    problem = refusal(DAMAGED_ZIPS[name], "a.zip", tmp_path)
    assert (problem.status, problem.code) == (422, "archive_invalid"), problem.detail


def test_a_list_of_members_that_fills_the_memory_is_refused(tmp_path):
    # The last 22 bytes are an end record, which claims a list of members of 128 MiB. Its field for
    # the offset of the list has the bytes of the signature, so a search finds two end records.
    inner = END_OF_ZIP + bytes(6)
    record = END_OF_ZIP + bytes(4) + b"\1\0\1\0" + b"\xff\xff\xff\x07" + inner[:4] + b"\0\0"
    problem = refusal(bytes((1 << 27) + 22) + record, "a.zip", tmp_path)
    assert (problem.status, problem.code) == (413, "archive_too_large"), problem.detail


def test_a_member_is_named_where_reading_it_fails(tmp_path):
    assert "'bad.txt'" in refusal(DAMAGED_ZIPS["a wrong CRC"], "a.zip", tmp_path).detail


def test_a_disk_that_fails_is_not_called_a_damaged_archive(tmp_path):
    with pytest.raises(IsADirectoryError):
        list(archives.members(tmp_path, "a.tar", lambda _: True))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_each_truncation_is_read_or_refused(tmp_path, kind):
    files = {"a.txt": b"text\n" * 100, "b.txt": b"more\n" * 100}
    mode = "w:gz" if kind == "tar.gz" else "w"
    whole = (
        zipped(files)
        if kind == "zip"
        else tarred(*(entry(*each) for each in files.items()), mode=mode)
    )
    for length in range(0, len(whole), 1 if kind == "zip" else 7):
        found = outcome(whole[:length], f"a.{kind}", tmp_path)
        if isinstance(found, Problem):
            assert found.code == "archive_invalid"
        else:
            assert found.items() <= files.items()


def test_a_damaged_archive_leaves_nothing_and_is_answered_with_a_problem(client, settings):
    before = tree(settings.data_dir)
    for name, content in {
        "sparse.tar": NOT_REGULAR["a sparse map of pax 0.1"],
        "name.zip": DAMAGED_ZIPS["a local name that is not UTF-8"],
        "offset.zip": DAMAGED_ZIPS["an offset beyond the file"],
    }.items():
        answer = send(client, name, content)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "archive_invalid"
    assert tree(settings.data_dir) == before


def test_random_damage_is_read_or_refused(tmp_path):
    source = random.Random(14)
    whole = [("a.zip", zipped({"a.txt": TEXT[:3000], "b.txt": TEXT[:500]}))]
    members = (entry("a.txt", TEXT[:3000]), entry("b.txt", TEXT[:500]))
    whole += [(f"a.{kind}", tarred(*members, mode=mode)) for kind, mode in _KINDS]
    for _ in range(600):
        name, content = source.choice(whole)
        mutated = bytearray(content)
        for _ in range(source.randint(1, 8)):
            mutated[source.randrange(len(mutated))] = source.randrange(256)
        found = outcome(bytes(mutated), name, tmp_path)
        assert isinstance(found, dict) or found.status in (413, 422)


_KINDS = (("tar", "w"), ("tar.gz", "w:gz"))


def test_skipped_bytes_of_a_stream_count_for_the_budget(tmp_path):
    bomb = zlib.compressobj(9, wbits=31)
    size = archives.FREE_BYTES * 3
    content = bomb.compress(raw_tar(b"a.bin", size=b"%o" % size) + bytes(size) + END) + bomb.flush()
    problem = refusal(content, "a.tgz", tmp_path)
    assert (problem.status, problem.code) == (413, "archive_too_large")
