"""Commands about checkpoints: download, generate, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from babylm.options import AsJson, JobName, Url, open_client

Name = Annotated[
    str | None,
    typer.Option("--checkpoint", help="Name of the checkpoint  [default: last]"),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(download)
    app.command()(generate)
    app.command()(evaluate)


def download(
    job: JobName,
    checkpoint: Name = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to put it in  [default: JOB-CHECKPOINT]"),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Download a checkpoint and verify its checksums.

    The same command again goes on with a transfer that broke off.
    """
    from babylm.download import choose_checkpoint, download_checkpoint
    from babylm.output import in_bytes, print_json
    from babylm.progress import byte_bar

    with open_client(url) as client:
        job_id = client.job(job)["id"]
        chosen = choose_checkpoint(client.checkpoints(job_id), checkpoint)
        folder = output or Path(f"{job_id}-{chosen['name']}")
        total = sum(file["size"] for file in chosen["files"])
        with byte_bar("download", total) as advance:
            paths = download_checkpoint(client, job_id, chosen, folder, advance=advance)
    if as_json:
        files = [str(path) for path in paths]
        print_json({"job": job_id, "checkpoint": chosen["name"], "files": files, "bytes": total})
    else:
        step = f"step {chosen['step']}"
        print(f"{chosen['name']} ({step}) in {folder}: {in_bytes(total)}, checksums verified")


def generate(
    job: JobName,
    prompt: Annotated[str, typer.Argument(help="The beginning of the text.")],
    checkpoint: Name = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1)] = 60,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0 always takes the likeliest token.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1)] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed, the same text.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Let a checkpoint go on with a text."""
    from babylm.download import choose_checkpoint
    from babylm.output import print_json, printable

    body: dict[str, str | int | float] = {
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
    }
    body |= {name: value for name, value in (("top_k", top_k), ("seed", seed)) if value is not None}
    with open_client(url) as client:
        job_id = client.job(job)["id"]
        name = checkpoint or choose_checkpoint(client.checkpoints(job_id), None)["name"]
        answer = client.generate(job_id, name, body)
    if as_json:
        print_json(answer)
    else:
        text = str(answer["text"])
        print(printable(text if text.startswith(prompt) else prompt + text))


def evaluate(
    job: JobName,
    task: Annotated[
        str, typer.Option("--task", help="A folder of minimal pairs in evaluations/ of the data.")
    ] = "blimp",
    checkpoint: Name = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Judge a checkpoint on minimal pairs, such as BLiMP.

    Ctrl-C leaves the evaluation alone; its score becomes a metric of the job.
    """
    from babylm.download import choose_checkpoint
    from babylm.evaluate import wait_for_evaluation
    from babylm.output import print_json, print_table

    with open_client(url) as client:
        job_id = client.job(job)["id"]
        name = checkpoint or choose_checkpoint(client.checkpoints(job_id), None)["name"]
        found = wait_for_evaluation(client, job_id, name, task)
    if as_json:
        print_json(found)
        return
    rows = [
        (each["name"], str(each["pairs"]), f"{each['score']:.1%}", f"{each['strict_score']:.1%}")
        for each in found["paradigms"]
    ]
    rows.append(
        (
            f"mean of {len(rows)}",
            str(found["pairs"]),
            f"{found['score']:.1%}",
            f"{found['strict_score']:.1%}",
        )
    )
    print_table((task, "pairs", "right", "ties wrong"), rows, empty="")
