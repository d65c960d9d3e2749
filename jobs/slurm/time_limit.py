"""The time limit of a pilot, from the spec, the template or an estimate."""

import re
from collections.abc import Mapping
from math import ceil

from core.corpus.sources import find_source_files
from core.corpus.word_estimate import words_after_cleaning
from core.errors import RunError
from core.spec.estimate import estimate
from core.spec.job import JobSpec
from jobs.resources import slurm_gpus
from jobs.settings import Settings

MARGIN = 2.0
"""Factor on the estimated training time: nodes of a cluster differ, and a job that exceeds its time
limit waits in Slurm's queue a second time."""
OTHER_SECONDS = 1800.0
"""Seconds for the work that the estimate leaves out: corpus, tokenizer, compilation, evaluation and
export."""
IN_TEMPLATE = re.compile(r"^#SBATCH\s+(--time\b|-t\b)", re.MULTILINE)


def time_limit_minutes(
    spec: JobSpec, *, settings: Settings, template: str, rates: Mapping[str, float]
) -> int | None:
    """Minutes for `--time`; None leaves the choice to the template or the partition.

    Args:
        spec: The spec of the job. Its `resources.time_limit` takes precedence.
        settings: Settings with the folder of corpora and the longest limit that the estimate may
            give.
        template: The site's batch script. Its `#SBATCH --time` takes precedence over the estimate.
        rates: Measured operations per second by kind of device.
    """
    if spec.resources.time_limit is not None:
        return ceil(spec.resources.time_limit / 60)
    if IN_TEMPLATE.search(template) or spec.task != "model":
        return None
    words = _words(spec, settings)
    kind = "cuda" if slurm_gpus(spec) else "cpu"
    seconds = None if words is None else estimate(spec, words=words, rates=rates).seconds[kind]
    if seconds is None:
        return None
    wanted = MARGIN * seconds + OTHER_SECONDS
    return ceil(min(wanted, settings.slurm_max_time_seconds) / 60)


def _words(spec: JobSpec, settings: Settings) -> int | None:
    """Number of words after cleaning; None if the corpus cannot be read on this host."""
    folder = settings.data_dir / spec.data.dataset
    try:
        files = find_source_files(folder, sources=spec.data.sources)
        return words_after_cleaning(files, spec.data.clean).count
    except (RunError, OSError):
        return None
