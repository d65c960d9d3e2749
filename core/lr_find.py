"""Finds a learning rate: trains a few steps at a rising rate and records the loss.

    python -m core.lr_find FOLDER --data-dir data --cache-dir runs/cache

FOLDER contains `spec.json`, as for `core.run`. The search writes `lr-find.csv`, `lr-find.json` and
`lr-find.svg` to FOLDER. It saves no checkpoints, so an interrupted search starts at step 1 again.
"""

import argparse
import sys

from core.checkpoints.initial_weights import initial_folder, take_initial_weights
from core.corpus.prepare import clean_splits
from core.process.loading import loading
from core.run import folder_parser, run_folder
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.rundir import publish_file

NAME = "lr-find"


def main(arguments: list[str] | None = None) -> int:
    """Runs the search in the given folder; returns the exit status, see `core.errors.ExitCode`."""
    parser = folder_parser("core.lr_find", (__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--lowest", type=float, default=1e-5, help="learning rate of the first step"
    )
    parser.add_argument("--highest", type=float, default=1.0, help="learning rate of the last step")
    parser.add_argument("--steps", type=int, default=100, help="maximum number of steps")
    options = parser.parse_args(arguments)
    if not 0.0 < options.lowest < options.highest:
        parser.error("--lowest must be positive and below --highest")
    if options.steps < 10:
        parser.error("--steps must be 10 or more")
    return run_folder(options, lambda run: _find(run, options))


def _find(run: Run, options: argparse.Namespace) -> None:
    reporter = StageReporter(run.emit)
    take_initial_weights(run.spec, run.rundir, run.data_dir)
    train, validation = clean_splits(run, reporter)
    from core.tokenizer.prepare import prepare_tokenizer

    tokenizer, key = prepare_tokenizer(run, reporter, train, validation)
    from core.dataset.prepare import encode_splits
    from core.dataset.tokens import TokenFile

    folder, _ = encode_splits(run, reporter, tokenizer, key, train, validation)
    with loading("torch"):
        from core.training.learning_rate.search import search
        from core.training.learning_rate.summary import as_csv, as_json, as_svg, summarize
    with reporter.stage("train") as stage:
        points = search(
            run.spec,
            TokenFile.open(folder),
            initial=initial_folder(run.spec, run.rundir),
            lowest=options.lowest,
            highest=options.highest,
            steps=options.steps,
            should_stop=run.stop,
            emit=run.emit,
            warn=run.warn,
            progress=lambda step: reporter.progress(
                step / options.steps, step=step, max_steps=options.steps
            ),
        )
        found = summarize(points)
        stage.counts = {"steps": len(points), "suggested_learning_rate": found.suggested}
    for ending, content in (
        ("csv", as_csv(points)),
        ("json", as_json(found, points)),
        ("svg", as_svg(found, points)),
    ):
        publish_file(run.rundir.root / f"{NAME}.{ending}", content.encode())


if __name__ == "__main__":
    sys.exit(main())
