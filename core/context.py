"""A run and all that it works with: what every stage is given."""

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
    """One run and all that it works with."""

    spec: JobSpec
    rundir: RunDir
    data_dir: Path
    cache: Cache
    journal: JournalWriter
    stop: StopSignal

    @cached_property
    def inputs(self) -> Inputs:
        """The text and the tokenizer that the run is trained on, as far as stages have finished."""
        return Inputs(self.spec, self.rundir, self.cache)

    def emit(self, data: EventData) -> None:
        """Writes an event into the journal."""
        self.journal.append(data)

    def warn(self, code: str, message: str) -> None:
        """Tells the user of something that does not stop the run."""
        log.warning("%s: %s", code, message)
        self.emit(WarningData(code=code, message=message))
