"""Entry of the `babylm` command."""

import errno
import json
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from babylm.client.errors import BabylmError
from babylm.commands import (
    cache,
    catalogue,
    checkpoints,
    database,
    datasets,
    evaluations,
    finetuning,
    jobs,
    lr_find,
    provision,
    service,
    studies,
    submission,
    submit,
    terminal,
    tokenizers,
    track,
    webhooks,
)
from babylm.errors import FAILED, INTERRUPTED, CommandError, Terminated

app = typer.Typer(
    name="babylm",
    help="Train small language models on BabyLM text, on your own machine.",
    epilog="Exit status: 0 success, 1 the job or request failed, 2 bad usage.",
    no_args_is_help=True,
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
    lr_find,
    studies,
    jobs,
    checkpoints,
    finetuning,
    submission,
    database,
    datasets,
    evaluations,
    tokenizers,
    track,
    webhooks,
    catalogue,
    cache,
    terminal,
    service,
    provision,
):
    group.register(app)


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    _raise_on_signals()
    try:
        try:
            app(prog_name="babylm")
        finally:
            sys.stdout.flush()
    except BabylmError as error:
        _report(error)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _discard_output()  # the process that read the output has ended
        sys.exit(FAILED)
    except OSError as error:
        # For example a full disk, a missing permission, or a file in place of a folder.
        _discard_output()
        _report(CommandError(_words(error)))
        sys.exit(FAILED)


def _raise_on_signals() -> None:
    """Makes SIGTERM and SIGHUP raise an exception, so that `finally` blocks run."""

    def stop(number: int, _: object) -> None:
        raise Terminated(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, stop)


def _discard_output() -> None:
    """Prevents a second error when Python flushes standard output at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _words(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        where = "the output" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "a file"
        return f"{where} cannot be written: {reason}"
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return f"{' and '.join(paths)}: {reason}"


def _report(error: BabylmError) -> None:
    if "--json" in sys.argv:
        about = {"code": error.code, "message": error.message, "hint": error.hint}
        body = {"error": {**about, **error.details}}
        print(json.dumps(body, ensure_ascii=False, default=str), file=sys.stderr)
        return
    print(f"babylm: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
