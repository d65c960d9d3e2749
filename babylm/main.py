"""Entry of the `babylm` command."""

import json
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from babylm.commands import (
    cache,
    catalogue,
    checkpoints,
    database,
    datasets,
    jobs,
    provision,
    service,
    submit,
    tokenizers,
)
from babylm.errors import INTERRUPTED, CommandError, Terminated

app = typer.Typer(
    name="babylm",
    help="Train small language models on BabyLM text, on your own machine.",
    epilog="Exit status: 0 success, 1 the job or request failed, 2 bad usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"babylm {version('babylm-service')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Train small language models on BabyLM text, on your own machine."""


for group in (
    submit,
    jobs,
    checkpoints,
    database,
    datasets,
    tokenizers,
    catalogue,
    cache,
    service,
    provision,
):
    group.register(app)


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    _raise_on_signals()
    try:
        app(prog_name="babylm")
    except CommandError as error:
        _report(error)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep Python from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _raise_on_signals() -> None:
    """Lets SIGTERM and SIGHUP raise, so that `finally` blocks end what a command started."""

    def stop(number: int, _: object) -> None:
        raise Terminated(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, stop)


def _report(error: CommandError) -> None:
    if "--json" in sys.argv:
        body = {"error": {"message": error.message, "hint": error.hint, **error.details}}
        print(json.dumps(body, ensure_ascii=False, default=str), file=sys.stderr)
        return
    print(f"babylm: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
