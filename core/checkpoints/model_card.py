"""The model card of a checkpoint."""

import re
from collections.abc import Iterator, Sequence
from math import exp

from core.archs import ARCHITECTURES
from core.spec.job import JobSpec
from core.storage.dataset_origins import DatasetOrigin

SKIPPED = {"name", "preset", "sample_prompts"}
SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>~&])")


def model_card(
    spec: JobSpec,
    *,
    parameters: int,
    step: int,
    tokens_seen: int,
    words_seen: int,
    validation_loss: float | None,
    origins: Sequence[DatasetOrigin] = (),
) -> str:
    """A Hugging Face model card: model, training data, settings and results.

    `origins` lists the repositories of the Hugging Face Hub from which training data comes.
    """
    title = ARCHITECTURES[spec.model.architecture].title
    lines = [
        "---",
        "language: en",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        f"tags: [babylm, {spec.model.architecture}]",
        *_dataset_lines(origins),
        "---",
        "",
        f"# {escape_markdown(spec.name or title)}",
        "",
        f"{_article(title)} {title} model of {parameters:,} parameters, trained {_start(spec)} on "
        f"the dataset `{spec.data.dataset}` (BabyLM track: {spec.track}).",
        "",
        *_origin_lines(origins),
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        'model = AutoModelForCausalLM.from_pretrained("PATH")',
        'tokenizer = AutoTokenizer.from_pretrained("PATH")',
        "```",
        "",
        "## Budget and result",
        "",
        "| | |",
        "| --- | --- |",
        f"| optimizer steps | {step:,} |",
        f"| words seen, repetitions included | {words_seen:,} |",
        f"| tokens seen, repetitions included | {tokens_seen:,} |",
    ]
    if validation_loss is not None:
        lines += [
            f"| validation loss (nats per token, `{spec.data.validation}`) "
            f"| {validation_loss:.4f} |",
            f"| validation perplexity | {exp(validation_loss):.2f} |",
        ]
    warnings = spec.model.compatibility_warnings()
    if warnings:
        lines += ["", "## Compatibility", "", *(f"- {warning}." for warning in warnings)]
    return "\n".join([*lines, *_spec_lines(spec)])


def _spec_lines(spec: JobSpec) -> Iterator[str]:
    yield from ("", "## Spec", "", "| field | value |", "| --- | --- |")
    for section in ("data", "tokenizer", "init_from", "model", "training"):
        for field, value in getattr(spec, section).model_dump(mode="json").items():
            if field not in SKIPPED and value is not None:
                yield f"| {section}.{field} | {escape_markdown(str(value))} |"
    yield ""
    yield "`spec.json` contains all fields; the same spec and corpus train the same model."
    yield ""


def _dataset_lines(origins: Sequence[DatasetOrigin]) -> Iterator[str]:
    """The line of the front matter that names the datasets. The Hub shows them as links."""
    if origins:
        yield f"datasets: [{', '.join(sorted({each.repository for each in origins}))}]"


def _origin_lines(origins: Sequence[DatasetOrigin]) -> Iterator[str]:
    """A sentence for each repository that the training data comes from."""
    for each in origins:
        files = f"{len(each.files)} file{'' if len(each.files) == 1 else 's'} of the dataset"
        parts = [f"commit `{each.commit}`"]
        parts += [f"split {escape_markdown(each.split)}"] if each.split else []
        parts += [f"column {escape_markdown(each.column)}"] if each.column else []
        verb = "is" if len(each.files) == 1 else "are"
        yield f"{files} {verb} from [{each.repository}]({each.address}): {', '.join(parts)}."
    if origins:
        yield ""


def escape_markdown(text: str) -> str:
    """The text on one line, with no character that Markdown or HTML reads as markup."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _start(spec: JobSpec) -> str:
    start = spec.init_from
    if start.job is not None:
        return f"from the weights `{start.checkpoint}` of job `{start.job}`"
    return "from scratch" if start.path is None else f"from the weights `{start.path}`"


def _article(title: str) -> str:
    return "An" if title[0] in "AEIOU" else "A"
