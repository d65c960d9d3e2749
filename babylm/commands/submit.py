"""Commands that take a spec: submit, estimate, train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from babylm.client.wire import Body
from babylm.options import (
    AsJson,
    CacheDir,
    DataDir,
    Url,
    load_service_settings,
    open_client,
    require_data_dir,
)

if TYPE_CHECKING:
    from babylm.client import Client

SpecFile = Annotated[
    Path | None,
    typer.Argument(metavar="SPEC", help="Spec as YAML or JSON.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Start from this preset, see `babylm presets`."),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Set a field of the spec, such as training.epochs=3; may be repeated.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        help="Requests with the same key and spec create only one job or study  [default: random]",
    ),
]
DataFolder = Annotated[
    str | None, typer.Option("--data_folder", help="data.dataset  [default: train_10M]")
]
Model = Annotated[str | None, typer.Option("--model", help="model.architecture  [default: llama4]")]
VocabSize = Annotated[
    int | None, typer.Option("--vocab_size", help="tokenizer.vocab_size  [default: 48000]")
]
SeqLength = Annotated[
    int | None, typer.Option("--seq_length", help="training.seq_length  [default: 128]")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch_size", help="training.batch_size  [default: 16]")
]
Epoch = Annotated[float | None, typer.Option("--epoch", help="training.epochs  [default: 3]")]
HiddenSize = Annotated[
    int | None, typer.Option("--hidden_size", help="model.hidden_size  [default: 768]")
]
Layers = Annotated[
    int | None, typer.Option("--num_hidden_layers", help="model.num_hidden_layers  [default: 12]")
]
Heads = Annotated[
    int | None,
    typer.Option(
        "--num_attention_heads",
        help="model.num_attention_heads; ignored except for Llama 4, as in run.py",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(submit)
    app.command()(estimate)
    app.command()(train)


def submit(
    spec: SpecFile = None,
    preset: Preset = None,
    settings: Setting = None,
    data_folder: DataFolder = None,
    model: Model = None,
    vocab_size: VocabSize = None,
    seq_length: SeqLength = None,
    batch_size: BatchSize = None,
    epoch: Epoch = None,
    hidden_size: HiddenSize = None,
    num_hidden_layers: Layers = None,
    num_attention_heads: Heads = None,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job until it ends.")] = False,
    idempotency_key: Key = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job from a file, a preset, or the options of run.py of BabyLM-NA2/BabyLM2025.

    The options with an underscore, and --model and --epoch, are those of run.py.
    """
    from babylm.follow import follow_job
    from babylm.output import print_json, print_note, printable
    from babylm.specs import build_spec, ignored_heads

    flat: dict[str, str | int | float | None] = {
        "data_folder": data_folder,
        "model": model,
        "vocab_size": vocab_size,
        "seq_length": seq_length,
        "batch_size": batch_size,
        "epoch": epoch,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_hidden_layers,
        "num_attention_heads": num_attention_heads,
    }
    body = build_spec(file=spec, preset=preset, settings=settings or [], flat=flat)
    if (ignoring := ignored_heads(flat)) is not None:
        print_note(
            f"note: --num_attention_heads is ignored: upstream passes it to Llama 4 only. For "
            f"another number of heads in {ignoring}, use --set model.num_attention_heads=N"
        )
    with open_client(url) as client:
        resolve_from_job(client, body)
        job = client.submit(body, idempotency_key=idempotency_key)
        if not as_json:
            print(f"job {job.id}\ndashboard: {job.url}", flush=True)
        if follow:
            follow_job(job, as_json=as_json)
        elif as_json:
            print_json(job.data)
        else:
            print(f"{job.status}; see it with `babylm follow {job.id}`")
            waiting = job.data.get("waiting_for") or {}
            if waiting.get("what") == "a worker":
                print_note(f"it waits: {printable(waiting.get('detail') or 'no worker is alive')}")


def estimate(
    spec: SpecFile = None,
    preset: Preset = None,
    settings: Setting = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Estimate the time, memory and disk space of a job, without submitting it."""
    from babylm.output import print_json
    from babylm.specs import build_spec

    body = build_spec(file=spec, preset=preset, settings=settings or [], flat={})
    with open_client(url) as client:
        resolve_from_job(client, body)
        answer = client.estimate(body)
    if as_json:
        print_json(answer)
    else:
        _print_estimate(answer)


def train(
    spec: SpecFile = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)
    ] = None,
    preset: Preset = None,
    settings: Setting = None,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Train in this terminal, without the service.

    If the run is interrupted, the same command continues it.
    """
    import json

    from babylm.errors import UsageError
    from babylm.extras import require_training
    from babylm.output import print_json_line
    from babylm.specs import build_spec
    from babylm.train import train_here

    if output is None:
        raise UsageError("--output is missing", hint="Name the folder of the run: -o my-run")
    require_data_dir(data_dir)
    require_training()
    body = build_spec(file=spec, preset=preset, settings=settings or [], flat={})
    where = load_service_settings()
    train_here(
        body,
        output,
        data_dir=data_dir or where.data_dir,
        cache_dir=cache_dir or where.cache_folder,
        as_json=as_json,
    )
    what, folder = "checkpoint", output / "checkpoints" / "last"
    if json.loads((output / "spec.json").read_bytes())["task"] == "tokenizer":
        what, folder = "tokenizer", output / "tokenizer"
    if as_json:
        print_json_line({what: str(folder)})
    else:
        print(f"done; the {what} is in {folder}")


def resolve_from_job(client: "Client", body: Body) -> None:
    """Replaces `last` or the beginning of an id by the whole id, in each field that names a job."""
    for section, field in (("tokenizer", "from_job"), ("init_from", "job")):
        given = body.get(section)
        name = given.get(field) if isinstance(given, dict) else None
        if isinstance(name, str):
            body[section] = {**body[section], field: client.job(name).id}


def _print_estimate(answer: Body) -> None:
    from babylm.output import in_bytes, in_time, print_note, print_pairs, printable

    pairs = []
    for name, value in answer.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            continue
        shown = f"{value:,}" if isinstance(value, int | float) else value
        if name.endswith("_bytes") and isinstance(value, int | float):
            shown = in_bytes(value)
        elif name.endswith("_seconds") and isinstance(value, int | float):
            shown = in_time(value)
        title = name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")
        pairs.append((title, shown))
    measured = answer.get("measured_devices") or []
    for kind, value in (answer.get("seconds") or {}).items():
        if value is not None:
            basis = "measured speed" if kind in measured else "assumed speed"
            pairs.append((f"time on {kind}", f"{in_time(value)} ({basis})"))
    print_pairs(pairs)
    for warning in answer.get("warnings") or []:
        text = warning.get("message", warning) if isinstance(warning, dict) else warning
        print_note(f"warning: {printable(str(text))}")
