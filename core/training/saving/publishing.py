"""Publishes the weights of a run as checkpoints, and adds the progress of the training to them."""

from pathlib import Path

from transformers import PreTrainedModel

from core.checkpoints.writer import Checkpoints, Position
from core.dataset.batches import Batches
from core.events.types import CheckpointKind
from core.training.saving.resume import LoopState


class Publisher:
    """Publishes the weights of a model in training."""

    def __init__(self, checkpoints: Checkpoints, model: PreTrainedModel, batches: Batches) -> None:
        self._checkpoints, self._model, self._batches = checkpoints, model, batches

    def publish(
        self,
        kind: CheckpointKind,
        state: LoopState,
        weights: Path | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Publishes the weights in the file `weights`, or of the model if `weights` is None."""
        loss = _validation_loss_of(kind, state)
        position = self._position(state.step, loss)
        self._checkpoints.save(
            kind, model=self._model, position=position, name=name, weights=weights
        )

    def publish_last(self, state: LoopState, weights: Path, *, is_best: bool) -> None:
        """Publishes the checkpoint `last`.

        If `is_best` is True, the checkpoint has the weights with the lowest validation loss. If
        these do not exist, or if `is_best` is False, it has the weights in the file `weights`.
        """
        best = self._checkpoints.best_weights(state.best_step) if is_best else None
        if best is None:
            self.publish("last", state, weights)
            return
        position = self._position(state.best_step, state.best_validation_loss)
        self._checkpoints.save("last", model=self._model, position=position, weights=best)

    def publish_milestones(self, state: LoopState, milestones: list[tuple[str, int]]) -> None:
        """Publishes the milestones (name, number of words) that the newest step has reached."""
        if not milestones:
            return
        step = state.step
        before, now = self._batches.words_seen(step - 1), self._batches.words_seen(step)
        for name, words in milestones:
            if before < words <= now:
                self.publish("milestone", state, name=name)

    def _position(self, step: int, loss: float | None) -> Position:
        return Position(
            step=step,
            tokens_seen=self._batches.tokens_seen(step),
            words_seen=self._batches.words_seen(step),
            validation_loss=loss,
        )


def _validation_loss_of(kind: CheckpointKind, state: LoopState) -> float | None:
    """The validation loss of the weights that are published; None if they were not validated."""
    if state.validation_loss_step != state.step:
        return None
    return state.ema_validation_loss if kind == "ema" else state.validation_loss
