"""The batches of a run with phases that have different sequence lengths and batch sizes."""

from core.dataset.batches import Batch, Batches
from core.dataset.tokens import TokenFile
from core.spec.plan import Phase, make_plan
from core.spec.training import TrainingSpec


class PhasedBatches:
    """The training batches of all steps: a pure function of the spec and the step.

    A phase ends at the end of an epoch, so the numbers of words and tokens seen are exact.
    """

    def __init__(self, tokens: TokenFile, training: TrainingSpec) -> None:
        self._tokens = tokens
        self._plan = make_plan(training, num_tokens=tokens.num_tokens)
        self._batches = {
            phase: Batches(
                tokens,
                seq_length=phase.seq_length,
                batch_size=phase.batch_size,
                seed=training.seed,
                packing=training.packing,
                shuffle=training.shuffle,
                first_epoch=phase.first_epoch,
            )
            for phase in self._plan.phases
        }

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 1. The last batch of an epoch may be smaller."""
        phase, batches = self._at(step)
        return batches.batch(step - phase.first_step)

    def words_seen(self, step: int) -> int:
        """Total number of training words in steps 1 to `step`; 0 for step 0.

        A word that is trained on in several epochs counts once per epoch.
        """
        phase, batches = self._at(step)
        before = phase.first_epoch * self._tokens.num_words
        return before + batches.words_seen(step - phase.first_step)

    def tokens_seen(self, step: int) -> int:
        """Total number of training targets in steps 1 to `step`; 0 for step 0.

        A target that is predicted in several epochs counts once per epoch.
        """
        phase, batches = self._at(step)
        before = phase.first_epoch * (self._tokens.num_tokens - 1)
        return before + batches.tokens_seen(step - phase.first_step)

    def epoch(self, step: int) -> float:
        """Number of passes over the file in steps 1 to `step`, which may be a fraction."""
        return self._plan.epoch(step)

    def _at(self, step: int) -> tuple[Phase, Batches]:
        phase = self._plan.phase(step)
        return phase, self._batches[phase]
