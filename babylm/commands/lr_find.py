"""The command that searches for a learning rate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from babylm.commands.submit import Preset, Setting, SpecFile
from babylm.options import AsJson, CacheDir, DataDir, load_service_settings, require_data_dir


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("lr-find")(lr_find)


def lr_find(
    spec: SpecFile = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the result.", show_default=False),
    ] = None,
    preset: Preset = None,
    settings: Setting = None,
    lowest: Annotated[
        float, typer.Option("--lowest", help="Learning rate of the first step.")
    ] = 1e-5,
    highest: Annotated[
        float, typer.Option("--highest", help="Learning rate of the last step.")
    ] = 1.0,
    steps: Annotated[int, typer.Option("--steps", min=10, help="Maximum number of steps.")] = 100,
    data_dir: DataDir = None,
    cache_dir: CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Find a learning rate: train some steps in this terminal and raise the rate at each step.

    The command writes a table (lr-find.csv), a chart (lr-find.svg) and all data (lr-find.json) into
    the folder that --output names.
    """
    from babylm.errors import UsageError
    from babylm.extras import require_training
    from babylm.output import print_json_line
    from babylm.specs import build_spec
    from babylm.train import train_here
    from core.process.program import python_command

    if output is None:
        raise UsageError("--output is missing", hint="Name the folder of the result: -o lr")
    if not 0.0 < lowest < highest:
        raise UsageError(f"--lowest {lowest:g} must be positive and below --highest {highest:g}")
    require_data_dir(data_dir)
    require_training()
    where = load_service_settings()
    program = python_command("core.lr_find", "--lowest", str(lowest), "--highest", str(highest))
    train_here(
        build_spec(file=spec, preset=preset, settings=settings or [], flat={}),
        output,
        data_dir=data_dir or where.data_dir,
        cache_dir=cache_dir or where.cache_folder,
        as_json=as_json,
        program=[*program, "--steps", str(steps)],
        is_resumable=False,
    )
    found = json.loads((output / "lr-find.json").read_bytes())
    if as_json:
        print_json_line({name: found[name] for name in found if name != "points"})
    elif found["suggested"] is None:
        print(f"no suggestion: the loss was not finite even at the lowest rate, {lowest:g}")
    else:
        print(
            f"suggested: training.learning_rate={found['suggested']:.2g}, where the loss falls "
            f"fastest (the loss is lowest at {found['lowest_at']:.2g}); the chart is "
            f"{output / 'lr-find.svg'}"
        )
