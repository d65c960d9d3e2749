"""The revisions of a submission: the final model, and the milestones that its job has reached.

This module reads only the spec and the journal of the run. No torch.
"""

from dataclasses import dataclass

from core.archs import Architecture
from core.archs.base import OFFICIAL_TRANSFORMERS
from core.checkpoints.export_config import config_text, missing_entries
from core.errors import SubmissionInvalid
from core.events.journal import events_of_types
from core.events.types import CheckpointData
from core.export.submission.hub_folder import MAIN, Revision
from core.spec.job import TRACK_WORDS, JobSpec
from core.spec.plan import milestones
from core.spec.stored import read_stored_spec
from core.storage.model_files import CONFIG_FILE
from core.storage.rundir import RunDir


@dataclass(frozen=True)
class SubmissionPlan:
    """The parts of a submission."""

    spec: JobSpec
    final: Revision
    milestones: tuple[Revision, ...]
    not_reached: tuple[str, ...]
    """Names of the track's milestones for which the run has not seen enough words."""

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """All branches; the final model is the last one."""
        return (*self.milestones, self.final)

    @property
    def words_seen(self) -> int:
        """Words seen by the final model, repetitions included."""
        return self.final.checkpoint.words_seen

    def warnings(self) -> list[str]:
        """What the user should know about the models of the submission."""
        completed = [each.branch for each in self.revisions if CONFIG_FILE in each.replaced]
        found = self.spec.model.compatibility_warnings()
        if completed:
            found.append(
                f"{CONFIG_FILE} of {', '.join(completed)}, written by an older version of this "
                f"service, lacks entries that transformers {OFFICIAL_TRANSFORMERS} needs; the "
                "service has added these entries in the submission"
            )
        return found


def plan_submission(rundir: RunDir, *, checkpoint: str) -> SubmissionPlan:
    """The plan for a run.

    Args:
        rundir: The run.
        checkpoint: The checkpoint that becomes the branch `main`.

    Raises:
        SubmissionInvalid: If the track has no milestones, the checkpoint does not exist, or a
            milestone that the run has reached has no checkpoint.
    """
    spec = read_stored_spec(rundir.spec.read_bytes())
    if spec.track not in TRACK_WORDS:
        raise SubmissionInvalid(
            f"the job is of the track {spec.track}, which has no milestones",
            hint='Train a job with "track": "strict-small" or "strict".',
        )
    saved = saved_checkpoints(rundir)
    if checkpoint not in saved:
        known = ", ".join(saved) or "none"
        raise SubmissionInvalid(
            f"the job has no checkpoint {checkpoint}; it has: {known}",
            hint="Wait until the job has finished, or name another checkpoint.",
        )
    seen = max(each.words_seen for each in saved.values())
    reached = [name for name, words in milestones(spec.track) if words <= seen]
    absent = [name for name in reached if name not in saved]
    if absent:
        raise SubmissionInvalid(
            f"the job has seen {seen:,} words, and these milestones are missing: "
            f"{', '.join(absent)}",
        )
    return SubmissionPlan(
        spec=spec,
        final=_revision(rundir, MAIN, saved[checkpoint], spec.model),
        milestones=tuple(_revision(rundir, name, saved[name], spec.model) for name in reached),
        not_reached=tuple(name for name, words in milestones(spec.track) if words > seen),
    )


def saved_checkpoints(rundir: RunDir) -> dict[str, CheckpointData]:
    """The checkpoints by name that, according to the journal, were saved and not removed."""
    saved: dict[str, CheckpointData] = {}
    for event in events_of_types(rundir.journal, "checkpoint"):
        assert isinstance(event, CheckpointData)
        saved.pop(event.name, None)
        if event.action == "saved":
            saved[event.name] = event
    return saved


def _revision(
    rundir: RunDir, branch: str, checkpoint: CheckpointData, architecture: Architecture
) -> Revision:
    """The revision of a checkpoint. A `config.json` that lacks entries is replaced."""
    folder = rundir.checkpoint(checkpoint.name)
    config = missing_entries(folder / CONFIG_FILE, architecture)
    replaced = {} if config is None else {CONFIG_FILE: config_text(config).encode()}
    return Revision(branch, checkpoint, folder, replaced)
