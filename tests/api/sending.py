"""Texts, archives and requests for the tests of uploads."""

import io
import tarfile
import zipfile
from pathlib import Path

TEXT = "".join(f"line {number} of a text\n" for number in range(5000)).encode()
URL = "/v1/datasets/mine/files"


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def send(client, name, content, *, url=URL, headers=None, **query):
    return client.post(url, params={"name": name, **query}, content=content, headers=headers)


def piece(client, name, content: bytes, begin: int, end: int, **query):
    headers = {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}
    return send(client, name, content[begin:end], headers=headers, **query)


def zipped(members: dict[str, bytes], **options) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content
