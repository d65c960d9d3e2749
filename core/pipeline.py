"""Runs the stages of a run in order, and skips a stage if its result is in the cache.

The same code starts and resumes a run. The cache has the results of finished stages. The run pins
them, so that the cache keeps them until the run has finished (`core.storage.inputs`). Training
continues from the newest complete resume point in the run folder.
"""

from functools import partial
from pathlib import Path

from core.checkpoints.initial_weights import take_initial_weights
from core.corpus.prepare import clean_splits
from core.errors import RunError
from core.evaluation.registry import task_files
from core.evaluation.tasks import FOLDER, require_tasks, task_content
from core.process.loading import loading
from core.spec.plan import Plan, make_plan, milestones
from core.stages.context import Run
from core.stages.reporter import StageReporter
from core.storage.rundir import remove_staging

BYTES_PER_TOKEN = 4
"""Approximate bytes per token of English text."""


def run_pipeline(run: Run) -> None:
    """Runs all stages, from cleaning the corpus to checking the last checkpoint.

    Raises:
        Stopped: At the next safe point after a stop request.
        RunError: If the run cannot continue.
    """
    remove_staging(run.rundir.root)
    reporter = StageReporter(run.emit)
    run.inputs.waiting = partial(reporter.waiting, run.stop)
    if run.spec.task == "finetune":
        _finetune(run, reporter)
        return
    try:
        _require_tasks(run)
        take_initial_weights(run.spec, run.rundir, run.data_dir)
        train, validation = clean_splits(run, reporter)
        # Imported late, so that a run that is stopped early does not wait for the imports.
        from core.tokenizer.prepare import prepare_tokenizer

        tokenizer, tokenizer_key = prepare_tokenizer(run, reporter, train, validation)
        if run.spec.task == "tokenizer":
            run.inputs.unpin()
            return
        from core.dataset.prepare import encode_splits

        train_tokens = encode_splits(run, reporter, tokenizer, tokenizer_key, train, validation)
        if run.inputs.is_adopting:
            run.inputs.adopt()
        _train(run, reporter, tokenizer, *train_tokens)
        _evaluate(run, reporter)
        _export(run, reporter, *train_tokens)
        run.inputs.unpin()
    except RunError:
        # If training has not started, the user may fix the dataset, and a retry must read it again.
        if not run.inputs.has_trained:
            run.inputs.forget()
        raise
    finally:
        run.cache.release()


def _finetune(run: Run, reporter: StageReporter) -> None:
    with loading("torch"):
        from core.evaluation.finetune.stage import finetune

    finetune(run, reporter)


def _train(
    run: Run, reporter: StageReporter, tokenizer: Path, train: Path, validation: Path | None
) -> None:
    from core.dataset.tokens import TokenFile

    with loading("torch"):
        from core.training.loop import train_model

    tokens = TokenFile.open(train)
    plan = make_plan(run.spec.training, num_tokens=tokens.num_tokens)
    train_model(
        spec=run.spec,
        plan=plan,
        rundir=run.rundir,
        train=tokens,
        validation=TokenFile.open(validation) if validation is not None else None,
        tokenizer=tokenizer,
        emit=run.emit,
        sync_journal=run.journal.sync,
        stop=run.stop,
        reporter=reporter,
        compile_cache=run.cache.root / "compile",
        evaluated_tokens=_evaluated_tokens(run, plan, num_words=tokens.num_words),
    )


def _evaluated_tokens(run: Run, plan: Plan, *, num_words: int) -> int:
    """Number of tokens that the stage `evaluate` reads, estimated from the sizes of its files."""
    spec, folder = run.spec, run.data_dir / FOLDER
    files = [path for task in spec.evaluation.tasks for path in task_files(folder / task)]
    checkpoints = 1 if spec.training.ema_decay is None else 2
    if spec.evaluation.checkpoints == "milestones":
        words_seen = num_words * plan.epochs
        checkpoints += sum(words <= words_seen for _, words in milestones(spec.track))
    return checkpoints * sum(path.stat().st_size for path in files) // BYTES_PER_TOKEN


def _require_tasks(run: Run) -> None:
    """Checks that all evaluation tasks can be read, so that a run does not fail after training."""
    if run.spec.task == "model" and run.spec.evaluation.tasks:
        require_tasks(run.data_dir, run.spec.evaluation.tasks)


def _evaluate(run: Run, reporter: StageReporter) -> None:
    if not run.spec.evaluation.tasks:
        return
    from core.evaluation.stage import evaluate_checkpoints

    for task in run.spec.evaluation.tasks:
        if not run.inputs.record_task(task, task_content(run.data_dir, task)):
            run.warn(
                "evaluation_changed",
                f"the files of the evaluation task {task} have changed since this run first used "
                "them; scores from before and after the change cannot be compared",
            )
    with reporter.stage("evaluate") as stage:
        stage.counts = evaluate_checkpoints(
            spec=run.spec,
            rundir=run.rundir,
            data_dir=run.data_dir,
            emit=run.emit,
            should_stop=run.stop,
            progress=reporter.progress,
        )


def _export(run: Run, reporter: StageReporter, train: Path, validation: Path | None) -> None:
    from core.dataset.tokens import TokenFile
    from core.export.check import check_export

    with reporter.stage("export") as stage:
        stage.counts = check_export(
            rundir=run.rundir,
            tokens=TokenFile.open(validation or train),
            seq_length=run.spec.training.seq_length,
            emit=run.emit,
            warn=run.warn,
        )
