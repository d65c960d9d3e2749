"""Writes the reference page of the Python client from the docstrings of the client.

griffe reads the docstrings from the source files. The page describes the synchronous classes. The
asyncio classes have the same methods, because the synchronous classes are generated from them.
"""

from collections.abc import Iterator
from pathlib import Path

import griffe

from babylm.client import errors

ROOT = Path(__file__).resolve().parents[1]
Described = griffe.Class | griffe.Function | griffe.Attribute
CLASSES = {
    "Client": ("_sync.service", "AsyncClient"),
    "Job": ("_sync.job", "AsyncJob"),
    "Checkpoints": ("_sync.checkpoint", "AsyncCheckpoints"),
    "Checkpoint": ("_sync.checkpoint", "AsyncCheckpoint"),
    "Study": ("_sync.study", "AsyncStudy"),
    "Metrics": ("metrics", None),
    "Plot": ("plot", None),
}
"""For each class: its module, and the name of its asyncio class (None if there is none)."""
ERRORS = (
    *("BabylmError", "InvalidUsage", "ServiceError", "ServiceUnreachable"),
    *("JobFailed", "TransferFailed"),
)
SPECIAL = ("__getitem__", "__iter__")
"""Special methods that the page describes. `with`, `len` and `print` need no description."""
CONSTRUCTED = "Client"
"""The class that users construct; its `__init__` is described, too."""
LINE_LENGTH = 80
INTRODUCTION = """\
# Python client

`pip install babylm-service` installs the client, which needs no torch. The notebooks
`docs/tutorials/python-client.ipynb` and `asyncio-client.ipynb` of the repository show it step by
step.

```python
from babylm import Client

with Client() as client:
    job = client.submit(preset="best-10m", training={"seed": 1})
    job.wait()
    print(job.metrics())
    job.checkpoints["best"].download("my-model")
```

With asyncio, use the classes in the second column of the table below. They have the same attributes
and methods as the classes in the first column. Await a method that is marked *awaitable*. Use a
method that is marked *async for* or *async with* in a statement of this kind. An attribute that is
marked *awaitable* is a method of the asyncio class: `await job.checkpoints()`.

```python
from babylm import AsyncClient

async with AsyncClient() as client:
    job = await client.submit(preset="best-10m")
    async for event in job.follow():
        print(event)
```

`Section` and `Body`, and the types that begin with `wire.`, are JSON objects with the fields of the
[REST API](api.md). `Advance` and `LeaveOut` are types of functions that you can pass as arguments.
"""


def client_page() -> str:
    """The whole page."""
    package = griffe.load("babylm.client", search_paths=[str(ROOT)], docstring_parser="google")
    lines = [INTRODUCTION, *_overview(), ""]
    for name, (module, other) in CLASSES.items():
        found = package[f"{module}.{name}"]
        twin = package[f"{module.replace('_sync', '_async')}.{other}"] if other else None
        lines += _class_lines(found, twin)
    lines += ["## Errors", ""]
    for name in ERRORS:
        lines += _error_lines(package[f"errors.{name}"])
    return "\n".join(lines).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield from ("| class | for asyncio |", "| --- | --- |")
    for name, (_, other) in CLASSES.items():
        yield f"| [{name}](#{name.lower()}) | {f'`{other}`' if other else 'the same'} |"


def _class_lines(found: griffe.Class, twin: griffe.Class | None) -> Iterator[str]:
    yield from (f"## {found.name}", "", *_text(found), "")
    members = {**found.inherited_members, **found.members}
    public = {name: each for name, each in members.items() if _is_public(name)}
    if found.name == CONSTRUCTED:
        public = {"__init__": members["__init__"], **public}
    rows = [*_attribute_rows(found), *_property_rows(public, twin)]
    yield from _attribute_table(rows)
    for each in public.values():
        if each.is_function:
            yield from _method_lines(found, each, twin)


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in SPECIAL


def _attribute_table(rows: list[str]) -> Iterator[str]:
    if rows:
        yield from ("| attribute | type | |", "| --- | --- | --- |", *rows, "")


def _attribute_rows(found: griffe.Class) -> Iterator[str]:
    """The section *Attributes* of the docstring of a class."""
    for section in found.docstring.parsed if found.docstring else []:
        if section.kind is griffe.DocstringSectionKind.attributes:
            for each in section.value:
                kind = each.annotation or _annotation(found, each.name)
                yield _row(each.name, kind, each.description)


def _annotation(found: griffe.Class, name: str) -> str:
    """The type of an attribute that `__init__` sets from its parameter of the same name."""
    member = found.members.get(name)
    if member is not None and getattr(member, "annotation", None) is not None:
        return str(member.annotation)
    given = found.members["__init__"].parameters if "__init__" in found.members else ()
    return next((str(each.annotation) for each in given if each.name == name), "")


def _property_rows(members: dict[str, griffe.Object], twin: griffe.Class | None) -> Iterator[str]:
    for name, each in members.items():
        if each.is_attribute and "property" in each.labels:
            mark = " *awaitable.*" if twin is not None and twin[name].is_function else ""
            yield _row(name, str(each.annotation), " ".join(_text(each)) + mark)


def _row(name: str, kind: object, text: str) -> str:
    shown = str(kind).replace("|", "\\|")
    return f"| `{name}` | {f'`{shown}`' if shown else ''} | {_joined(text)} |"


def _method_lines(
    owner: griffe.Class, method: griffe.Function, twin: griffe.Class | None
) -> Iterator[str]:
    yield from (f"### {owner.name}.{method.name}", "", *_signature(owner, method), "")
    if mark := _mark(method.name, twin):
        yield from (mark, "")
    yield from _sections(method)


def _mark(name: str, twin: griffe.Class | None) -> str:
    """How the method of the asyncio class is called; empty if it is called in the same way."""
    if twin is None or name == "__init__":
        return ""
    other = "aclose" if name == "close" else name
    method = twin.all_members[other]
    if any("contextmanager" in str(each.value) for each in method.decorators):
        return "*async with*"
    renamed = f", named `{other}`" if other != name else ""
    if "async" in method.labels:
        return f"*awaitable*{renamed}"
    return "*async for*" if "AsyncIterator" in str(method.returns) else ""


def _signature(owner: griffe.Class, method: griffe.Function) -> Iterator[str]:
    parts, kinds = [], griffe.ParameterKind
    for each in method.parameters:
        if each.name == "self":
            continue
        if each.kind is kinds.keyword_only and "*" not in "".join(parts):
            parts.append("*")
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(each.kind, "")
        text = f"{stars}{each.name}" + (f": {each.annotation}" if each.annotation else "")
        is_plain = each.default is None or bool(stars)
        parts.append(text if is_plain else f"{text} = {_default(method, str(each.default))}")
    name = owner.name if method.name == "__init__" else method.name
    result = "" if method.name == "__init__" else f" -> {method.returns}"
    line = f"{name}({', '.join(parts)}){result}"
    yield "```python"
    if len(line) <= LINE_LENGTH:
        yield line
    else:
        yield from (f"{name}(", *(f"    {part}," for part in parts), f"){result}")
    yield "```"


def _default(method: griffe.Function, text: str) -> str:
    """The default value; a constant of the module is replaced by its value."""
    return str(method.module[text].value) if text.isupper() else text


def _text(found: griffe.Object) -> list[str]:
    """The paragraphs of a docstring that are in no section."""
    sections = found.docstring.parsed if found.docstring else []
    texts = [each.value for each in sections if each.kind is griffe.DocstringSectionKind.text]
    return "\n\n".join(texts).splitlines()


def _sections(method: griffe.Function) -> Iterator[str]:
    yield from (*_text(method), "")
    kinds = griffe.DocstringSectionKind
    for section in method.docstring.parsed if method.docstring else []:
        if section.kind is kinds.parameters:
            yield from _items(
                "Arguments:", ((each.name, each.description) for each in section.value)
            )
        elif section.kind is kinds.returns:
            values = (f"- {_joined(each.description)}" for each in section.value)
            yield from ("Returns:", "", *values, "")
        elif section.kind is kinds.raises:
            raised = ((str(each.annotation), each.description) for each in section.value)
            yield from _items("Raises:", raised)


def _items(title: str, items: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield from (title, "")
    for name, text in items:
        yield f"- `{name}`: {_joined(text)}"
    yield ""


def _joined(text: str) -> str:
    return " ".join(text.split())


def _error_lines(found: griffe.Class) -> Iterator[str]:
    bases = ", ".join(f"`{base}`" for base in found.bases)
    yield from (f"### {found.name}", "", f"A subclass of {bases}.", "", *_text(found), "")
    if "code" in found.members:  # griffe would show the assignment in `__init__`
        code = getattr(errors, found.name).code
        yield from (f"Its `code` is `{code!r}` unless the service sends another code.", "")
    yield from _attribute_table(list(_attribute_rows(found)))
