"""Commands for checkpoints: download, export, generate, evaluate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from babylm.options import AsJson, JobName, Url, complete_job, open_client

if TYPE_CHECKING:
    from babylm.client import Checkpoints, wire

Name = Annotated[
    str | None,
    typer.Option("--checkpoint", help="Name of the checkpoint  [default: last]"),
]

AllMilestones = Annotated[
    bool,
    typer.Option(
        "--all-milestones",
        help="Download all milestone checkpoints and `last`, each into its own subfolder.",
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Overwrite files in the folder that differ from the checkpoint."
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(download)
    app.command()(export)
    app.command()(generate)
    app.command()(evaluate)


def download(
    job: JobName,
    checkpoint: Name = None,
    all_milestones: AllMilestones = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the files  [default: JOB-CHECKPOINT, or JOB-milestones]",
        ),
    ] = None,
    replace: Replace = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Download a checkpoint and verify its checksums.

    If the transfer is interrupted, the same command continues it. Other files in the folder stay.
    """
    from babylm.client._sync.download import check_output
    from babylm.client.choose import choose_milestones
    from babylm.output import in_bytes, print_json
    from babylm.progress import byte_bar

    if all_milestones and checkpoint is not None:
        raise typer.BadParameter("give either --checkpoint or --all-milestones")
    with open_client(url) as client:
        found = client.job(job)
        if all_milestones:
            known = found.checkpoints
            chosen = [known[each["name"]] for each in choose_milestones(_data(known))]
            folder = output or Path(f"{found.id}-milestones")
            folders = [folder / each.name for each in chosen]
        else:
            chosen = [found.checkpoint(checkpoint)]
            folder = output or Path(f"{found.id}-{chosen[0].name}")
            folders = [folder]
        for each, target in zip(chosen, folders, strict=True):
            check_output(each.data, target, replace=replace)
        total = sum(each.size for each in chosen)
        with byte_bar("download", total) as advance:
            for each, target in zip(chosen, folders, strict=True):
                each.download(target, replace=True, advance=advance)  # all are checked
    names = [each.name for each in chosen]
    if as_json:
        files = [
            str(target / file["path"])
            for each, target in zip(chosen, folders, strict=True)
            for file in each.data["files"]
        ]
        what = {"checkpoints": names} if all_milestones else {"checkpoint": names[0]}
        print_json({"job": found.id, **what, "files": files, "bytes": total})
    else:
        step = "" if all_milestones else f" (step {chosen[0].step})"
        print(f"{', '.join(names)}{step} in {folder}: {in_bytes(total)}, checksums verified")


def export(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="Id of a job, the beginning of an id, `last`, or the folder of a checkpoint.",
            show_default=False,
            autocompletion=complete_job,
        ),
    ],
    checkpoint: Name = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write  [default: JOB-CHECKPOINT.gguf, or FOLDER.gguf]"
        ),
    ] = None,
    form: Annotated[Literal["gguf"], typer.Option("--format", help="Format of the file.")] = "gguf",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint as a GGUF file, for llama.cpp and programs that use it.

    If JOB is a job, the command first downloads the checkpoint. The file has the weights in float32
    and the tokenizer. The command supports OLMo 2 and Gemma 2. It refuses a model that llama.cpp
    would compute differently than PyTorch does. It needs the extra `gguf`.
    """
    from babylm.gguf_export import export_folder, export_job
    from babylm.output import in_bytes, print_json

    folder = Path(job)
    if (folder / "config.json").is_file():
        if checkpoint is not None:
            raise typer.BadParameter("--checkpoint names a checkpoint of a job, not of a folder")
        found = export_folder(folder, output or Path(f"{folder.resolve().name}.gguf"))
    else:
        with open_client(url) as client:
            found = export_job(client, job, checkpoint, output)
    if as_json:
        print_json({"format": form, **found})
    else:
        size = f"{found['tensors']} tensors, {in_bytes(found['bytes'])}"
        print(f"{found['file']}: {size}")


def generate(
    job: JobName,
    prompt: Annotated[str, typer.Argument(help="The beginning of the text.")],
    checkpoint: Name = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 60,
    temperature: Annotated[
        float,
        typer.Option("--temperature", min=0.0, help="0 always chooses the most probable token."),
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1)] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same text.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Continue a text with a checkpoint."""
    from babylm.output import print_json, printable

    body: dict[str, str | int | float] = {
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
    }
    body |= {name: value for name, value in (("top_k", top_k), ("seed", seed)) if value is not None}
    with open_client(url) as client:
        answer = client.job(job).checkpoint(checkpoint).generate_raw(body)
    if as_json:
        print_json(answer)
    else:
        text = str(answer["text"])
        print(printable(text if text.startswith(prompt) else prompt + text))


def evaluate(
    job: JobName,
    task: Annotated[
        str, typer.Option("--task", help="Name of the task: a folder in DATA_DIR/evaluations.")
    ] = "blimp",
    checkpoint: Name = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a checkpoint on a task, such as BLiMP.

    Ctrl-C ends only this command. The service continues the evaluation and stores its score as a
    metric of the job.
    """
    from babylm.output import print_json, print_table
    from babylm.progress import share_bar

    with open_client(url) as client, share_bar(task) as advance:
        found = client.job(job).checkpoint(checkpoint).evaluate(task, advance=advance)
    if as_json:
        print_json(found)
        return
    is_share = found.get("metric") not in ("spearman", "log_probability")
    show = _as_share if is_share else _as_decimal
    rows = [
        (each["name"], str(each["pairs"]), show(each["score"]), show(each["strict_score"]))
        for each in found["paradigms"]
    ]
    mean = (
        f"mean of {len(rows)}" if found.get("kind") != "entity_tracking" else "mean over splits",
        str(found["pairs"]),
        show(found["score"]),
        show(found["strict_score"]),
    )
    print_table((task, "items", "score", "score if ties are wrong"), [*rows, mean], empty="")


def _data(checkpoints: "Checkpoints") -> "list[wire.Checkpoint]":
    return [each.data for each in checkpoints.values()]


def _as_share(value: float) -> str:
    return f"{value:.2%}"


def _as_decimal(value: float) -> str:
    return f"{value:.3f}"
