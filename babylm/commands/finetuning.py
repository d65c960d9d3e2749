"""The command that fine-tunes a checkpoint on classification tasks."""

from typing import Annotated

import typer

from babylm.client.wire import Body
from babylm.options import AsJson, JobName, Url, open_client


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(finetune)


def finetune(
    job: JobName,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", help="Tasks, such as boolq,rte  [default: all tasks of the folder]"
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="Name of the checkpoint  [default: last]")
    ] = None,
    folder: Annotated[
        str,
        typer.Option("--folder", help="Name of a folder in evaluations/ of the data directory."),
    ] = "glue_filtered",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Set a field of the spec, such as finetune.seed=1; may be repeated.",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job until it ends.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a checkpoint on tasks such as (Super)GLUE, as the official pipeline does.

    The scores become metrics of the job that trained the checkpoint.
    """
    from uuid import uuid4

    from babylm.follow import follow_job
    from babylm.output import print_json
    from babylm.specs import parse_setting, put

    with open_client(url) as client:
        source = client.job(job)
        section: Body = {"job": source.id, "folder": folder}
        if checkpoint is not None:
            section["checkpoint"] = checkpoint
        if tasks is not None:
            section["tasks"] = [task.strip() for task in tasks.split(",") if task.strip()]
        body: Body = {"task": "finetune", "finetune": section}
        for setting in settings or []:
            put(body, *parse_setting(setting))
        made = client.submit(body, idempotency_key=str(uuid4()))
        if not as_json:
            print(f"job {made.id}\ndashboard: {made.url}", flush=True)
        if follow:
            follow_job(made, as_json=as_json)
        elif as_json:
            print_json(made.data)
        else:
            print(f"{made.status}; see it with `babylm follow {made.id}`")
