"""Writes the pages that are generated from the code, and the generated parts of other pages.

`python docs/generate.py` writes all of these pages. A test fails if a page is not up to date.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from babylm.generate_settings_docs import FOR_COMPOSE, Variable, service_variables
from benchmarks.recipe.leaderboard import (
    curves,
    leaderboard,
    phenomena,
    read_results,
    replace_block,
)
from core.archs import ARCHITECTURES
from core.events.metrics import CATALOGUE
from core.events.types import PAYLOADS
from core.spec.corpus import CleanOptions
from core.spec.job import DataSpec, InitFromSpec, JobSpec, TokenizerSpec
from core.spec.presets import PRESETS
from core.spec.resources import ResourceSpec
from core.spec.training import TrainingSpec
from docs.client_page import client_page

FOLDER = Path(__file__).parent
WRITTEN_BY = "\nThis page is written by `make docs`.\n"
SECTIONS: dict[str, tuple[type[BaseModel], str]] = {
    "data": (DataSpec, "The text to train on, and how it is cleaned."),
    "data.clean": (CleanOptions, 'Short forms: `true`, `false` and `"upstream"`.'),
    "tokenizer": (TokenizerSpec, "The byte-level BPE."),
    "init_from": (InitFromSpec, "Warm start: weights to start from, instead of random ones."),
    "training": (TrainingSpec, "A step is one update of the optimizer, counted from 1."),
    "resources": (ResourceSpec, "Where the job may run, and which resources it needs."),
}


def main() -> None:
    """Writes every page into this folder."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


def spec_page() -> str:
    """Every field of a job spec."""
    lines = [
        "# The job spec",
        "",
        "A job spec is the body of `POST /v1/jobs`, the file that `babylm submit` reads, and the",
        "file `spec.json` of a run.",
        "Unknown fields are refused; the error names the field and what is accepted.",
        "",
        "## Top level",
        "",
        *_fields(
            JobSpec, skip=("data", "tokenizer", "init_from", "model", "training", "resources")
        ),
    ]
    for name, (section, sentence) in SECTIONS.items():
        lines += ["", f"## {name}", "", sentence, "", *_fields(section)]
    lines += [
        "",
        "## model",
        "",
        "The field `architecture` chooses one of the following. Its default is `llama4`.",
    ]
    for name, architecture in ARCHITECTURES.items():
        sentence = (inspect.getdoc(architecture) or "").splitlines()[0]
        lines += ["", f"### {name}", "", sentence, "", *_fields(architecture)]
    lines += ["", "## Presets", "", "| preset | |", "| --- | --- |"]
    lines += [f"| `{name}` | {preset.description} |" for name, preset in PRESETS.items()]
    return "\n".join(lines) + "\n" + WRITTEN_BY


def events_page() -> str:
    """Every type of event with the fields of its `data`."""
    lines = [
        "# Events",
        "",
        "A job has a list of events. `GET /v1/jobs/{id}/events` returns them in order, and",
        "`GET /v1/jobs/{id}/events/stream` sends them live as server-sent events. Each event is",
        "`{seq, time, type, data}`: `seq` counts from 1 without gaps, and `time` is in UTC",
        "(RFC 3339). Each section below describes a type and the fields of its `data`.",
    ]
    for name, payload in PAYLOADS.items():
        lines += ["", f"## {name}", "", inspect.getdoc(payload) or "", ""]
        lines += ["| field | type | |", "| --- | --- | --- |"]
        for field, info in payload.model_fields.items():
            need = "always" if info.is_required() else f"default {_default(info)}"
            lines.append(f"| `{field}` | {_type(info)} | {need} |")
    return "\n".join(lines) + "\n" + WRITTEN_BY


def metrics_page() -> str:
    """The catalogue of metrics."""
    lines = [
        "# Metrics",
        "",
        "These metrics occur in `metrics` events and in `GET /v1/jobs/{id}/metrics`.",
        "",
        "| name | unit | better | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in CATALOGUE:
        better = "" if metric.better == "neither" else metric.better
        lines.append(f"| `{metric.name}` | {metric.unit} | {better} | {metric.meaning} |")
    return "\n".join(lines) + "\n" + WRITTEN_BY


def settings_page() -> str:
    """Every setting of the service."""
    lines = [
        "# Settings",
        "",
        "A setting is an environment variable of the service, or a line of a file `.env` in the",
        "folder in which you start the service. `.env.example` is a template with the same text.",
        "",
        *_variables(service_variables()),
        "",
        "## Docker compose only",
        "",
        *_variables(FOR_COMPOSE),
    ]
    return "\n".join(lines) + "\n" + WRITTEN_BY


def recipe_page() -> str:
    """docs/recipe.md with the curves and the BLiMP scores of the study."""
    page, runs = (FOLDER / "recipe.md").read_text(encoding="utf-8"), read_results()
    return replace_block(replace_block(page, "curves", curves(runs)), "blimp", phenomena(runs))


def readme_page() -> str:
    """The README with the leaderboard."""
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    return replace_block(page, "leaderboard", leaderboard(read_results()))


def _variables(variables: Sequence[Variable]) -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "| --- | --- | --- |"
    for each in variables:
        value = f"`{each.value}`" if each.value else ""
        yield f"| `{each.name}` | {value} | {each.meaning.replace('|', chr(92) + '|')} |"


def _fields(section: type[BaseModel], skip: tuple[str, ...] = ()) -> Iterator[str]:
    yield "| field | type | default | |"
    yield "| --- | --- | --- | --- |"
    for name, info in section.model_fields.items():
        if name not in skip:
            meaning = (info.description or "").replace("|", "\\|")
            yield f"| `{name}` | {_type(info)} | {_default(info)} | {meaning}{_bounds(info)} |"


def _type(info: FieldInfo) -> str:
    text = inspect.formatannotation(info.annotation)
    text = re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.(?=[A-Z])", "", text)  # names without their modules
    text = re.sub(r"Optional\[(\w+)\]", r"\1 | None", _without_constraints(text))
    return "`" + text.replace("|", "\\|") + "`"


def _without_constraints(text: str) -> str:
    """`Annotated[str, FieldInfo(...)]` as `str`."""
    while (begin := text.find("Annotated[")) >= 0:
        depth, end = 0, begin
        for end in range(begin + len("Annotated"), len(text)):
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            if depth == 0:
                break
        inner = text[begin + len("Annotated[") : end]
        text = text[:begin] + inner.split(", ")[0] + text[end + 1 :]
    return text


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value: Any = info.get_default(call_default_factory=True, validated_data={})  # any JSON value
    return "see below" if isinstance(value, BaseModel) else f"`{json.dumps(value)}`"


def _bounds(info: FieldInfo) -> str:
    """What the constraints allow, such as ` (from 1 to 100)`."""
    found = {
        name: getattr(constraint, name)
        for constraint in info.metadata
        for name in ("ge", "gt", "le", "lt", "multiple_of")
        if getattr(constraint, name, None) is not None
    }
    parts = []
    if "ge" in found:
        parts.append(f"from {found['ge']:,}")
    if "gt" in found:
        parts.append(f"above {found['gt']:,}")
    if "le" in found:
        parts.append(f"to {found['le']:,}")
    if "lt" in found:
        parts.append(f"below {found['lt']:,}")
    bounds = [" ".join(parts)] if parts else []
    if "multiple_of" in found:
        bounds.append(f"a multiple of {found['multiple_of']:g}")
    return f" ({', '.join(bounds)})" if bounds else ""


PAGES: dict[str, Callable[[], str]] = {
    "client.md": lambda: client_page() + WRITTEN_BY,
    "spec.md": spec_page,
    "events.md": events_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "recipe.md": recipe_page,
    "../README.md": readme_page,
}

if __name__ == "__main__":
    main()
