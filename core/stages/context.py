"""The context of a run: the spec, folders and journal that every stage receives."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.events.journal import JournalWriter
from core.events.types import EventData, WarningData
from core.process.stop import StopSignal
from core.spec.job import JobSpec
from core.storage.cache import Cache
from core.storage.inputs import Inputs
from core.storage.rundir import RunDir

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One run: its spec, folders, cache, journal and stop signal."""

    spec: JobSpec
    rundir: RunDir
    data_dir: Path
    cache: Cache
    journal: JournalWriter
    stop: StopSignal

    @cached_property
    def inputs(self) -> Inputs:
        """The record of the run's inputs: its texts and its tokenizer."""
        return Inputs(self.spec, self.rundir, self.cache)

    def emit(self, data: EventData) -> None:
        """Writes an event into the journal."""
        self.journal.append(data)

    def warn(self, code: str, message: str) -> None:
        """Logs and emits a warning; the run continues."""
        log.warning("%s: %s", code, message)
        self.emit(WarningData(code=code, message=message))
