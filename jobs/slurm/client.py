"""Calls `sbatch`, `squeue` and `scancel` with a timeout.

If an answer leaves open whether Slurm accepted a job, the result is `Unclear`.
"""

import contextlib
import logging
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

log = logging.getLogger(__name__)

KILL_SECONDS = 2.0
MAX_MESSAGE = 500
"""Maximum number of characters of Slurm's message."""
PASSED_VARIABLES = re.compile(
    r"\A(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TMPDIR|LD_LIBRARY_PATH|"
    r"SLURM_CONF|SBATCH_.*|MODULE.*|LMOD.*)\Z"
)
"""Matches the environment variables that Slurm's programs receive and pass on to the pilot. None of
these variables contains credentials."""
JOB_ID = re.compile(r"\A(\d{1,20})(;[\w.-]+)?\Z")
LISTED = re.compile(r"\A(\d{1,20})\|([A-Z_]{2,30})\|([^|]{0,40})\|([^|]{0,200})\|(\S{1,200})\Z")
FOREIGN_JOB = re.compile(r"\A[^|]{1,60}\|[A-Z_]{2,30}\|[^|]{0,40}\|[^|]*\|.*\Z")
"""Matches a line of `squeue` about a job that this service did not submit, such as a job array."""
UNREACHABLE = re.compile(
    r"timed out|timeout|unable to contact|connection|communication|zero bytes|transport|"
    r"try again|temporarily|slurmctld|socket|resource temporarily",
    re.IGNORECASE,
)
"""Matches an error message that leaves open whether Slurm accepted the job."""


@dataclass(frozen=True)
class Submitted:
    """`sbatch` accepted the job."""

    slurm_id: str


@dataclass(frozen=True)
class Refused:
    """`sbatch` rejected the job, with Slurm's message."""

    words: str


@dataclass(frozen=True)
class Unclear:
    """It is unknown whether Slurm has the job."""

    words: str


@dataclass(frozen=True)
class Listed:
    """A Slurm job in the output of `squeue`."""

    slurm_id: str
    state: str
    reason: str | None
    expected_start_at: datetime | None
    name: str


@dataclass(frozen=True)
class Listing:
    """The parsed output of `squeue`."""

    is_complete: bool
    """False if some lines could not be parsed. In that case an unlisted job may exist."""
    by_name: dict[str, list[Listed]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    status: int | None
    """Exit status of the program; None if it did not start or did not end in time."""
    output: str
    errors: str


class Slurm:
    """Slurm's programs, found on PATH."""

    def __init__(
        self, *, timeout_seconds: float, environment: Mapping[str, str] | None = None
    ) -> None:
        given = os.environ if environment is None else environment
        self._environment = {
            name: text for name, text in given.items() if PASSED_VARIABLES.match(name)
        }
        # Slurm prints times without a zone, in the zone that TZ gives.
        self._environment |= {"TZ": "UTC", "SLURM_TIME_FORMAT": "standard"}
        self._timeout = timeout_seconds

    def submit(self, options: Sequence[str], script: str) -> Submitted | Refused | Unclear:
        """Submits a batch script."""
        answer = self._call(["sbatch", *options], script)
        words = _one_line(answer.errors or answer.output)
        if answer.status is None:
            return Unclear(words)
        if answer.status == 0:
            lines = answer.output.split()
            found = JOB_ID.match(lines[-1]) if lines else None
            return Submitted(found[1]) if found else Unclear(words)
        is_refusal = "error" in answer.errors.lower() and not UNREACHABLE.search(answer.errors)
        return Refused(words) if is_refusal else Unclear(words)

    def list_jobs(self) -> Listing | None:
        """The jobs of this user, including ended ones; None if `squeue` failed."""
        answer = self._call(
            [
                *("squeue", f"--user={os.getuid()}", "--states=all", "--noheader"),
                "--format=%i|%T|%S|%r|%j",
            ]
        )
        if answer.status != 0:
            log.warning("squeue does not answer: %s", _one_line(answer.errors))
            return None
        by_name: dict[str, list[Listed]] = {}
        is_complete = True
        for line in answer.output.splitlines():
            found = LISTED.match(line.strip())
            if found is None:
                is_complete = is_complete and FOREIGN_JOB.match(line.strip()) is not None
                continue
            slurm_id, state, start, reason, name = found.groups()
            listed = Listed(slurm_id, state, _reason(reason), _time(start), name)
            by_name.setdefault(name, []).append(listed)
        return Listing(is_complete, by_name)

    def cancel(self, slurm_id: str) -> bool:
        """Cancels a job; False if `scancel` failed or did not answer in time."""
        return self._call(["scancel", slurm_id]).status == 0

    def _call(self, command: Sequence[str], script: str | None = None) -> _Answer:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return _Answer(None, "", f"{command[0]} did not start: {error}")
        try:
            output, errors = process.communicate(script, timeout=self._timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            return _Answer(None, "", f"{command[0]} gave no answer in {self._timeout:g} s")
        return _Answer(process.returncode, output, errors)


def _kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    # A process in uninterruptible sleep, for example on NFS, survives SIGKILL for a while, so the
    # wait has a limit.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=KILL_SECONDS)


def _one_line(text: str) -> str:
    """Slurm's message on one line, without control characters."""
    joined = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    printable = "".join(letter if letter.isprintable() else "?" for letter in joined)
    return printable.replace("sbatch: error: ", "")[:MAX_MESSAGE] or "no message"


def _reason(text: str) -> str | None:
    return None if text.strip() in ("", "None", "(null)", "N/A") else text.strip("() ")


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None  # N/A: not scheduled yet
