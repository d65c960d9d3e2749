"""Builds a spec from a file, a preset, `--set` options and the flat options of upstream.

Upstream is the research script `run.py` of BabyLM-NA2/BabyLM2025, with flat options such as
`--batch_size`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from babylm.client.wire import Body
from babylm.errors import UsageError
from babylm.text_files import read_text
from core.archs import ARCHITECTURES
from core.spec.upstream import CONFIG_DEFAULTS, TAKES_HEADS

MODEL_ALIASES = {kind.alias: name for name, kind in ARCHITECTURES.items()}
"""Maps the name of each architecture in upstream to its name in our specs."""

FLAT_FIELDS = {
    "data_folder": "data.dataset",
    "model": "model.architecture",
    "vocab_size": "tokenizer.vocab_size",
    "seq_length": "training.seq_length",
    "batch_size": "training.batch_size",
    "epoch": "training.epochs",
    "hidden_size": "model.hidden_size",
    "num_hidden_layers": "model.num_hidden_layers",
    "num_attention_heads": "model.num_attention_heads",
}
"""Maps each option of upstream to the field of the spec, which has the same default."""


SPEC_HINT = "Name a file such as spec.yaml, or start from a preset: --preset sample."
QUOTES_HINT = "Write a list as [1, 2], and a text with special characters in quotes: '\"a: b\"'."
CONTEXT = re.compile(r"while \w+ an? (.+)")
"""What the parser of YAML was reading when it found an error."""
END = re.compile(r"'<stream end>'|'\\x00'|end of stream")
TOO_DEEP = "its lists and mappings are nested too deeply"


class _Loader(yaml.SafeLoader):
    """Loads YAML with the scalar types of YAML 1.2, which are the types of JSON.

    PyYAML follows YAML 1.1: `5e-4` is a string, `no` is false, `1:30` is ninety, and a date is an
    object that JSON cannot represent.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - declared so in PyYAML

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:  # YAML values of any type
        """A mapping. Refuses a repeated key; PyYAML would silently keep its last value."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            fault = None if isinstance(key, str) else "is not a string"
            if fault is None and key in seen:
                fault = "occurs twice"
            if fault is not None:
                message = f"the key {key!r} {fault}"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
    )


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """A decimal number; PyYAML would read `010` as eight."""
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def build_spec(
    *,
    file: Path | None,
    preset: str | None,
    settings: Sequence[str],
    flat: dict[str, str | int | float | None],
) -> Body:
    """The spec to submit.

    `flat` overrides the fields of `file`, and `settings` override both. `preset` replaces the name
    of the preset in `file`; fields that are given override those of the preset.

    Raises:
        UsageError: If nothing is given, or a file or a value cannot be read.
    """
    given = {name: value for name, value in flat.items() if value is not None}
    if file is None and preset is None and not settings and not given:
        raise UsageError(
            "nothing to submit",
            hint="Name a SPEC file, a --preset (see `babylm presets`), or at least one option.",
        )
    body = read_spec(file) if file is not None else {}
    if preset is not None:
        body["preset"] = preset
    if "preset" not in body and "model" not in body:
        body |= _upstream_shape(given)
    ignored = ignored_heads(flat)
    for name, value in given.items():
        if name != "num_attention_heads" or ignored is None:
            put(body, FLAT_FIELDS[name], _flat_value(name, value))
    for setting in settings:
        path, value = parse_setting(setting)
        put(body, path, value)
    encode_spec(body)
    return body


def ignored_heads(flat: Mapping[str, str | int | float | None]) -> str | None:
    """The architecture, if upstream ignores the given `--num_attention_heads` for it; else None."""
    if flat.get("num_attention_heads") is None or flat.get("model") is None:
        return None
    architecture = str(_flat_value("model", flat["model"] or ""))
    is_ignored = architecture in CONFIG_DEFAULTS and architecture not in TAKES_HEADS
    return architecture if is_ignored else None


def _upstream_shape(given: Mapping[str, str | int | float]) -> Body:
    """The section `model` with the sizes that no option of upstream sets (Hugging Face defaults).

    Upstream cannot build a model if the number of heads is missing (Llama 4) or does not fit the
    other sizes. In this case the result is empty, so that the defaults of the spec apply.
    """
    architecture = str(_flat_value("model", given.get("model", "")))
    shape = dict(CONFIG_DEFAULTS.get(architecture, {}))
    if architecture in TAKES_HEADS:
        heads = int(given.get("num_attention_heads", 0))
        return {"model": shape} if heads and heads % shape["num_key_value_heads"] == 0 else {}
    if not shape or int(given.get("hidden_size", 0)) % (2 * shape["num_attention_heads"]):
        return {}
    return {"model": shape}


def read_spec(path: Path) -> Body:
    """The spec in a YAML or JSON file.

    Raises:
        UsageError: If the file cannot be read or does not contain a mapping.
    """
    text = read_text(path, kind="a spec is YAML or JSON", hint=SPEC_HINT)
    try:
        body = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)
    except json.JSONDecodeError as error:
        what = f"{error.msg[:1].lower()}{error.msg[1:]}"
        raise UsageError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON: {what}"
        ) from error
    except yaml.YAMLError as error:
        where, what = _yaml_fault(error, text)
        raise UsageError(f"{path}, {where}: not valid YAML: {what}") from error
    except ValueError as error:  # such as a number with too many digits
        raise UsageError(f"{path} is not valid: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not valid: {TOO_DEEP}") from error
    if not isinstance(body, dict):
        raise UsageError(
            f"{path} contains no mapping of fields", hint="Begin with `preset: sample`."
        )
    return body


def _yaml_fault(error: yaml.YAMLError, text: str) -> tuple[str, str]:
    """The line and column of an error in `text`, and what is wrong there."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        return _place(line, column), f"the character U+{error.character:04X} is forbidden"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "line 1", str(error)
    mark, begin = error.problem_mark, error.context_mark
    what = END.sub("the end", str(error.problem))
    context = CONTEXT.fullmatch(error.context or "")
    if begin is not None and context is not None and begin.line != mark.line:
        what += f" (the {context[1]} begins in line {begin.line + 1}, column {begin.column + 1})"
    return _place(mark.line + 1, mark.column + 1), what


def _place(line: int, column: int) -> str:
    return f"line {line}, column {column}"


def parse_setting(setting: str) -> tuple[str, Any]:  # any JSON value
    """The field and the value of `a.b=value`; the value is YAML: `3`, `5e-4`, `null`."""
    path, equals, text = setting.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(
            f"--set {setting!r} is not of the form field=value",
            hint="For example --set training.epochs=3",
        )
    try:
        return path, yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        what = _yaml_fault(error, text)[1]
        raise UsageError(
            f"--set {path}: {text!r} is not valid YAML: {what}", hint=QUOTES_HINT
        ) from error
    except RecursionError as error:
        raise UsageError(f"--set {path}: the value is not valid: {TOO_DEEP}") from error


def parse_grid(settings: Sequence[str]) -> dict[str, list[Any]]:  # any JSON value
    """The values of each field, from settings such as `a.b=1,2`; the values are parsed as YAML.

    Raises:
        UsageError: If a setting does not have this form, or a field occurs twice.
    """
    grid: dict[str, list[Any]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        try:
            values = yaml.load(f"[{text}]", Loader=_Loader) if text.strip() else None
        except yaml.YAMLError as error:
            what = _yaml_fault(error, f"[{text}]")[1]
            raise UsageError(
                f"--grid {path}: {text!r} is not valid YAML: {what}", hint=QUOTES_HINT
            ) from error
        except RecursionError as error:
            raise UsageError(f"--grid {path}: the values are not valid: {TOO_DEEP}") from error
        if not equals or not all(path.split(".")) or not values:
            raise UsageError(
                f"--grid {setting!r} is not of the form field=value,value",
                hint="For example --grid training.learning_rate=1e-4,5e-4",
            )
        if path in grid:
            raise UsageError(
                f"--grid {path} is given twice", hint=f"List all values: --grid {path}=A,B"
            )
        grid[path] = values
    return grid


def put(body: Body, path: str, value: Any) -> None:  # any JSON value
    """Sets the field at a dotted path; adds the sections of the path if they are missing."""
    *sections, name = path.split(".")
    place = body
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"{path}: {section} is {inner!r}, which has no fields")
        place = inner
    place[name] = value


def encode_spec(body: Body) -> bytes:
    """The spec as JSON, to be sent.

    Raises:
        UsageError: If JSON cannot represent a value, such as a number that is not finite.
    """
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError as error:
        raise UsageError(f"the spec cannot be sent: {error}") from error


def _flat_value(name: str, value: str | float) -> str | int | float:
    if name == "data_folder":
        return PurePosixPath(str(value)).name or str(value)
    if name == "model":
        return MODEL_ALIASES.get(str(value).lower(), str(value).lower())
    if name == "epoch":
        return int(value) if float(value).is_integer() else float(value)
    return value
